//! `bench catalogue`: menus, searching and making the catalogue, each as a whole process.

use std::{cell::Cell, path::Path};

use nd_terminal::{Align, Failure, FailureKind, OrFail as _, Table};
use xshell::cmd;

use super::recipes::process;
use crate::{checks, corpus, machine::Machine};

/// How often a process is started for its median.
const STARTS: usize = 41;

/// The command `bench catalogue`.
pub(super) fn run(machine: &Machine) -> Result<(), Failure> {
    let shell = &machine.shell;
    checks::cargo(
        machine,
        &[
            "build",
            "--quiet",
            "--release",
            "--package",
            "neurocommand",
            "--bin",
            "neurocommand",
        ],
    )?;
    let binary = machine.target().join("release/neurocommand");
    let recorded = corpus::folder(machine);
    let (apps, releases) = match &recorded {
        Some(folder) => (
            folder.join("neurocommand/apps.json"),
            folder.join("neurocontainers/releases"),
        ),
        None => (
            machine.root.join("apps.json"),
            machine.root.join("releases"),
        ),
    };
    let folder = shell.create_temp_dir().or_fail(FailureKind::Failed)?;
    let out = folder.path();
    let next = Cell::new(0);
    let menus = process(machine, 11, || {
        next.set(next.get() + 1);
        let prefix = out.join(format!("menu{}", next.get()));
        cmd!(shell, "{binary} menu build --apps {apps} --prefix {prefix}")
    })?;
    let again = out.join("again");
    let unchanged = process(machine, 11, || {
        cmd!(shell, "{binary} menu build --apps {apps} --prefix {again}")
    })?;
    let search = process(machine, STARTS, || {
        cmd!(shell, "{binary} search segmentaton --apps {apps}")
    })?;
    let file = out.join("apps.json");
    let build = process(machine, STARTS, || {
        cmd!(
            shell,
            "{binary} catalogue build --releases {releases} --output {file} --allow-shrink"
        )
    })?;
    let count = |text: &str, what: &str| text.matches(what).count();
    let entries = count(&fs_err::read_to_string(&apps)?, "\"exec\":");
    let mut table = Table::new([
        ("what, as a whole process", Align::Left),
        ("wall", Align::Right),
        ("cpu", Align::Right),
        ("limit", Align::Right),
    ]);
    let rows = [
        (
            format!("menus for {entries} applications, into an empty folder"),
            menus,
            "300 ms",
        ),
        ("the same again, nothing to write".to_owned(), unchanged, ""),
        (
            format!("search over {entries} applications, a word with a slip"),
            search,
            "20 ms",
        ),
        (
            format!("catalogue from {} records", records(&releases)?),
            build,
            "50 ms",
        ),
    ];
    for (what, took, limit) in rows {
        table.row([
            what,
            format!("{:.1} ms", took.wall),
            format!("{:.1} ms", took.cpu),
            limit.to_owned(),
        ]);
    }
    machine.printer.data(table.render_for_terminal().trim_end())
}

/// How many records lie below `releases`.
fn records(releases: &Path) -> Result<usize, Failure> {
    let mut count = 0;
    for folder in fs_err::read_dir(releases)? {
        let folder = folder?.path();
        if folder.is_dir() {
            count += fs_err::read_dir(folder)?.count();
        }
    }
    Ok(count)
}
