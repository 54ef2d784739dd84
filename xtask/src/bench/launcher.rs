//! `bench launcher`: the start of a wrapped command, against the bare runtime and a shell wrapper.

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
    run_tool(
        cmd!(
            machine.shell,
            "cargo run --quiet --release --package nd-launcher --example bench_launcher -- {program}"
        )
        .env(env::ND_PEERS, peers),
    )
}
