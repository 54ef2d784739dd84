//! Programs of PyPI that tests are held against, each in a folder of its own.

use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::machine::{Machine, find_program};

/// Names of programs, and the releases that have them.
const PEERS: &[(&str, &str)] = &[
    // Its entries are written and read here.
    ("shpc", "singularity-hpc==0.1.32"),
    // A store of objects that speaks S3.
    ("moto_server", "moto[server]==5.2.1"),
];

/// Makes sure that `PEERS/NAME/usr/bin/NAME` is there for each, by the machine's own pip. One stays missing
/// where that fails, since only tests need them.
pub(crate) fn ensure(machine: &Machine, no_install: bool) -> Result<(), Failure> {
    for (name, release) in PEERS {
        ensure_one(machine, name, release, no_install)?;
    }
    Ok(())
}

fn ensure_one(
    machine: &Machine,
    name: &str,
    release: &str,
    no_install: bool,
) -> Result<(), Failure> {
    let prefix = machine.peers()?.join(name);
    if prefix.join("usr/bin").join(name).is_file() {
        return Ok(());
    }
    if no_install || find_program("python3").is_none() {
        machine.printer.note(&format!(
            "missing: `{name}`, from `{release}` in a virtual environment at {}",
            prefix.join("usr").display()
        ));
        return Ok(());
    }
    machine
        .printer
        .note(&format!("installing {release} into {}", prefix.display()));
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
        cmd!(shell, "{pip} --quiet install {release}")
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
