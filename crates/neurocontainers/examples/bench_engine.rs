//! `cargo xtask bench engine`: this engine beside the tools it stands in for, on this machine.
//!
//! Each pair runs alternately in one run; medians are compared. What a peer needs before it can start
//! (its base image, an unpacked tree) is prepared outside of the measured time.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for the people who work on this, which runs other programs"
)]

#[path = "bench_engine/convert.rs"]
mod convert;
#[path = "bench_engine/engine.rs"]
mod engine;
#[path = "bench_engine/measure.rs"]
mod measure;
#[path = "bench_engine/modes.rs"]
mod modes;
#[path = "bench_engine/registry.rs"]
mod registry;
#[path = "bench_engine/report.rs"]
mod report;
#[path = "bench_engine/sandbox.rs"]
mod sandbox;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use neurocontainers::cli::Cli;

/// What is measured.
#[derive(Debug, Parser)]
struct Args {
    /// The recipe
    #[arg(long, default_value = "itksnap")]
    recipe: String,
    /// Runs of each of the slow pairs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Runs of `true`
    #[arg(long, default_value_t = 50)]
    starts: usize,
    /// Compare building as root with building as a user who has one id, and nothing else
    #[arg(long)]
    modes: bool,
    /// Compare pulling and pushing the base of the recipe, and nothing else
    #[arg(long, conflicts_with = "modes")]
    registry: bool,
    /// Folder for everything that is made; a temporary one by default
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    nd_sandbox::hook(&[nd_builder::role(), nd_runtime::role()]);
    // Measured work runs in processes of its own, so that its memory is its own.
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("cli") => match neurocontainers::cli::run(Cli::parse_from(&words[1..])) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                eprint!("{}", failure.render());
                ExitCode::FAILURE
            }
        },
        Some("convert") => {
            convert::run(words[2].as_ref(), words[3].as_ref(), words[4].as_ref());
            ExitCode::SUCCESS
        }
        Some("pull") => {
            registry::pull(&words[2], words[3].as_ref());
            ExitCode::SUCCESS
        }
        Some("push") => {
            registry::push(words[2].as_ref(), &words[3]);
            ExitCode::SUCCESS
        }
        _ => {
            bench(&Args::parse());
            ExitCode::SUCCESS
        }
    }
}

fn bench(args: &Args) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = args
        .folder
        .clone()
        .unwrap_or_else(|| temporary.path().to_path_buf());
    fs_err::create_dir_all(&folder).unwrap();
    let mut table = report::Report::default();
    if args.modes {
        modes::bench(args, &folder, &mut table);
    } else if args.registry {
        registry::bench(args, &folder, &mut table);
    } else {
        sandbox::bench(args.starts, &folder, &mut table);
        engine::bench(args, &folder, &mut table);
    }
    println!("{}", table.render());
}
