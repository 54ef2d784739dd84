//! Compiles the independent CVMFS reader that tests compare with, into the folder of peers.

use nd_terminal::Failure;
use xshell::cmd;

use crate::machine::{Machine, run_tool};

/// Makes sure that the reader is there; `no_install` only says that it is not.
pub(crate) fn ensure(machine: &Machine, no_install: bool) -> Result<(), Failure> {
    let folder = machine.peers()?.join("cvmfs-reader/usr/bin");
    let program = folder.join("cvmfs-reader");
    if program.is_file() {
        return Ok(());
    }
    if no_install {
        machine
            .printer
            .note("missing: `cvmfs-reader`, which `cargo xtask setup` compiles");
        return Ok(());
    }
    machine
        .printer
        .note("compiling the independent CVMFS reader");
    let shell = &machine.shell;
    let manifest = machine.root.join("peers/cvmfs-reader/Cargo.toml");
    let target = machine.target().join("peers");
    run_tool(cmd!(
        shell,
        "cargo build --quiet --release --locked --manifest-path {manifest} --target-dir {target}"
    ))?;
    fs_err::create_dir_all(&folder)?;
    // Under its name only when it is whole.
    let part = folder.join(format!(".cvmfs-reader.{}", std::process::id()));
    fs_err::copy(target.join("release/cvmfs-reader"), &part)?;
    fs_err::rename(&part, &program)?;
    Ok(())
}
