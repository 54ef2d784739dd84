//! Images made from folders, and the program in an environment of its own.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command as Plain,
    sync::OnceLock,
};

use assert_cmd::Command;
use nd_names::Architecture;
use nd_sif::{ObjectSpec, SifOptions, SifWriter, id_of};
use nd_squashfs::WriteOptions;
use nd_testkit::{TestEnv, peer};
use tempfile::TempDir;

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_transparent-singularity");

/// Makes sure that the launcher stands beside the program, as it does where both are installed.
pub(crate) fn launcher() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let folder = Path::new(PROGRAM).parent().unwrap();
            let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nd-launcher/Cargo.toml");
            let built = Plain::new(std::env::var("CARGO").unwrap_or("cargo".into()))
                .args([
                    "build",
                    "--quiet",
                    "--offline",
                    "--bin",
                    "nd-launcher",
                    "--manifest-path",
                ])
                .arg(manifest)
                .arg("--target-dir")
                .arg(folder.parent().unwrap())
                .status()
                .unwrap();
            assert!(built.success());
            folder.join("nd-launcher")
        })
        .clone()
}

/// Writes a file with its folders.
pub(crate) fn write(root: &Path, path: &str, text: &str, mode: u32) {
    let path = root.join(path);
    nd_testkit::program(&path, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What the tool `show` does: tell what it was called with, where it stands and what it reads, and
/// end with a code of its own.
const SHOW: &str = "#!/bin/sh\nprintf '<%s>' \"${0##*/}\" \"$@\"\necho\npwd\n[ -z \"$SHOW_STDIN\" ] || cat\nexit ${SHOW_EXIT:-7}\n";

/// A root file system with a static shell, tools in `/opt/tool/bin`, links of all kinds and names of
/// all kinds.
pub(crate) fn root() -> Option<TempDir> {
    let busybox = peer("busybox")?;
    let folder = TempDir::new().unwrap();
    let root = folder.path();
    for name in [
        "bin", "usr", "etc", "proc", "sys", "dev", "tmp", "root", "home", "var/tmp",
    ] {
        fs::DirBuilder::new()
            .recursive(true)
            .create(root.join(name))
            .unwrap();
    }
    nd_testkit::copy_program(busybox, root.join("bin/busybox"));
    for name in ["sh", "env", "cat", "true", "pwd", "printf", "sleep", "id"] {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    write(root, "opt/tool/bin/show", SHOW, 0o755);
    write(root, "opt/tool/bin/bash", SHOW, 0o755);
    write(root, "opt/tool/bin/two words", SHOW, 0o755);
    write(root, "opt/tool/bin/$(id)", SHOW, 0o755);
    write(root, "opt/tool/bin/-rf", SHOW, 0o755);
    write(root, "opt/tool/bin/commands.txt", SHOW, 0o755);
    write(root, "opt/tool/bin/notes", "no program", 0o644);
    write(root, "opt/elsewhere/real", SHOW, 0o755);
    for (target, name) in [
        ("show", "link"),
        ("/opt/elsewhere/real", "absolute"),
        ("../../../../../../opt/elsewhere/real", "climbing"),
        ("../../../../../../etc/passwd", "outside"),
        ("nowhere", "broken"),
        ("loop", "loop"),
        ("/", "folder"),
    ] {
        symlink(target, root.join("opt/tool/bin").join(name)).unwrap();
    }
    write(
        root,
        "README.md",
        "Tool 1.0 shows.\n]===]) os.exit(3)\n]] [ exec touch x ]\n",
        0o644,
    );
    environment(
        root,
        "/opt/tool/bin",
        "busybox:absent",
        "BASEPATH/opt/tool -a=1",
    );
    write(
        root,
        ".singularity.d/labels.json",
        "{\"org.neurodesk.licence\": \"MIT\", \"org.neurodesk.recipe-path\": \"recipes/tool/build.yaml\"}",
        0o644,
    );
    Some(folder)
}

/// The environment script of an image, as build tools write it.
pub(crate) fn environment(root: &Path, path: &str, bins: &str, home: &str) {
    let script = format!(
        "#!/bin/sh\nexport PATH=\"/opt/tool/bin:/bin\"\nexport DEPLOY_PATH=\"${{DEPLOY_PATH:-\"{path}:/opt/missing:relative\"}}\"\nexport DEPLOY_BINS=\"${{DEPLOY_BINS:-\"{bins}\"}}\"\nexport DEPLOY_ENV_TOOLHOME=\"${{DEPLOY_ENV_TOOLHOME:-\"{home}\"}}\"\n"
    );
    write(
        root,
        ".singularity.d/env/10-docker2singularity.sh",
        &script,
        0o755,
    );
}

/// The squashfs image of a folder.
pub(crate) fn squashfs(root: &Path, path: &Path) {
    let (index, mut contents) = nd_oci::read_directory(root).unwrap();
    let mut out = File::create(path).unwrap();
    nd_squashfs::write(&index, &mut contents, &mut out, &WriteOptions::default()).unwrap();
}

/// The SIF file of a folder.
pub(crate) fn sif(root: &Path, path: &Path) {
    sif_for(root, path, Architecture::of_this_program().unwrap());
}

/// The same for any architecture.
pub(crate) fn sif_for(root: &Path, path: &Path, architecture: Architecture) {
    let (index, mut contents) = nd_oci::read_directory(root).unwrap();
    let mut out = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .unwrap();
    let options = SifOptions {
        architecture,
        id: id_of(&nd_names::Sha256::from_bytes([7; 32])),
        time: 1,
    };
    let mut sif = SifWriter::new(&mut out, options).unwrap();
    sif.put_with::<_, nd_sif::SifError>(ObjectSpec::squashfs(architecture), |out| {
        nd_squashfs::write(&index, &mut contents, out, &WriteOptions::default()).unwrap();
        Ok(())
    })
    .unwrap();
    sif.finish().unwrap();
}

/// A home, a prefix with a space in its name, and the program.
pub(crate) struct Desk {
    pub(crate) env: TestEnv,
    pub(crate) prefix: PathBuf,
}

impl Desk {
    pub(crate) fn new() -> Self {
        launcher();
        let env = TestEnv::new().unwrap();
        let prefix = env.root().join("pre fix");
        Self { env, prefix }
    }

    /// The program, with our runtime on the search path and no settings of the machine.
    pub(crate) fn program(&self, words: &[&str]) -> Command {
        let mut command = self.env.command(PROGRAM);
        command
            .env("PATH", search_path())
            .arg("--prefix")
            .arg(&self.prefix)
            .args(words);
        command
    }

    /// Runs the program and expects success; its standard output.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let out = self.program(words).assert().success();
        String::from_utf8(out.get_output().stdout.clone()).unwrap()
    }

    /// Runs the program and expects failure; its standard error.
    pub(crate) fn fail(&self, words: &[&str], code: i32) -> String {
        let out = self.program(words).assert().code(code);
        String::from_utf8(out.get_output().stderr.clone()).unwrap()
    }

    /// A SIF file of the tool in the working folder.
    pub(crate) fn image(&self, name: &str) -> Option<PathBuf> {
        let path = self.env.work().join(name);
        sif(root()?.path(), &path);
        Some(path)
    }

    /// Installs a SIF file made for it.
    pub(crate) fn installed(stem: &str) -> Option<Self> {
        let desk = Self::new();
        let image = desk.image("some.sif")?;
        desk.run(&["install", stem, "--from", image.to_str().unwrap()]);
        Some(desk)
    }

    /// Everything below the prefix but state, sorted.
    pub(crate) fn listing(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut open = vec![self.prefix.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs_err::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path
                    .strip_prefix(&self.prefix)
                    .unwrap()
                    .display()
                    .to_string();
                if name == ".state" {
                    continue;
                }
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                } else {
                    out.push(name);
                }
            }
        }
        out.sort();
        out
    }
}

/// The search path with the runtime that tests use before all else.
pub(crate) fn search_path() -> std::ffi::OsString {
    let runtime = peer("apptainer").and_then(|path| path.parent().map(Path::to_path_buf));
    let old = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(runtime.into_iter().chain(std::env::split_paths(&old))).unwrap()
}
