//! Find containers, and make lists and menus of them.

use std::process::ExitCode;

fn main() -> ExitCode {
    nd_terminal::run(neurocommand::cli::run)
}
