//! Compares recipes compiled in upstream's mode with recorded results of upstream.
//!
//! `cargo run --release -p neurocontainers-recipe --example corpus -- DIR` where DIR holds
//! `neurocontainers/` with `golden`, `recipes`, `synthetic`, `units`, any of which may be absent.
//! Each golden file, synthetic case and unit row counts once. The last line is
//! `corpus: E of T equal, A allowed`; the exit code is 1 when E + A is less than T.

#![expect(
    clippy::print_stdout,
    reason = "a program for developers, which prints its result"
)]

mod compiled;
mod directory;
mod golden;
mod normal;
mod report;
mod side;
mod synthetic;
mod units;

use std::{path::PathBuf, process::ExitCode};

use report::Report;

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        println!("usage: corpus DIR");
        return ExitCode::from(2);
    };
    let root = directory.join("neurocontainers");
    let mut report = Report::default();
    golden::compare(&root, &mut report);
    synthetic::compare(&root, &mut report);
    units::compare(&root, &mut report);
    side::compare(&root, &mut report);
    println!("{}", report.summary());
    if report.failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
