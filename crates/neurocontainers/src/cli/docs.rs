//! `docs`, for those who work on this program.

use std::path::Path;

use clap::CommandFactory as _;
use nd_host::write_atomic;
use nd_terminal::{Failure, Printer};

use super::Cli;

/// The command `docs`: writes every generated document below `out`, each under its path in the
/// repository's `docs`.
pub(super) fn run(out: &Path, printer: &Printer) -> Result<(), Failure> {
    for (path, text) in crate::docs::documents(Cli::command()) {
        let file = out.join(&path);
        if let Some(folder) = file.parent() {
            fs_err::create_dir_all(folder)?;
        }
        write_atomic(&file, text.as_bytes())?;
        printer.data(&path)?;
    }
    Ok(())
}
