//! Write recipes for neuroimaging containers.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(feature = "minify")]
    neurodocker::minify::hook();
    neurodocker::cli::main()
}
