//! Files that a command reads, with everything that is wrong in them.

use std::path::Path;

use nd_report::{FileId, Severity, Sink};
use nd_terminal::{
    DiagnosticStyle, Failure, FailureKind, OrFail as _, Printer, Sources, render_diagnostic,
    short_lines,
};

use crate::{
    catalogue::{Catalogue, decode},
    json::{Limits, Node, parse},
    sources::ReadText,
};

/// Texts that were read, and what was found in them.
#[derive(Default)]
pub(super) struct Files {
    pub(super) texts: Vec<ReadText>,
    pub(super) sink: Sink,
}

impl Files {
    /// Reads a text; of a file that is larger than catalogues may be, only as much as shows that.
    pub(super) fn text(&mut self, path: &Path) -> Result<FileId, Failure> {
        use std::io::Read as _;
        let limit = Limits::default().bytes as u64 + 1;
        let mut bytes = Vec::new();
        fs_err::File::open(path)?
            .take(limit)
            .read_to_end(&mut bytes)?;
        let name = path.display().to_string();
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            // The limit may have cut a character.
            Err(error) if error.as_bytes().len() as u64 == limit => {
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
            Err(_) => {
                let message = format!("`{name}` is no UTF-8");
                return Err(Failure::new(FailureKind::Failed, message));
            }
        };
        let file = FileId(self.texts.len() as u32);
        self.texts.push(ReadText { file, name, text });
        Ok(file)
    }

    /// Reads a JSON document; `None` when it is none, which the sink knows.
    pub(super) fn document(&mut self, path: &Path) -> Result<Option<Node>, Failure> {
        let file = self.text(path)?;
        let text = &self.texts[file.0 as usize].text;
        Ok(parse(text, file, &Limits::default(), &mut self.sink))
    }

    /// Reads a document that has to be one.
    pub(super) fn required(&mut self, path: &Path, printer: &Printer) -> Result<Node, Failure> {
        match self.document(path)? {
            Some(node) => Ok(node),
            None => Err(self.failure(printer)),
        }
    }

    /// Reads a catalogue for looking at: entries with errors are left out, and a line says how many
    /// problems there are.
    pub(super) fn catalogue(
        &mut self,
        path: &Path,
        printer: &Printer,
    ) -> Result<Catalogue, Failure> {
        let document = self.required(path, printer)?;
        let catalogue = decode(&document, &mut self.sink);
        let errors = self.errors();
        if errors > 0 {
            let plural = if errors == 1 { "" } else { "s" };
            printer.warn(&format!(
                "`{}` has {errors} error{plural}; `neurocommand catalogue check` shows them",
                path.display()
            ));
        }
        Ok(catalogue)
    }

    pub(super) fn errors(&self) -> usize {
        let all = self.sink.diagnostics().iter();
        all.filter(|found| found.severity == Severity::Error)
            .count()
    }

    /// The texts as diagnostics need them.
    pub(super) fn sources(&self) -> Sources {
        let mut sources = Sources::new();
        for text in &self.texts {
            sources.insert(text.file, &text.name, text.text.clone());
        }
        sources
    }

    /// Says what was found on standard error, and fails when there are errors.
    pub(super) fn end(&self, printer: &Printer) -> Result<(), Failure> {
        self.say(printer);
        if self.sink.has_errors() {
            return Err(Failure::told(FailureKind::Failed));
        }
        Ok(())
    }

    fn failure(&self, printer: &Printer) -> Failure {
        self.say(printer);
        Failure::told(FailureKind::Failed)
    }

    fn say(&self, printer: &Printer) {
        if self.sink.diagnostics().is_empty() {
            return;
        }
        let sources = self.sources();
        for found in self.sink.diagnostics() {
            if found.severity == Severity::Error {
                printer.error_line(
                    render_diagnostic(found, &sources, DiagnosticStyle::PLAIN).trim_end(),
                );
            } else {
                printer.note(short_lines([found], &sources).trim_end());
            }
        }
    }
}

/// Writes a result to `path`, or to standard output when there is none.
pub(super) fn write(path: Option<&Path>, text: &str, printer: &Printer) -> Result<(), Failure> {
    match path {
        Some(path) => {
            nd_host::write_atomic(path, text.as_bytes()).or_fail(FailureKind::Failed)?;
            Ok(())
        }
        None => printer.data(text),
    }
}
