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

/// The command `corpus`.
pub(crate) fn run(machine: &Machine, args: &CorpusArgs) -> Result<(), Failure> {
    let given = args.corpus.is_some();
    let folder = args
        .corpus
        .clone()
        .unwrap_or_else(|| machine.root.join("../shared/corpus"));
    if !folder.is_dir() {
        if given {
            return Err(Failure::new(
                FailureKind::Failed,
                format!("there is no folder `{}`", folder.display()),
            ));
        }
        machine
            .printer
            .note("no recordings at hand: nothing to compare");
        return Ok(());
    }
    let folder = folder.to_string_lossy();
    for name in CRATES {
        let example = machine
            .root
            .join("crates")
            .join(name)
            .join("examples/corpus.rs");
        if example.is_file() {
            let words = [
                "run",
                "--quiet",
                "--release",
                "--package",
                name,
                "--example",
                "corpus",
                "--",
                "--corpus",
                &folder,
            ];
            checks::cargo(machine, &words)?;
        }
    }
    Ok(())
}
