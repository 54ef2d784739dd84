//! The bootstrap tool inside our own sandbox: the same for root and for users with a range of ids or
//! with one, never as root of the machine, and gone with us.
//!
//! The tool is the machine's, so its root is the machine's system folders, read-only, with an empty
//! folder for everything else; packages are unpacked and configured by the root of the namespace.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use nd_host::Stream;
use nd_report::Cancel;
use nd_runtime::{Bind, RunSpec, Runtime as _, RuntimeError, SandboxImage, SandboxRuntime};
use nd_sandbox::{Access, Emulator, IdMode};

use super::BaseError;

/// The name of the archive that the tool writes.
pub(super) const TAR: &str = "base.tar";
/// Where the tool finds its folder.
pub(super) const FOLDER: &str = "/bootstrap";
/// Lines that an error quotes.
const TAIL: usize = 20;

/// What the tool warns of where nothing may be mounted: the packages of a base need none of it.
const EXPECTED: [&[u8]; 3] = [
    b"W: cannot mount",
    b"W: skipping bind-mounting",
    b"W: skipping mount",
];

/// The tool and what it is told.
pub(super) struct Tool<'a> {
    pub(super) path: &'a Path,
    pub(super) words: Vec<String>,
    pub(super) suite: &'a str,
    /// Lines of `sources.list`.
    pub(super) sources: Vec<String>,
    /// Seconds since 1970 that no time is later than.
    pub(super) epoch: &'a str,
    /// Runs what it installs, if that is of another architecture.
    pub(super) emulator: Option<&'a Emulator>,
}

/// Runs the tool, which writes [`TAR`] into `folder`.
pub(super) fn bootstrap(
    tool: Tool<'_>,
    folder: &Path,
    ids: IdMode,
    cancel: &Cancel,
    on_line: &mut dyn FnMut(Stream, &[u8]),
) -> Result<(), BaseError> {
    let (image, mut binds) = machine(folder)?;
    if let Some((uid, gid)) = ids.owner() {
        let own = |path: &Path| {
            std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(BaseError::io(path))
        };
        own(folder)?;
        let mut pending = vec![image.clone()];
        while let Some(path) = pending.pop() {
            own(&path)?;
            if path.is_dir() && !path.is_symlink() {
                for entry in fs_err::read_dir(&path).map_err(BaseError::io(&path))? {
                    pending.push(entry.map_err(BaseError::io(&path))?.path());
                }
            }
        }
    }
    binds.push(Bind {
        host: folder.into(),
        inside: FOLDER.into(),
        access: Access::ReadWrite,
    });
    let mut argv = vec![tool.path.as_os_str().to_owned()];
    argv.extend(tool.words.into_iter().map(Into::into));
    // Where there is one id, there is nobody else to download as.
    argv.push("--aptopt=APT::Sandbox::User \"root\"".into());
    argv.push(tool.suite.into());
    argv.push(Path::new(FOLDER).join(TAR).into());
    argv.extend(tool.sources.into_iter().map(Into::into));
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let spec = RunSpec {
        env: vec![
            ("PATH".into(), path.into()),
            ("TMPDIR".into(), FOLDER.into()),
            ("SOURCE_DATE_EPOCH".into(), tool.epoch.into()),
        ],
        binds,
        cancel: cancel.clone(),
        ..RunSpec::new(argv)
    };
    let image = SandboxImage {
        lowers: vec![image],
        ..SandboxImage::default()
    };
    let mut tail: VecDeque<String> = VecDeque::new();
    let runtime = SandboxRuntime::new(image, ids).emulated(tool.emulator.cloned());
    let output = runtime.run(&spec, &mut |stream, line| {
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(String::from_utf8_lossy(line).into_owned());
        if !EXPECTED.iter().any(|start| line.starts_with(start)) {
            on_line(stream, line);
        }
    });
    match output {
        Ok(output) if output.success() => Ok(()),
        Ok(output) => {
            tail.push_front(format!(
                "`mmdebstrap` ended with exit status {} in the sandbox",
                output.status
            ));
            Err(BaseError::Failed(Vec::from(tail).join("\n")))
        }
        Err(error) => Err(BaseError::Sandbox(Box::new(error))),
    }
}

/// A root that looks like the machine's: an empty folder, and what is shown in it.
fn machine(folder: &Path) -> Result<(PathBuf, Vec<Bind>), BaseError> {
    let root = folder.join("machine");
    let make = |path: &Path| fs_err::create_dir_all(path).map_err(BaseError::io(path));
    make(&root)?;
    let mut binds = Vec::new();
    let mut show = |path: &Path| {
        binds.push(Bind {
            host: path.into(),
            inside: path.into(),
            access: Access::ReadOnly,
        });
    };
    for name in ["bin", "etc", "lib", "lib32", "lib64", "sbin", "usr"] {
        let path = Path::new("/").join(name);
        if let Ok(target) = fs_err::read_link(&path) {
            let link = root.join(name);
            fs_err::os::unix::fs::symlink(target, &link).map_err(BaseError::io(&link))?;
        } else if path.is_dir() {
            make(&root.join(name))?;
            show(&path);
        }
    }
    // Names are found as the machine finds them, also where its settings lie elsewhere.
    if let Ok(path) = fs_err::canonicalize("/etc/resolv.conf")
        && !path.starts_with("/etc")
    {
        show(&path);
    }
    for name in ["root", "tmp", "var/tmp", "var/lib/dpkg", "var/cache/apt"] {
        make(&root.join(name))?;
    }
    Ok((root, binds))
}

/// Why the tool could not be run.
pub(super) type Failure = Box<RuntimeError>;
