//! Containers as native commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    transparent_singularity::cli::main()
}
