//! Documents that are made from code: references of command lines, pages of diagnostics.

use std::{fmt::Write as _, path::Path};

use clap::Command;
use nd_report::Explanation;

use crate::{Failure, Printer, generate::reference};

/// First line of generated pages.
const MARK: &str = "<!-- made by `cargo xtask codegen`; edit what it is made from -->\n";
/// The list of all codes, to which every program adds its rows.
const INDEX: &str = "book/src/reference/diagnostics/index.md";
/// Columns of prose.
const WIDTH: usize = 96;

/// Texts by their path below the repository's `docs`, in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents(Vec<(String, String)>);

impl Documents {
    /// The reference of a command line: its help, and that of its subcommands.
    #[must_use]
    pub fn of(command: Command) -> Self {
        let mut documents = Self::default();
        let path = format!("book/src/reference/{}.md", command.get_name());
        documents.page(path, &reference(command));
        documents
    }

    /// Adds a Markdown page, with the line that says how it is made.
    pub fn page(&mut self, path: impl Into<String>, text: &str) {
        self.file(path, format!("{MARK}{text}"));
    }

    /// Adds a file as it is.
    pub fn file(&mut self, path: impl Into<String>, text: String) {
        self.0.push((path.into(), text));
    }

    /// Adds a page for each code, and their rows in the list of codes: `head` begins the list, and is
    /// empty in every program but the first.
    pub fn codes(&mut self, words: &[Explanation], head: &str) {
        for words in words {
            self.page(format!("book/src/{}", words.code.page()), &page(words));
        }
        let mut rows = String::new();
        for words in words {
            let code = words.code;
            let summary = words.summary.replace('|', "\\|");
            // Writing to a string cannot fail.
            let _ = writeln!(rows, "| [{code}](nd{:04}.md) | {summary} |", code.number);
        }
        if head.is_empty() {
            self.file(INDEX, rows);
        } else {
            self.page(INDEX, &format!("{head}{rows}"));
        }
    }

    /// The texts with their paths.
    pub fn into_texts(self) -> Vec<(String, String)> {
        self.0
    }

    /// Writes every document below the folder `out`, which is made, and prints the paths.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, or nobody reads the paths.
    pub fn write(&self, out: &Path, printer: &Printer) -> Result<(), Failure> {
        for (path, text) in &self.0 {
            let file = out.join(path);
            fs_err::create_dir_all(file.parent().unwrap_or(out))?;
            fs_err::write(&file, text)?;
            printer.data(path)?;
        }
        Ok(())
    }
}

/// The page of a code.
fn page(words: &Explanation) -> String {
    let Explanation {
        code,
        summary,
        details,
        wrong,
        right,
    } = words;
    let mut text = format!("# {code}\n\n{}\n\n{}", sentence(summary), wrapped(details));
    for (title, example) in [("Wrong", wrong), ("Right", right)] {
        if !example.is_empty() {
            let _ = write!(text, "\n## {title}\n\n```yaml\n{example}```\n");
        }
    }
    text
}

/// A summary as a sentence.
fn sentence(summary: &str) -> String {
    let mut letters = summary.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}

/// Prose in lines of at most [`WIDTH`] characters.
fn wrapped(prose: &str) -> String {
    let mut text = String::new();
    let mut length = 0;
    for word in prose.split_whitespace() {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > WIDTH {
            text.push('\n');
            length = 0;
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text.push_str(word);
        length += width;
    }
    text.push('\n');
    text
}
