//! Programs started as an ordinary user, by tests that may run as root.

use std::{
    ffi::{OsStr, OsString},
    os::unix::fs::{MetadataExt as _, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use crate::fixture::Fixture;

/// The number of the made-up user and of its group; the next one is another group of it.
const ID: u32 = 54_321;

/// Makes the user known, and what tests run as it for, in a mount namespace that ends with it. The
/// shell stays, since Apptainer finds itself by a path of that namespace.
const SCRIPT: &str = r#"
set -e
# Not the peers', which are for another C library.
path=$PATH; PATH=/usr/bin:/bin
passwd=$1 group=$2 closed=$3 peers=$4 id=$5 stay=$6; shift 6
if [ -n "$closed" ]; then
    held=$(mktemp -d)
    mount --bind "$peers" "$held"
    mount -t tmpfs -o mode=755 none "$closed"
    mkdir -p "$peers"
    mount --move "$held" "$peers"
    rmdir "$held"
fi
mount --bind "$passwd" /etc/passwd
mount --bind "$group" /etc/group
set -- setpriv --reuid="$id" --regid="$id" --groups="$id,$((id + 1))" --inh-caps=-all -- "$@"
PATH=$path
[ "$stay" = stay ] || exec "$@"
set +e
"$@"
exit $?
"#;

/// An ordinary user of this machine, for the containers of a fixture.
pub(crate) struct User {
    /// What comes before a program; nothing when this process is one.
    words: Vec<OsString>,
}

impl User {
    /// `None`, with a printed reason, where this process cannot become one.
    #[expect(clippy::print_stdout, reason = "why a test is skipped is printed")]
    pub(crate) fn new(fixture: &Fixture) -> Option<Self> {
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
        let open = PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(fixture.path(""), open).unwrap();
        fs_err::create_dir(fixture.path("run")).unwrap();
        fs_err::set_permissions(fixture.path("run"), PermissionsExt::from_mode(0o700)).unwrap();
        for name in ["home", "work", "run"] {
            chown(fixture.path(name), Some(ID), Some(ID)).unwrap();
        }
        let home = fixture.path("home");
        let table = |name: &str, more: String| -> PathBuf {
            let mut text = fs_err::read_to_string(Path::new("/etc").join(name)).unwrap();
            text.push_str(&more);
            let path = fixture.path(name);
            fs_err::write(&path, text).unwrap();
            path
        };
        let passwd = table(
            "passwd",
            format!(
                "tester:x:{ID}:{ID}:A Tester,,,:{}:/bin/sh\n",
                home.display()
            ),
        );
        let group = table(
            "group",
            format!("tester:x:{ID}:\nlab:x:{}:tester\n", ID + 1),
        );
        let peers = nd_testkit::peer("apptainer")?;
        let peers = peers.ancestors().nth(3).unwrap();
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
        .chain([ID.to_string().into()])
        .collect();
        Some(Self { words })
    }

    /// A program, started by this user from a shell that stays until it ends.
    pub(crate) fn program(&self, fixture: &Fixture, program: impl AsRef<OsStr>) -> Command {
        self.with(fixture, program.as_ref(), "stay")
    }

    /// A wrapper, started the same way.
    pub(crate) fn wrapper(&self, fixture: &Fixture, name: &str) -> Command {
        self.program(fixture, fixture.folder.join(name))
    }

    /// A wrapper that is the very process that is started; not for Apptainer.
    pub(crate) fn alone(&self, fixture: &Fixture, name: &str) -> Command {
        self.with(fixture, fixture.folder.join(name).as_ref(), "go")
    }

    fn with(&self, fixture: &Fixture, program: &OsStr, how: &str) -> Command {
        if self.words.is_empty() {
            return fixture.program(program);
        }
        let mut command = fixture.program("unshare");
        command.args(&self.words).arg(how).arg(program);
        command.env("XDG_RUNTIME_DIR", fixture.path("run"));
        command
    }
}
