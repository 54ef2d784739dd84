//! Set-up, checks, pipelines and benches of this workspace; `.github` and `.ci` call only this.

mod apptainer;
mod bench;
mod build;
mod checks;
mod codegen;
mod corpus;
mod downstream;
mod environment_modules;
mod fuzz;
mod install;
mod launcher;
mod machine;
mod no_services;
mod package;
mod pipeline;
mod python_peers;
mod reader;
mod reproduce;
mod sbom;
mod setup;
mod tidy;
mod totals;
mod unpacked;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nd_terminal::{Failure, FailureKind, OutputArgs};

/// Build containers of this repository, and check the repository itself
#[derive(Debug, Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and test one container of `recipes/`
    BuildContainer(build::BuildArgs),
    /// Build a container twice from nothing, and compare the results byte by byte
    Reproduce(reproduce::ReproduceArgs),
    /// Run every test, and build and test the recipes
    Test(checks::TestArgs),
    /// Run everything that a change has to pass
    Ci(checks::TestArgs),
    /// Check the rules of the house that no compiler checks
    Tidy,
    /// Compile and run the projects of `examples/downstream`
    Downstream,
    /// Make the package of every crate, as a registry would take it
    Package(package::PackageArgs),
    /// Write the documents that are made from code
    Codegen(codegen::CodegenArgs),
    /// Compare with recorded recipes of the catalogue
    Corpus(corpus::CorpusArgs),
    /// Measure
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Do what continuous integration does after a release
    #[command(subcommand)]
    Pipeline(pipeline::Pipeline),
    /// Feed the readers of hostile input with random bytes
    Fuzz(fuzz::FuzzArgs),
    /// Install what building and testing need
    Setup(setup::SetupArgs),
    /// Place all programs with their manual pages and completions in a folder
    Install(install::InstallArgs),
    /// Make an archive of all programs that runs wherever it is unpacked
    Dist(install::DistArgs),
}

fn main() -> ExitCode {
    nd_terminal::run(|cli: Cli| {
        let machine = machine::Machine::new(cli.output)?;
        match cli.command {
            Command::BuildContainer(args) => build::run(&machine, &args),
            Command::Reproduce(args) => reproduce::run(&machine, &args),
            Command::Test(args) => checks::test(&machine, &args),
            Command::Ci(args) => checks::ci(&machine, &args),
            Command::Tidy => tidy::run(&machine).and_then(|found| {
                if found == 0 {
                    Ok(())
                } else {
                    Err(Failure::told(FailureKind::Failed))
                }
            }),
            Command::Downstream => downstream::command(&machine),
            Command::Package(args) => package::command(&machine, &args),
            Command::Codegen(args) => codegen::run(&machine, &args),
            Command::Corpus(args) => corpus::run(&machine, &args),
            Command::Bench(bench) => bench::run(&machine, &bench),
            Command::Pipeline(pipeline) => pipeline::run(&machine, &pipeline),
            Command::Fuzz(args) => fuzz::run(&machine, &args),
            Command::Setup(args) => setup::run(&machine, &args),
            Command::Install(args) => install::install(&machine, &args),
            Command::Dist(args) => install::dist(&machine, &args),
        }
    })
}
