//! An image of two layers.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_host::{Environment, SystemPrograms};
use nd_runtime::{ApptainerOptions, ApptainerRuntime, SandboxImage, SandboxRuntime};
use nd_sandbox::IdMode;
use tempfile::TempDir;

pub(crate) fn usable() -> Result<(), &'static str> {
    if !rustix_is_root() {
        return Err("only root may choose a range of ids without further programs");
    }
    if nd_testkit::peer("busybox").is_none() {
        return Err("the image of the tests is made of `busybox`");
    }
    Ok(())
}

fn rustix_is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs_err::metadata("/proc/self").unwrap()) == 0
}

pub(crate) fn programs() -> SystemPrograms {
    SystemPrograms::new(&Environment::of_process().unwrap())
}

pub(crate) fn ids() -> IdMode {
    IdMode::choose(&Environment::of_process().unwrap(), &programs())
}

pub(crate) struct Image {
    pub(crate) folder: TempDir,
}

impl Image {
    pub(crate) fn new() -> Self {
        let image = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let below = image.folder.path().join("below");
        let above = image.folder.path().join("above");
        for name in [
            "bin", "etc", "tmp", "root", "home/ann", "proc", "dev", "sys",
        ] {
            fs_err::create_dir_all(below.join(name)).unwrap();
        }
        fs_err::create_dir_all(above.join("etc")).unwrap();
        let busybox = nd_testkit::peer("busybox").unwrap();
        nd_testkit::copy_program(busybox, below.join("bin/busybox"));
        for tool in [
            "sh", "cat", "echo", "id", "touch", "sleep", "pwd", "true", "wc", "ls", "seq", "ln",
            "rm",
        ] {
            symlink("busybox", below.join("bin").join(tool)).unwrap();
        }
        fs_err::write(below.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs_err::write(below.join("etc/group"), "root:x:0:\n").unwrap();
        fs_err::write(
            above.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
        )
        .unwrap();
        fs_err::write(below.join("etc/broken"), "no program").unwrap();
        own(&below);
        own(&above);
        image
    }

    pub(crate) fn sandbox(&self, user: Option<&str>) -> SandboxRuntime {
        let image = SandboxImage {
            lowers: vec![
                self.folder.path().join("above"),
                self.folder.path().join("below"),
            ],
            env: vec![
                ("PATH".into(), "/bin".into()),
                ("FROM_IMAGE".into(), "yes".into()),
            ],
            user: user.map(str::to_owned),
            working_dir: None,
        };
        SandboxRuntime::new(image, ids())
    }

    /// The lower layer as a directory image of Apptainer, which is no part of this machine's basic
    /// programs.
    pub(crate) fn apptainer(&self) -> Option<ApptainerRuntime> {
        let program = nd_testkit::peer("apptainer")?;
        let mut options = ApptainerOptions::for_this_process();
        options.exec.push("--no-home".into());
        Some(ApptainerRuntime::new(
            Arc::new(programs()),
            program,
            self.folder.path().join("below"),
            options,
        ))
    }

    /// A folder of the host into which the image's root may write.
    pub(crate) fn shared(&self) -> PathBuf {
        let path = self.folder.path().join("shared");
        fs_err::create_dir_all(&path).unwrap();
        own(&path);
        path
    }
}

fn own(path: &Path) {
    let Some((uid, gid)) = ids().owner() else {
        return;
    };
    let mut pending = vec![path.to_path_buf()];
    while let Some(path) = pending.pop() {
        std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).unwrap();
        if path.is_dir() && !path.is_symlink() {
            let entries = fs_err::read_dir(&path).unwrap();
            pending.extend(entries.map(|entry| entry.unwrap().path()));
        }
    }
}
