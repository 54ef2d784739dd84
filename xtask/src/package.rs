//! Every crate as a package that a registry would take: whole, and with versions of what it uses.

use clap::Args;
use nd_terminal::{Failure, FailureKind};
use xshell::cmd;

use crate::{machine::Machine, totals::Totals};

/// Arguments of `package`.
#[derive(Debug, Args)]
pub(crate) struct PackageArgs {
    /// Also compile each package by itself, which takes minutes
    #[arg(long)]
    verify: bool,
}

/// The command `package`.
pub(crate) fn command(machine: &Machine, args: &PackageArgs) -> Result<(), Failure> {
    if run(machine, args.verify).failed == 0 {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}

/// Packages all crates at once: those that they use of ours are taken from the packages, since no
/// registry has them, and everything else from what was downloaded to compile it. Changes that are not
/// committed are packaged, too.
pub(crate) fn run(machine: &Machine, verify: bool) -> Totals {
    let shell = &machine.shell;
    let how = (!verify).then_some("--no-verify");
    let packaged = cmd!(
        shell,
        "cargo package --quiet --workspace --exclude xtask --allow-dirty --offline {how...}"
    )
    .quiet()
    .run();
    if let Err(error) = &packaged {
        machine.printer.error_line(&format!("packages: {error}"));
    }
    Totals::one(packaged.is_ok())
}
