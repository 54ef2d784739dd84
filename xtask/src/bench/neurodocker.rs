//! `bench neurodocker`: recipes from command lines as whole processes, against Python with PyYAML
//! and Jinja2; then what making an image smaller costs beside a plain run of its commands.

use nd_terminal::{Align, Failure, Table};
use xshell::cmd;

use super::recipes::process;
use crate::{checks, machine::Machine};

/// How often a process is started for its median.
const STARTS: usize = 101;

/// The command `bench neurodocker`.
pub(super) fn run(machine: &Machine) -> Result<(), Failure> {
    let shell = &machine.shell;
    checks::cargo(
        machine,
        &[
            "build",
            "--quiet",
            "--release",
            "--package",
            "neurodocker",
            "--bin",
            "neurodocker",
        ],
    )?;
    let binary = machine.target().join("release/neurodocker");
    let templates = machine.root.join("crates/neurodocker/templates/generate");
    let peer = machine.root.join("xtask/peers/templates.py");
    let python = "/usr/bin/python3";
    let version = "6.0.7.22";
    let theirs = process(machine, 15, || {
        cmd!(shell, "{python} {peer} {templates} fsl {version}")
    })?;
    let mut table = Table::new([
        ("what", Align::Left),
        ("wall", Align::Right),
        ("cpu", Align::Right),
        ("peer's wall", Align::Right),
        ("times faster", Align::Right),
        ("limit", Align::Left),
    ]);
    let fsl = format!("version={version}");
    let base = [
        "--pkg-manager",
        "apt",
        "--base-image",
        "debian:bookworm-slim",
        "--fsl",
        &fsl,
        "--yes",
    ];
    let rows: [(&str, &[&str], &str); 4] = [
        ("generate docker --fsl", &["generate", "docker"], "6 ms"),
        (
            "generate singularity --fsl",
            &["generate", "singularity"],
            "6 ms",
        ),
        (
            "the same, templates from a folder",
            &["generate", "--template-path"],
            "",
        ),
        (
            "the same, compatible",
            &["--compat", "generate", "docker"],
            "6 ms",
        ),
    ];
    for (what, words, limit) in rows {
        let ours = process(machine, STARTS, || {
            let command = cmd!(shell, "{binary}").args(words);
            let command = if words.contains(&"--template-path") {
                command.arg(&templates).arg("docker")
            } else {
                command
            };
            command.args(base)
        })?;
        table.row([
            what.to_owned(),
            format!("{:.1} ms", ours.wall),
            format!("{:.1} ms", ours.cpu),
            format!("{:.0} ms", theirs.wall),
            format!("{:.0}", theirs.wall / ours.wall),
            limit.to_owned(),
        ]);
    }
    machine
        .printer
        .data(table.render_for_terminal().trim_end())?;
    machine.printer.data(
        "the peer reads all templates and renders two; a generator in Python also loads a parser of \
         command lines and a validator of schemas",
    )?;
    let binary = binary.display().to_string();
    checks::cargo(
        machine,
        &[
            "run",
            "--quiet",
            "--release",
            "--package",
            "neurodocker",
            "--example",
            "bench_minify",
            "--",
            &binary,
        ],
    )
}
