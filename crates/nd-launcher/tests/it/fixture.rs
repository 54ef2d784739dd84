//! A container of busybox as a folder and as a SIF file, with wrappers of the real launcher.

use std::{
    ffi::OsStr,
    io::Read as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nd_launcher::{Form, LAUNCH_FILE, LaunchFile};
use nd_names::{Architecture, Sha256};
use nd_sif::{ObjectSpec, SifError, SifOptions, SifWriter, id_of};
use tempfile::TempDir;

/// Commands of the container.
const COMMANDS: &[&str] = &[
    "args", "cat", "env", "ls", "pwd", "sh", "sleep", "stty", "wc",
];

pub(crate) struct Fixture {
    root: TempDir,
    /// The wrappers' folder; its name holds a space.
    pub(crate) folder: PathBuf,
    /// Where the runtime is.
    runtime: PathBuf,
    /// The folder of a made-up runtime.
    _made_up: Option<TempDir>,
}

impl Fixture {
    /// A container that the real Apptainer runs; `None` when something for that is missing.
    pub(crate) fn real(form: Form) -> Option<Self> {
        let apptainer = nd_testkit::peer("apptainer")?;
        let folder = apptainer.parent().unwrap().to_owned();
        let fixture = Self::with_runtime(folder, None);
        let image = fixture.root.path().join("image");
        let busybox = nd_testkit::peer("busybox")?;
        for name in [
            "bin", "dev", "etc", "home", "mnt", "proc", "root", "sys", "tmp", "usr/bin", "var/tmp",
        ] {
            fs_err::create_dir_all(image.join(name)).unwrap();
        }
        nd_testkit::copy_program(busybox, image.join("bin/busybox"));
        for name in COMMANDS.iter().filter(|name| **name != "args") {
            symlink("busybox", image.join("bin").join(name)).unwrap();
        }
        for name in ["test", "kill", "printf", "echo", "grep", "head"] {
            symlink("busybox", image.join("bin").join(name)).unwrap();
        }
        program(
            &image.join("bin/args"),
            "#!/bin/sh\nprintf '%s\\0' \"$@\"\n",
        );
        fs_err::write(image.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs_err::write(image.join("etc/group"), "root:x:0:\n").unwrap();
        let at = fixture.folder.join("abc_1.0_20240131.simg");
        match form {
            Form::Folder => fs_err::rename(image, at).unwrap(),
            Form::Sif => sif(&image, &at)?,
        }
        fixture.write(&LaunchFile::new(
            "abc_1.0_20240131",
            "abc_1.0_20240131.simg",
            form,
        ));
        Some(fixture)
    }

    /// A container whose runtime prints its arguments and variables, one a line, quoted.
    pub(crate) fn recording() -> Self {
        let runtime = tempfile::tempdir().unwrap();
        program(
            &runtime.path().join("apptainer"),
            "#!/bin/sh\nfor word; do printf '<%s>\\n' \"$word\"; done\nenv | grep -E '^(APPTAINER|SINGULARITY)' | sort\n",
        );
        let fixture = Self::with_runtime(runtime.path().to_owned(), Some(runtime));
        fs_err::write(fixture.folder.join("abc_1.0_20240131.simg"), "an image").unwrap();
        fixture.write(&LaunchFile::new(
            "abc_1.0_20240131",
            "abc_1.0_20240131.simg",
            Form::Sif,
        ));
        fixture
    }

    fn with_runtime(runtime: PathBuf, made_up: Option<TempDir>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a prefix/abc_1.0_20240131");
        for name in ["home", "work"] {
            fs_err::create_dir_all(root.path().join(name)).unwrap();
        }
        fs_err::create_dir_all(&folder).unwrap();
        let first = folder.join(COMMANDS[0]);
        nd_testkit::copy_program(env!("CARGO_BIN_EXE_nd-launcher"), &first);
        for name in &COMMANDS[1..] {
            fs_err::hard_link(&first, folder.join(name)).unwrap();
        }
        Self {
            root,
            folder,
            runtime,
            _made_up: made_up,
        }
    }

    /// Writes the launch file, with the commands.
    pub(crate) fn write(&self, launch: &LaunchFile<'_>) {
        let mut launch = launch.clone();
        launch.policy = Some(OsStr::new("policy").into());
        launch.commands = COMMANDS.iter().map(nd_launcher::Command::new).collect();
        fs_err::write(self.folder.join(LAUNCH_FILE), launch.to_bytes()).unwrap();
    }

    /// Writes the policy.
    pub(crate) fn policy(&self, text: &str) {
        fs_err::write(self.folder.join("policy"), text).unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// A program with the runtime on its `PATH` and nothing else of this process's environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is what starts programs in tests"
    )]
    pub(crate) fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.furnish(&mut command);
        command
    }

    /// Gives a program its environment and working directory.
    pub(crate) fn furnish(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.runtime.display()))
            .env("HOME", self.path("home"))
            .current_dir(self.path("work"));
    }

    /// A wrapper.
    pub(crate) fn wrapper(&self, name: &str) -> Command {
        self.program(self.folder.join(name))
    }
}

/// Writes a program.
pub(crate) fn program(path: &Path, text: &str) {
    nd_testkit::program(path, text);
}

/// What a command wrote, when it ended well.
pub(crate) fn output(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}: {said}");
    assert_eq!(said, "", "{command:?}");
    String::from_utf8(stdout).unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the squashfs of the image is made by the tool that everybody uses"
)]
fn sif(tree: &Path, at: &Path) -> Option<()> {
    let squashfs = tree.with_extension("squashfs");
    let made = Command::new(nd_testkit::peer("mksquashfs")?)
        .args([tree, &squashfs])
        .args(["-quiet", "-no-progress", "-comp", "gzip", "-all-root"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let architecture = Architecture::of_this_program().unwrap();
    let mut file = fs_err::File::create(at).unwrap();
    let options = SifOptions {
        architecture,
        id: id_of(&Sha256::from_bytes([7; 32])),
        time: 1_700_000_000,
    };
    let mut sif = SifWriter::new(&mut file, options).unwrap();
    let mut bytes = Vec::new();
    fs_err::File::open(squashfs)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    sif.put_with(ObjectSpec::squashfs(architecture), |out| {
        std::io::Write::write_all(out, &bytes).unwrap();
        Ok::<_, SifError>(())
    })
    .unwrap();
    sif.finish().unwrap();
    Some(())
}
