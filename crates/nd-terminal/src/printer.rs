//! Where text goes: data to standard output, everything else to standard error.

use std::{fmt, io::Write as _};

use indicatif::MultiProgress;
use owo_colors::OwoColorize as _;
use serde::Serialize;

use crate::{Failure, FailureKind, OrFail as _, OutputFormat, TerminalReporter};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only what failed.
    Quiet,
    /// What happens.
    Normal,
    /// More, by the number of `-v`.
    Verbose(u8),
}

/// Writes for people and for programs; cheap to clone, clones share the terminal.
#[derive(Clone)]
pub struct Printer {
    format: OutputFormat,
    verbosity: Verbosity,
    bars: Option<MultiProgress>,
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer")
            .field("format", &self.format)
            .field("verbosity", &self.verbosity)
            .field("bars", &self.bars.is_some())
            .finish()
    }
}

impl Printer {
    /// A printer; `bars` says whether progress bars may be drawn on standard error.
    pub fn new(format: OutputFormat, verbosity: Verbosity, bars: bool) -> Self {
        Self {
            format,
            verbosity,
            bars: bars.then(MultiProgress::new),
        }
    }

    /// The format of standard output.
    pub fn format(&self) -> OutputFormat {
        self.format
    }

    /// How much is said.
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Writes a line of data to standard output; with a format that is a document text is not data and
    /// goes to standard error. Fails when the stream cannot be written.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        if self.format.is_document() {
            self.note(text);
            return Ok(());
        }
        self.paused(|| writeln!(anstream::stdout(), "{}", text.trim_end_matches('\n')))?;
        Ok(())
    }

    /// Writes `value` as one line of JSON to standard output, whatever the format.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let line = serde_json::to_string(value).or_fail(FailureKind::Internal)?;
        self.paused(|| {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()
        })?;
        Ok(())
    }

    /// Says a line on standard error, unless quiet.
    pub fn note(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.error_line(text);
        }
    }

    /// Says a line on standard error when `-v` was given.
    pub fn detail(&self, text: &str) {
        if self.verbosity > Verbosity::Normal {
            self.error_line(text);
        }
    }

    /// Says a warning on standard error, always.
    pub fn warn(&self, text: &str) {
        self.error_line(&format!("{} {text}", "warning:".yellow().bold()));
    }

    /// Writes a line to standard error, always.
    pub fn error_line(&self, text: &str) {
        // When standard error is gone there is nobody left to tell.
        let _ = self.paused(|| {
            writeln!(
                anstream::stderr(),
                "{}",
                text.strip_suffix('\n').unwrap_or(text)
            )
        });
    }

    /// A reporter that draws on this terminal.
    pub fn reporter(&self) -> TerminalReporter {
        TerminalReporter::new(self.clone(), self.bars.clone())
    }

    /// Runs `write` while no progress bar is on the screen. Nothing else is said meanwhile: whoever
    /// tries waits, so `write` must not try itself.
    pub fn paused<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }
}
