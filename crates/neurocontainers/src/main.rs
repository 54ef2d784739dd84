//! Build, test and release NeuroContainers.

use std::process::ExitCode;

fn main() -> ExitCode {
    nd_sandbox::hook(&[nd_builder::role(), nd_runtime::role()]);
    nd_terminal::run(neurocontainers::cli::run)
}
