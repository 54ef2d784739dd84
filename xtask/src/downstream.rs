//! Projects of others that use one crate each: compiled and run, and free of what pure crates are
//! free of.

use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::{machine::Machine, totals::Totals};

/// Crates that a pure crate must not bring along.
const ABSENT: [&str; 5] = ["tokio", "reqwest", "hyper", "nix", "rustix"];

/// Runs every project below `examples/downstream`, each with a workspace of its own.
pub(crate) fn run(machine: &Machine) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    let target = machine.target().join("downstream");
    let mut folders: Vec<_> = fs_err::read_dir(machine.root.join("examples/downstream"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    folders.sort();
    for folder in folders {
        let shell = machine.shell.clone();
        shell.change_dir(&folder);
        let ran = cmd!(shell, "cargo run --quiet --locked --target-dir {target}")
            .quiet()
            .ignore_stdout()
            .run();
        let tree = cmd!(shell, "cargo tree --locked --edges normal --prefix none")
            .quiet()
            .read()
            .or_fail(FailureKind::Tool)?;
        let brought: Vec<&str> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .filter(|name| ABSENT.contains(name))
            .collect();
        let shown = folder.display();
        if let Err(error) = &ran {
            machine.printer.error_line(&format!("{shown}: {error}"));
        }
        if !brought.is_empty() {
            let brought = brought.join(", ");
            let text = format!("{shown}: brings {brought} along");
            machine.printer.error_line(&text);
        }
        totals += Totals::one(ran.is_ok() && brought.is_empty());
    }
    Ok(totals)
}
