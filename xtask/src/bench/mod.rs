//! `bench`: runs the crates' own benches, which print their tables.

mod catalogue;
mod cvmfs;
mod launcher;
mod neurodocker;
mod recipes;
mod sync;

use clap::{Args, Subcommand};
use nd_terminal::Failure;

use crate::{
    checks,
    machine::Machine,
    setup::{self, Purpose},
};

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Base image to SIF, layout to SIF and sandbox set-up, each against its peers
    Engine(EngineArgs),
    /// Pulling and pushing a base image, against skopeo
    Registry(RegistryArgs),
    /// Menus, searching and making the catalogue
    Catalogue(BenchArgs),
    /// Publishing to CVMFS, against zlib over the same bytes
    Cvmfs(cvmfs::CvmfsArgs),
    /// Reading, checking and rendering recipes, against Python
    Recipes(BenchArgs),
    /// Recipes from command lines, against Python
    Neurodocker(BenchArgs),
    /// Planning what a repository should hold, and applying it beside publishing
    Sync(BenchArgs),
    /// Start of a wrapped command, against bare Apptainer and a shell wrapper; finding commands
    Launcher(BenchArgs),
}

/// Arguments of every bench.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Install nothing; name the package for each missing part
    #[arg(long)]
    no_install: bool,
}

/// Arguments of `bench engine`.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    common: BenchArgs,
    /// Compare building as root with building as a user who has one id, and nothing else
    #[arg(long)]
    modes: bool,
    /// The recipe
    #[arg(long, default_value = "itksnap")]
    recipe: String,
    /// Runs of each of the slow pairs
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Arguments of `bench registry`.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    #[command(flatten)]
    common: BenchArgs,
    /// The recipe whose base it is
    #[arg(long, default_value = "itksnap")]
    recipe: String,
    /// Rounds of seven transfers each way
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// The command `bench`.
pub(crate) fn run(machine: &Machine, bench: &Bench) -> Result<(), Failure> {
    match bench {
        Bench::Catalogue(args) => {
            setup::ensure(machine, Purpose::Bench, args.no_install)?;
            catalogue::run(machine)
        }
        Bench::Cvmfs(args) => {
            setup::ensure(machine, Purpose::Bench, args.common.no_install)?;
            cvmfs::run(machine, args)
        }
        Bench::Recipes(args) => {
            setup::ensure(machine, Purpose::Bench, args.no_install)?;
            recipes::run(machine)
        }
        Bench::Sync(args) => {
            setup::ensure(machine, Purpose::Bench, args.no_install)?;
            sync::run(machine)
        }
        Bench::Launcher(args) => {
            setup::ensure(machine, Purpose::Test, args.no_install)?;
            launcher::run(machine)
        }
        Bench::Neurodocker(args) => {
            setup::ensure(machine, Purpose::Bench, args.no_install)?;
            neurodocker::run(machine)
        }
        Bench::Engine(args) => {
            setup::ensure(machine, Purpose::Bench, args.common.no_install)?;
            let only = args.modes.then_some("--modes");
            bench_engine(machine, &args.recipe, args.rounds, only)
        }
        Bench::Registry(args) => {
            setup::ensure(machine, Purpose::Bench, args.common.no_install)?;
            bench_engine(machine, &args.recipe, args.rounds, Some("--registry"))
        }
    }
}

/// Runs the bench of the engine, or a part of it.
fn bench_engine(
    machine: &Machine,
    recipe: &str,
    rounds: usize,
    only: Option<&str>,
) -> Result<(), Failure> {
    let rounds = rounds.to_string();
    let mut words = vec![
        "run",
        "--quiet",
        "--release",
        "--package",
        "neurocontainers",
    ];
    words.extend(["--example", "bench_engine", "--"]);
    words.extend(["--recipe", recipe, "--rounds", &rounds]);
    words.extend(only);
    checks::cargo(machine, &words)
}
