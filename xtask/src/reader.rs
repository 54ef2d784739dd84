//! Compiles the independent CVMFS reader that tests compare with, into the folder of peers.

use std::{io, path::Path};

use nd_terminal::Failure;
use xshell::cmd;

use crate::machine::{Machine, run_tool};

/// Makes sure that the reader is there; `no_install` only says that it is not.
pub(crate) fn ensure(machine: &Machine, no_install: bool) -> Result<(), Failure> {
    let folder = machine.peers()?.join("cvmfs-reader/usr/bin");
    let program = folder.join("cvmfs-reader");
    let source = machine.root.join("peers/cvmfs-reader");
    let made_from = made_from(&source)?;
    let noted = folder.join("cvmfs-reader.source");
    let is_current = fs_err::read(&noted).is_ok_and(|bytes| bytes == made_from);
    if program.is_file() && is_current {
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
    let manifest = source.join("Cargo.toml");
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
    fs_err::write(noted, made_from)?;
    Ok(())
}

/// What the program is made from, one file after the other: it is kept beside the program, so that a
/// change is noticed whenever the folder of peers is older than the checkout.
fn made_from(source: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for name in ["Cargo.toml", "Cargo.lock", "src/main.rs"] {
        bytes.extend(fs_err::read(source.join(name))?);
    }
    Ok(bytes)
}
