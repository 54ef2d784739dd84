//! `bench cvmfs`: publishing a root file system and 100,000 small files, beside zlib at its usual
//! level over the same bytes.

use std::path::PathBuf;

use clap::Args;
use nd_terminal::Failure;
use xshell::cmd;

use super::BenchArgs;
use crate::{
    checks,
    machine::{Machine, run_tool},
};

/// Arguments of `bench cvmfs`.
#[derive(Debug, Args)]
pub(crate) struct CvmfsArgs {
    #[command(flatten)]
    pub(super) common: BenchArgs,
    /// An unpacked root file system, such as a minimal Debian of 170 MB
    #[arg(long, value_name = "DIR")]
    tree: PathBuf,
}

/// The command `bench cvmfs`.
pub(super) fn run(machine: &Machine, args: &CvmfsArgs) -> Result<(), Failure> {
    let words = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "cvmfs-sync",
        "--bin",
        "cvmfs-sync",
    ];
    checks::cargo(machine, &words)?;
    let shell = &machine.shell;
    let binary = machine.target().join("release/cvmfs-sync");
    let script = machine.root.join("xtask/peers/cvmfs.py");
    let (tree, folder) = (&args.tree, machine.target().join("bench-cvmfs"));
    shell.remove_path(&folder)?;
    run_tool(cmd!(shell, "python3 {script} {binary} {tree} {folder}"))
}
