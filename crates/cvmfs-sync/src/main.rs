//! Publish, prove and copy CVMFS repositories.

use std::process::ExitCode;

fn main() -> ExitCode {
    nd_terminal::run(cvmfs_sync::cli::run)
}
