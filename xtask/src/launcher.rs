//! The static launcher: the one program that is copied beside every command of a container.

use std::path::PathBuf;

use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::machine::{Machine, run_tool};

/// The launcher, compiled without any library that it would have to find when it starts: with musl when
/// that target is installed, else with the C library of this machine.
pub(crate) fn compile(machine: &Machine) -> Result<PathBuf, Failure> {
    let shell = &machine.shell;
    let architecture = std::env::consts::ARCH;
    let installed = |target: &str| -> Result<bool, Failure> {
        let folder = cmd!(shell, "rustc --print target-libdir --target {target}")
            .quiet()
            .read()
            .or_fail(FailureKind::Tool)?;
        Ok(std::path::Path::new(&folder).is_dir())
    };
    let musl = format!("{architecture}-unknown-linux-musl");
    let target = if installed(&musl)? {
        musl
    } else {
        format!("{architecture}-unknown-linux-gnu")
    };
    // With `--target`, the flag reaches neither build scripts nor procedural macros.
    run_tool(
        cmd!(
            shell,
            "cargo build --quiet --profile launcher --package nd-launcher --bin nd-launcher --target {target}"
        )
        .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    Ok(machine.target().join(target).join("launcher/nd-launcher"))
}
