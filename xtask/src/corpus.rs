//! `corpus`: compares with the recorded recipes of the catalogue, where a copy of them is at hand.

use std::path::{Path, PathBuf};

use clap::Args;
use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::{checks, machine::Machine};

/// Arguments of `corpus`.
#[derive(Debug, Default, Args)]
pub(crate) struct CorpusArgs {
    /// Folder of the recordings; default `corpus` in the folder `shared` beside the repository
    #[arg(long)]
    corpus: Option<PathBuf>,
}

/// The crates that have an example named `corpus`.
const CRATES: &[&str] = &[
    "nd-yaml",
    "neurocontainers-recipe",
    "neurodocker",
    "neurocommand",
];

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
    let mut total = Counts::default();
    for name in CRATES {
        let examples = machine.root.join("crates").join(name).join("examples");
        if examples.join("corpus.rs").is_file() || examples.join("corpus/main.rs").is_file() {
            let text = compare(machine, name, &folder)?;
            let counts = Counts::last_of(&text).ok_or_else(|| {
                Failure::new(
                    FailureKind::Internal,
                    format!("the comparison of `{name}` ended without its counts"),
                )
            })?;
            machine.printer.data(counts.parts)?;
            total.equal += counts.equal;
            total.total += counts.total;
            total.allowed += counts.allowed;
        }
    }
    machine.printer.data(&format!(
        "corpus: {} of {} equal, {} allowed",
        total.equal, total.total, total.allowed
    ))?;
    if total.equal + total.allowed < total.total {
        return Err(Failure::told(FailureKind::Failed));
    }
    Ok(())
}

/// What one crate's comparison prints; its exit code says no more than its counts.
fn compare(machine: &Machine, name: &str, folder: &Path) -> Result<String, Failure> {
    let words = [
        "--quiet",
        "--release",
        "--package",
        name,
        "--example",
        "corpus",
    ];
    let mut build = vec!["build"];
    build.extend(words);
    checks::cargo(machine, &build)?;
    let shell = &machine.shell;
    cmd!(shell, "cargo run {words...} -- {folder}")
        .quiet()
        .ignore_status()
        .read()
        .or_fail(FailureKind::Tool)
}

/// How much is equal, of how much, and what may differ by a rule.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts<'a> {
    equal: u64,
    total: u64,
    allowed: u64,
    /// Everything before the line that these numbers stand in.
    parts: &'a str,
}

impl<'a> Counts<'a> {
    /// Reads the last line, `corpus: E of T equal, A allowed`.
    fn last_of(text: &'a str) -> Option<Self> {
        let (parts, line) = text.trim_end().rsplit_once('\n').unwrap_or(("", text));
        let (equal, rest) = line.trim().strip_prefix("corpus: ")?.split_once(" of ")?;
        let (total, rest) = rest.split_once(" equal, ")?;
        let allowed = rest.strip_suffix(" allowed")?;
        Some(Self {
            equal: equal.parse().ok()?,
            total: total.parse().ok()?,
            allowed: allowed.parse().ok()?,
            parts,
        })
    }
}

#[cfg(test)]
mod tests {
    //! Counts are read from what a comparison prints last.

    use super::Counts;

    #[test]
    fn counts_are_on_the_last_line() {
        let counts = Counts::last_of("golden: 3 of 4 equal\ncorpus: 3 of 4 equal, 1 allowed\n");
        let wanted = Counts {
            equal: 3,
            total: 4,
            allowed: 1,
            parts: "golden: 3 of 4 equal",
        };
        assert_eq!(counts, Some(wanted));
        assert_eq!(Counts::last_of("corpus: 3 of 4"), None);
    }
}
