//! Programs started as an ordinary user, by tests and benches that may run as root.

use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::{MetadataExt as _, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

/// What plays the user, in a mount namespace that ends with it.
const SCRIPT: &str = include_str!("as-user.sh");

/// An ordinary user of this machine: who runs the tests, or, when that is root, a made-up one that only the
/// started programs know.
#[derive(Debug)]
pub struct OrdinaryUser {
    /// What comes before a program; nothing when this process is one.
    words: Vec<OsString>,
}

/// Which process a program of an [`OrdinaryUser`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserProcess {
    /// The one that is started.
    Itself,
    /// A child of a shell that stays until it ends: Apptainer finds itself by paths of a mount
    /// namespace that must not end before.
    OfShell,
}

impl OrdinaryUser {
    /// The number of the made-up user and of its group; the next one is another group of it.
    pub const ID: u32 = 54_321;

    /// A user whose home is `home` in `folder`, which may be gone through by everybody afterwards, and
    /// who can execute what is installed beside `peer`. `None`, with a printed reason, where this process
    /// cannot become another user.
    ///
    /// # Panics
    ///
    /// When the folder cannot be written.
    #[expect(
        clippy::unwrap_used,
        clippy::print_stdout,
        reason = "this is called by tests, whose language that is"
    )]
    pub fn new(folder: &Path, peer: &Path) -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            return Some(Self { words: Vec::new() });
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "this is what starts programs in tests"
        )]
        let allowed = Command::new("unshare")
            .args(["--mount", "true"])
            .status()
            .is_ok_and(|status| status.success());
        if !allowed {
            println!("skipped: root that may not mount cannot play an ordinary user");
            return None;
        }
        fs_err::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
        let id = Self::ID;
        let table = |name: &str, more: String| -> PathBuf {
            let mut text = fs_err::read_to_string(Path::new("/etc").join(name)).unwrap();
            text.push_str(&more);
            let path = folder.join(name);
            fs_err::write(&path, text).unwrap();
            path
        };
        let home = folder.join("home");
        let passwd = table(
            "passwd",
            format!(
                "tester:x:{id}:{id}:A Tester,,,:{}:/bin/sh\n",
                home.display()
            ),
        );
        let group = table(
            "group",
            format!("tester:x:{id}:\nlab:x:{}:tester\n", id + 1),
        );
        let peers = peer.ancestors().nth(3).unwrap();
        let closed = peers
            .ancestors()
            .filter(|path| fs_err::metadata(path).is_ok_and(|about| about.mode() & 1 == 0))
            .last()
            .unwrap_or(Path::new(""));
        let words = [
            "--mount",
            "--propagation",
            "slave",
            "sh",
            "-c",
            SCRIPT,
            "sh",
        ]
        .map(OsString::from)
        .into_iter()
        .chain([passwd, group, closed.into(), peers.into()].map(OsString::from))
        .chain([id.to_string().into()])
        .collect();
        Some(Self { words })
    }

    /// Makes a folder that is this user's alone.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[expect(clippy::unwrap_used, reason = "this is called by tests")]
    pub fn make_folder(&self, path: &Path) {
        fs_err::create_dir_all(path).unwrap();
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
        if !self.words.is_empty() {
            chown(path, Some(Self::ID), Some(Self::ID)).unwrap();
        }
    }

    /// A program of this user.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what starts programs in tests"
    )]
    pub fn command(&self, process: UserProcess, program: impl AsRef<OsStr>) -> Command {
        if self.words.is_empty() {
            return Command::new(program);
        }
        let mut command = Command::new("unshare");
        let how = match process {
            UserProcess::Itself => "go",
            UserProcess::OfShell => "stay",
        };
        command.args(&self.words).arg(how).arg(program);
        command
    }
}
