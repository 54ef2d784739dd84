//! `bench sync`: planning, and applying beside publishing.

use nd_terminal::Failure;

use crate::{checks, machine::Machine};

/// The command `bench sync`.
pub(super) fn run(machine: &Machine) -> Result<(), Failure> {
    let words = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "cvmfs-sync",
        "--example",
        "bench_sync",
    ];
    checks::cargo(machine, &words)
}
