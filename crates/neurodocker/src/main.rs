//! Write recipes for neuroimaging containers.

use std::process::ExitCode;

fn main() -> ExitCode {
    neurodocker::cli::main()
}
