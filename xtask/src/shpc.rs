//! Singularity Registry HPC in a folder of its own: its entries are written and read here, and tests
//! hold them against the real one.

use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::machine::{Machine, find_program};

const NAME: &str = "shpc";
/// The release that entries are held against.
const RELEASE: &str = "singularity-hpc==0.1.32";

/// Makes sure that `PEERS/shpc/usr/bin/shpc` is there, by the machine's own pip. It stays missing where that
/// fails, since only tests need it.
pub(crate) fn ensure(machine: &Machine, no_install: bool) -> Result<(), Failure> {
    let prefix = machine.peers()?.join(NAME);
    if prefix.join("usr/bin").join(NAME).is_file() {
        return Ok(());
    }
    if no_install || find_program("python3").is_none() {
        machine.printer.note(&format!(
            "missing: `{NAME}`, from `{RELEASE}` in a virtual environment at {}",
            prefix.join("usr").display()
        ));
        return Ok(());
    }
    machine
        .printer
        .note(&format!("installing {RELEASE} into {}", prefix.display()));
    let shell = &machine.shell;
    let usr = prefix.join("usr");
    let made = || {
        fs_err::create_dir_all(&prefix)?;
        cmd!(shell, "python3 -m venv {usr}")
            .quiet()
            .ignore_stdout()
            .run()
            .or_fail(FailureKind::Tool)?;
        let pip = usr.join("bin/pip");
        cmd!(shell, "{pip} --quiet install {RELEASE}")
            .quiet()
            .ignore_stdout()
            .run()
            .or_fail(FailureKind::Tool)
    };
    if let Err(failure) = made() {
        machine.printer.warn(&failure.render());
        let _ = fs_err::remove_dir_all(&prefix);
    }
    Ok(())
}
