//! Projects of others that use one crate each: compiled, run and tested, and free of what their crate is
//! free of.

use nd_terminal::{Failure, FailureKind, env};
use xshell::cmd;

use crate::{machine::Machine, totals::Totals};

/// Crates that the crate of a project must not bring along; a pure one brings none of them.
fn absent(project: &str) -> &'static [&'static str] {
    match project {
        // Runs processes, and opens no connection.
        "builder" => &["tokio", "reqwest", "hyper", "nix"],
        // Opens connections.
        "registry" => &["nix"],
        _ => &["tokio", "reqwest", "hyper", "nix", "rustix"],
    }
}

/// What of that stands in `tree`, the output of `cargo tree` without prefixes.
fn brought<'a>(project: &str, tree: &'a str) -> Vec<&'a str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| absent(project).contains(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The command `downstream`.
pub(crate) fn command(machine: &Machine) -> Result<(), Failure> {
    if run(machine)?.failed == 0 {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}

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
        // Some show more than that they run, with a peer of this machine.
        let tested = if folder.join("tests").is_dir() {
            cmd!(shell, "cargo test --quiet --locked --target-dir {target}")
                .quiet()
                .env(env::ND_PEERS, machine.peers()?)
                .ignore_stdout()
                .run()
        } else {
            Ok(())
        };
        let tree = cmd!(shell, "cargo tree --locked --edges normal --prefix none")
            .quiet()
            .read();
        let project = folder.file_name().unwrap_or_default().to_string_lossy();
        let brought = tree
            .as_ref()
            .map_or_else(|_| Vec::new(), |tree| brought(&project, tree));
        let shown = folder.display();
        let failed = [
            ran.as_ref().err(),
            tested.as_ref().err(),
            tree.as_ref().err(),
        ];
        for error in failed.into_iter().flatten() {
            machine.printer.error_line(&format!("{shown}: {error}"));
        }
        if !brought.is_empty() {
            let brought = brought.join(", ");
            let text = format!("{shown}: brings {brought} along");
            machine.printer.error_line(&text);
        }
        let good = ran.is_ok() && tested.is_ok() && tree.is_ok();
        totals += Totals::one(good && brought.is_empty());
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    //! What a project brings is held against what its crate may.

    use super::brought;

    #[test]
    fn a_pure_project_brings_nothing_of_the_machine() {
        let tree =
            "downstream v0.0.0\nrustix v1.1.4\ntokio v1.52.3 (*)\nserde v1.0.228\ntokio v1.52.3\n";
        assert_eq!(brought("recipe", tree), ["rustix", "tokio"]);
        assert_eq!(brought("builder", tree), ["tokio"]);
        assert!(brought("registry", tree).is_empty());
    }
}
