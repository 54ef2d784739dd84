//! Every crate as a package that a registry would take: whole, and with versions of what it uses.

use nd_terminal::{Failure, FailureKind};
use xshell::cmd;

use crate::{machine::Machine, totals::Totals};

/// The command `package`.
pub(crate) fn command(machine: &Machine) -> Result<(), Failure> {
    if run(machine).failed == 0 {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}

/// Packages all crates at once: those that they use of ours are taken from the packages, since no
/// registry has them, and everything else from what was downloaded to compile it. Changes that are not
/// committed are packaged, too. Nothing is compiled; that no source takes files from outside of its
/// package is a rule of `tidy`.
pub(crate) fn run(machine: &Machine) -> Totals {
    let shell = &machine.shell;
    let packaged = cmd!(
        shell,
        "cargo package --quiet --workspace --exclude xtask --allow-dirty --offline --no-verify"
    )
    .quiet()
    .run();
    if let Err(error) = &packaged {
        machine.printer.error_line(&format!("packages: {error}"));
    }
    Totals::one(packaged.is_ok())
}
