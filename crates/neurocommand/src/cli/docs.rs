//! Documents that are made from code.

use std::path::Path;

use clap::CommandFactory as _;
use nd_host::write_atomic;
use nd_terminal::{Failure, Printer};

use super::Cli;

/// Writes every generated document below `out`, each under its path in the repository's `docs`.
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

/// Prints the manual pages, or writes them to `folder`.
pub(super) fn man(folder: Option<&Path>, printer: &Printer) -> Result<(), Failure> {
    let pages = nd_terminal::man_pages(&Cli::command())?;
    let Some(folder) = folder else {
        let texts: Vec<String> = pages.into_iter().map(|(_, text)| text).collect();
        return printer.data(&texts.concat());
    };
    fs_err::create_dir_all(folder)?;
    for (name, text) in pages {
        fs_err::write(folder.join(name), text)?;
    }
    Ok(())
}
