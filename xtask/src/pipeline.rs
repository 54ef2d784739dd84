//! `pipeline`: what continuous integration does after a release, as one command.

use std::{fmt::Write as _, path::Path};

use clap::{Args, Subcommand};
use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::machine::{Machine, run_tool};

/// Pipelines.
#[derive(Debug, Subcommand)]
pub(crate) enum Pipeline {
    /// Derive the catalogue and its lists from the release records
    Catalogue(CatalogueArgs),
}

/// Arguments of `pipeline catalogue`.
#[derive(Debug, Default, Args)]
pub(crate) struct CatalogueArgs {
    /// Say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write nothing; end with exit code 3 when what is committed is not what committed records give
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) check: bool,
}

/// Files that follow from the records, with the words of `neurocommand` that make each.
const DERIVED: &[(&str, &[&str])] = &[
    ("apps.json", &["build", "--releases", "releases"]),
    ("cvmfs/log.txt", &["log", "--apps", "apps.json"]),
    ("cvmfs/applist.json", &["applist", "--apps", "apps.json"]),
    (
        "webapps.json",
        &["webapps", "--recipes", "recipes", "--releases", "releases"],
    ),
];

/// The command `pipeline`.
pub(crate) fn run(machine: &Machine, pipeline: &Pipeline) -> Result<(), Failure> {
    match pipeline {
        Pipeline::Catalogue(args) => catalogue(machine, args),
    }
}

/// The command `pipeline catalogue`.
pub(crate) fn catalogue(machine: &Machine, args: &CatalogueArgs) -> Result<(), Failure> {
    if args.dry_run {
        let mut text = String::new();
        for &(path, words) in DERIVED {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "neurocommand catalogue {} --output {path}",
                words.join(" ")
            );
        }
        text.push_str("neurocommand catalogue check apps.json --strict\n");
        return machine.printer.data(&text);
    }
    let shell = &machine.shell;
    run_tool(cmd!(
        shell,
        "cargo build --quiet --package neurocommand --bin neurocommand"
    ))?;
    let binary = machine.target().join("debug/neurocommand");
    if args.check {
        return check(machine, &binary);
    }
    for &(path, words) in DERIVED {
        if let Some(folder) = machine.root.join(path).parent() {
            fs_err::create_dir_all(folder)?;
        }
        run_tool(cmd!(shell, "{binary} catalogue {words...} --output {path}"))?;
    }
    run_tool(cmd!(shell, "{binary} catalogue check apps.json --strict"))
}

/// Compares what is committed. The working tree does not count: builds write their records there.
fn check(machine: &Machine, binary: &Path) -> Result<(), Failure> {
    let shell = &machine.shell;
    let temporary = shell.create_temp_dir().or_fail(FailureKind::Failed)?;
    let folder = temporary.path();
    let archive = folder.join("committed.tar");
    let mut wanted = vec!["releases", "recipes"];
    wanted.extend(DERIVED.iter().map(|(path, _)| *path));
    run_tool(cmd!(
        shell,
        "git archive --output {archive} HEAD -- {wanted...}"
    ))?;
    run_tool(cmd!(shell, "tar -x -f {archive} -C {folder}"))?;
    let _there = shell.push_dir(folder);
    for &(path, words) in DERIVED {
        cmd!(
            shell,
            "{binary} --quiet catalogue {words...} --output {path} --check"
        )
        .quiet()
        .run()
        .map_err(|_| {
            let message = format!("`{path}` is not what the committed records give");
            Failure::new(FailureKind::Pending, message)
                .hint("`cargo xtask pipeline catalogue` writes it")
        })?;
    }
    run_tool(cmd!(
        shell,
        "{binary} --quiet catalogue check apps.json --strict"
    ))?;
    machine
        .printer
        .note("catalogue: everything is as the committed records give it");
    Ok(())
}
