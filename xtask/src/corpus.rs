//! `corpus`: compares with the recorded recipes of the catalogue, where a copy of them is at hand.

use std::path::PathBuf;

use clap::Args;
use nd_terminal::{Failure, FailureKind};

use crate::{checks, machine::Machine};

/// Arguments of `corpus`.
#[derive(Debug, Default, Args)]
pub(crate) struct CorpusArgs {
    /// Folder of the recordings; default `corpus` in the folder `shared` beside the repository
    #[arg(long)]
    corpus: Option<PathBuf>,
}

/// The crates that have an example named `corpus`.
const CRATES: &[&str] = &["nd-yaml", "neurocontainers-recipe", "neurodocker"];

/// The folder of recordings beside this repository, if there is one.
pub(crate) fn folder(machine: &Machine) -> Option<PathBuf> {
    Some(machine.root.join("../shared/corpus")).filter(|folder| folder.is_dir())
}

/// The command `corpus`.
pub(crate) fn run(machine: &Machine, args: &CorpusArgs) -> Result<(), Failure> {
    let folder = match &args.corpus {
        Some(given) if !given.is_dir() => {
            return Err(Failure::new(
                FailureKind::Failed,
                format!("there is no folder `{}`", given.display()),
            ));
        }
        Some(given) => given.clone(),
        None => {
            let Some(folder) = folder(machine) else {
                machine
                    .printer
                    .note("no recordings at hand: nothing to compare");
                return Ok(());
            };
            folder
        }
    };
    let folder = folder.to_string_lossy();
    for name in CRATES {
        let examples = machine.root.join("crates").join(name).join("examples");
        if examples.join("corpus.rs").is_file() || examples.join("corpus/main.rs").is_file() {
            let words = [
                "run",
                "--quiet",
                "--release",
                "--package",
                name,
                "--example",
                "corpus",
                "--",
                &folder,
            ];
            checks::cargo(machine, &words)?;
        }
    }
    Ok(())
}
