//! Documents that are made from code: pages of codes, the reference of the command line.

use std::{fmt::Write as _, path::Path};

use clap::CommandFactory as _;
use nd_terminal::{Failure, Printer};

use crate::codes::EXPLANATIONS;

/// First line of generated pages.
const MARK: &str = "<!-- made by `cargo xtask codegen`; edit what it is made from -->\n";

/// Writes every document below `out`, and says where.
pub(super) fn run(printer: &Printer, out: &Path) -> Result<(), Failure> {
    let reference = nd_terminal::reference(super::Cli::command());
    let mut all = vec![(
        "book/src/reference/cvmfs-sync.md".to_owned(),
        format!("{MARK}{reference}"),
    )];
    // Rows of a list that other programs begin.
    let mut rows = String::new();
    for words in EXPLANATIONS {
        let (code, page) = (words.code, words.code.page());
        let name = page.rsplit('/').next().unwrap_or(&page);
        let _ = writeln!(rows, "| [{code}]({name}) | {} |", words.summary);
        let mut letters = words.summary.chars();
        let first = letters.next().map(char::to_uppercase).into_iter().flatten();
        let summary: String = first.chain(letters).collect();
        let text = format!("{MARK}# {code}\n\n{summary}.\n\n{}\n", words.details);
        all.push((format!("book/src/{page}"), text));
    }
    all.push(("book/src/reference/diagnostics/index.md".to_owned(), rows));
    for (path, text) in all {
        let file = out.join(&path);
        fs_err::create_dir_all(file.parent().unwrap_or(out))?;
        fs_err::write(&file, text)?;
        printer.data(&path)?;
    }
    Ok(())
}
