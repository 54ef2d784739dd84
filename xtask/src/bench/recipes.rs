//! `bench recipes`: reading, checking and rendering, against Python with PyYAML and Jinja2.

use std::{path::Path, time::Instant};

use nd_terminal::{Align, Failure, FailureKind, OrFail as _, Table};
use xshell::{Cmd, cmd};

use crate::{build, checks, corpus, machine::Machine};

/// How often a process is started for its median.
const STARTS: usize = 41;

/// What a whole process took.
pub(super) struct Process {
    /// Median over its starts, milliseconds.
    pub(super) wall: f64,
    /// Processor time in user and kernel of one start, milliseconds.
    pub(super) cpu: f64,
}

/// The command `bench recipes`.
pub(super) fn run(machine: &Machine) -> Result<(), Failure> {
    let shell = &machine.shell;
    let ours = machine.root.join("recipes");
    let many = corpus::folder(machine).map(|folder| folder.join("neurocontainers"));
    let root = many.as_deref().unwrap_or(&machine.root);
    let folder = root.join("recipes");
    let count = fs_err::read_dir(&folder)?.count();
    let binary = build::compile(machine)?;
    let (in_process, memory) = in_process(machine, root)?;

    let peer = machine.root.join("xtask/peers/recipes.py");
    let templates = Some(root.join("templates"))
        .filter(|folder| folder.is_dir())
        .unwrap_or_else(|| machine.root.join("crates/neurodocker/templates"));
    let python = "/usr/bin/python3";
    let all_peer = process(machine, 5, || {
        cmd!(shell, "{python} {peer} {folder} {templates}")
    })?;
    let one_peer = process(machine, 11, || {
        cmd!(shell, "{python} {peer} {ours} {templates} itksnap")
    })?;
    let all = process(machine, STARTS, || {
        cmd!(shell, "{binary} check --all --recipes {folder}").ignore_status()
    })?;
    let one = process(machine, STARTS, || cmd!(shell, "{binary} render itksnap"))?;

    let mut table = Table::new([
        ("what", Align::Left),
        ("wall", Align::Right),
        ("cpu", Align::Right),
        ("peer's wall", Align::Right),
        ("peer's cpu", Align::Right),
        ("times faster", Align::Right),
        ("limit", Align::Left),
    ]);
    let ms = |value: f64| format!("{value:.1} ms");
    table.row([
        format!("load, check and render {count} recipes, one thread"),
        "-".to_owned(),
        ms(in_process),
        ms(all_peer.wall),
        ms(all_peer.cpu),
        format!("{:.0}", all_peer.cpu / in_process),
        "60 ms, 50 times".to_owned(),
    ]);
    table.row([
        format!("check --all of {count} recipes, the whole process"),
        ms(all.wall),
        ms(all.cpu),
        ms(all_peer.wall),
        ms(all_peer.cpu),
        format!("{:.0}", all_peer.wall / all.wall),
        "200 ms".to_owned(),
    ]);
    table.row([
        "render itksnap, the whole process".to_owned(),
        ms(one.wall),
        ms(one.cpu),
        ms(one_peer.wall),
        ms(one_peer.cpu),
        format!("{:.0}", one_peer.wall / one.wall),
        "6 ms, 20 times".to_owned(),
    ]);
    machine
        .printer
        .data(table.render_for_terminal().trim_end())?;
    machine.printer.data(&format!(
        "peak memory of the first row: {memory} (limit 60 MB)"
    ))
}

/// Milliseconds of processor time that a round takes in one process and one thread (the median), and
/// the process's peak memory.
fn in_process(machine: &Machine, root: &Path) -> Result<(f64, String), Failure> {
    let shell = &machine.shell;
    checks::cargo(
        machine,
        &[
            "build",
            "--quiet",
            "--release",
            "--package",
            "neurocontainers-recipe",
            "--example",
            "speed",
        ],
    )?;
    let example = machine.target().join("release/examples/speed");
    let text = cmd!(shell, "{example} {root} 15")
        .quiet()
        .read()
        .or_fail(FailureKind::Tool)?;
    let mut rounds: Vec<f64> = text.lines().filter_map(round).collect();
    let memory = text
        .lines()
        .find_map(|line| line.strip_prefix("peak memory: "))
        .unwrap_or("unknown")
        .to_owned();
    if rounds.is_empty() {
        return Err(Failure::new(
            FailureKind::Internal,
            "the example `speed` printed no round",
        ));
    }
    Ok((median(&mut rounds), memory))
}

/// The time in a line `round N: T ms …`.
fn round(line: &str) -> Option<f64> {
    let (_, rest) = line.strip_prefix("round ")?.split_once(": ")?;
    rest.split_once(" ms")?.0.parse().ok()
}

/// Starts a command many times and gives the median.
pub(super) fn process<'a>(
    machine: &'a Machine,
    starts: usize,
    command: impl Fn() -> Cmd<'a>,
) -> Result<Process, Failure> {
    let start = || {
        command()
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()
            .or_fail(FailureKind::Tool)
    };
    start()?;
    let mut wall = Vec::with_capacity(starts);
    for _ in 0..starts {
        let begin = Instant::now();
        start()?;
        wall.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    // bash counts what its children used, which the standard library does not.
    let line = command().to_string();
    let script = format!("TIMEFORMAT='%U %S'; time {line} >/dev/null 2>/dev/null");
    let shell = &machine.shell;
    let times = cmd!(shell, "bash -c {script}")
        .quiet()
        .ignore_status()
        .read_stderr()
        .or_fail(FailureKind::Tool)?;
    let cpu = times
        .split_whitespace()
        .filter_map(|number| number.parse::<f64>().ok())
        .sum::<f64>()
        * 1e3;
    Ok(Process {
        wall: median(&mut wall),
        cpu,
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    //! Reading what the example prints.

    use super::{median, round};

    #[test]
    fn rounds_and_their_median() {
        let line = "round 3: 41.5 ms for 153 recipes (10 with errors, 9 bytes): read 1.0";
        assert_eq!(round(line), Some(41.5));
        assert_eq!(round("peak memory: 20 MB"), None);
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
