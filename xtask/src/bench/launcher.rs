//! `bench launcher`: the start of a wrapped command, against the bare runtime and a shell wrapper, and
//! without a runtime; and finding the commands of an image.

use nd_terminal::{Failure, env};
use xshell::cmd;

use crate::{
    launcher,
    machine::{Machine, run_tool},
};

/// The command `bench launcher`.
pub(super) fn run(machine: &Machine) -> Result<(), Failure> {
    let program = launcher::compile(machine)?;
    let peers = machine.peers()?;
    for example in ["bench_launcher", "bench_native"] {
        run_tool(
            cmd!(
                machine.shell,
                "cargo run --quiet --release --package nd-launcher --example {example} -- {program}"
            )
            .env(env::ND_PEERS, &peers),
        )?;
    }
    crate::checks::cargo(
        machine,
        &[
            "run",
            "--quiet",
            "--release",
            "--package",
            "transparent-singularity",
            "--example",
            "find_commands",
        ],
    )
}
