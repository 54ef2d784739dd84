//! What every command needs: the repository, a shell, folders, and where to say things.

use std::path::{Path, PathBuf};

use nd_terminal::{Failure, FailureKind, OrFail as _, OutputArgs, Printer, env};
use xshell::Shell;

/// The machine and the repository as `xtask` sees them.
pub(crate) struct Machine {
    /// Runs programs, in the root of the repository.
    pub(crate) shell: Shell,
    /// The root of the repository.
    pub(crate) root: PathBuf,
    /// Says things.
    pub(crate) printer: Printer,
    /// How output was asked for, to be passed on.
    pub(crate) output: OutputArgs,
}

impl Machine {
    pub(crate) fn new(output: OutputArgs) -> Result<Self, Failure> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .filter(|root| root.join("Cargo.lock").is_file())
            .ok_or_else(|| {
                Failure::new(
                    FailureKind::Internal,
                    "the repository that `xtask` was built in is gone",
                )
            })?
            .to_owned();
        let shell = Shell::new().or_fail(FailureKind::Failed)?;
        shell.change_dir(&root);
        Ok(Self {
            shell,
            root,
            printer: output.printer(),
            output,
        })
    }

    /// Where the peers of tests are installed.
    #[expect(
        clippy::unused_self,
        reason = "a property of the machine to its callers"
    )]
    pub(crate) fn peers(&self) -> Result<PathBuf, Failure> {
        match std::env::var_os(env::ND_PEERS).filter(|value| !value.is_empty()) {
            Some(dir) => Ok(PathBuf::from(dir)),
            None => Ok(cache()?.join("peers")),
        }
    }

    /// Where cargo puts what it compiles.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// Whether this process is root.
    pub(crate) fn is_root(&self) -> bool {
        xshell::cmd!(self.shell, "id -u")
            .quiet()
            .read()
            .is_ok_and(|id| id.trim() == "0")
    }
}

/// The cache folder: `ND_CACHE_DIR`, `$XDG_CACHE_HOME/neurodesk`, `~/.cache/neurodesk`.
fn cache() -> Result<PathBuf, Failure> {
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    var(env::ND_CACHE_DIR)
        .or_else(|| var("XDG_CACHE_HOME").map(|dir| dir.join("neurodesk")))
        .or_else(|| var("HOME").map(|dir| dir.join(".cache/neurodesk")))
        .filter(|dir| dir.is_absolute())
        .ok_or_else(|| {
            Failure::new(
                FailureKind::Failed,
                "no absolute folder for the cache is known",
            )
            .hint(format!("set `{}`", env::ND_CACHE_DIR))
        })
}

/// The first `program` on `PATH`, also in the folders of system programs that users' paths lack.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|path| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// Runs a command that may fail as a tool of ours.
pub(crate) fn run_tool(command: xshell::Cmd<'_>) -> Result<(), Failure> {
    command.quiet().run().or_fail(FailureKind::Tool)
}
