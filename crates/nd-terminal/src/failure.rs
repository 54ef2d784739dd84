//! Why a command ended without success, and the exit code that says so.

use std::{error::Error, fmt, io};

/// What kind of failure it is; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The input is wrong or the operation failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// `--check` found changes that are pending.
    Pending,
    /// An external tool is missing or failed.
    Tool,
    /// Somebody else holds what is needed.
    Busy,
    /// Refused for safety.
    Refused,
    /// No space is left on a device.
    NoSpace,
    /// A bug of ours.
    Internal,
    /// Somebody asked to stop: Ctrl-C, or `SIGTERM`.
    Interrupted,
    /// A program that was run for its own sake ended with this code.
    Program(u8),
}

impl FailureKind {
    /// Every kind but [`Self::Program`], for documentation.
    pub const ALL: [Self; 9] = [
        Self::Failed,
        Self::Usage,
        Self::Pending,
        Self::Tool,
        Self::Busy,
        Self::Refused,
        Self::NoSpace,
        Self::Internal,
        Self::Interrupted,
    ];

    /// The exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Pending => 3,
            Self::Tool => 4,
            Self::Busy => 5,
            Self::Refused => 6,
            Self::NoSpace => 7,
            Self::Internal => 70,
            Self::Interrupted => 130,
            Self::Program(code) => code,
        }
    }
}

/// Why a command ended without success.
///
/// Every `std` error converts with `?` into [`FailureKind::Failed`], or into
/// [`FailureKind::NoSpace`] when an I/O error in its chain says so.
#[derive(Debug)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// What went wrong; `None` when it has been told already (as rendered diagnostics).
    pub report: Option<Box<dyn Error + Send + Sync>>,
    /// What to do about it, each one line.
    pub hints: Vec<String>,
}

impl Failure {
    /// A failure of `kind` with `report`, an error or a text.
    pub fn new(kind: FailureKind, report: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            report: Some(report.into()),
            hints: Vec::new(),
        }
    }

    /// A failure that has been told already; only the exit code remains to be given.
    pub fn told(kind: FailureKind) -> Self {
        Self {
            kind,
            report: None,
            hints: Vec::new(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// The exit code: that of the kind, or 0 when the reader of our output went away.
    pub fn exit_code(&self) -> u8 {
        if self.is_broken_pipe() {
            0
        } else {
            self.kind.exit_code()
        }
    }

    /// Whether the failure is that the reader of our standard output went away.
    pub fn is_broken_pipe(&self) -> bool {
        self.report
            .as_deref()
            .is_some_and(|report| io_kind(report) == Some(io::ErrorKind::BrokenPipe))
    }

    /// The failure as lines without colour: `error:`, the causes, `hint:` lines. Empty when told.
    /// Causes repeat what they found, so characters that a terminal would act on are marked.
    pub fn render(&self) -> String {
        use fmt::Write as _;
        let mut text = String::new();
        if let Some(report) = &self.report {
            let mut said = report.to_string();
            let _ = writeln!(text, "error: {said}");
            for cause in nd_report::causes(&**report).skip(1) {
                let line = cause.to_string();
                // Errors that print their cause themselves would say it twice.
                if !said.contains(&line) {
                    let _ = writeln!(text, "  because: {line}");
                    said = line;
                }
            }
        }
        let mut told: Vec<&str> = Vec::new();
        for hint in &self.hints {
            if !told.contains(&hint.as_str()) {
                let _ = writeln!(text, "hint: {hint}");
                told.push(hint);
            }
        }
        nd_report::visible(&text).into_owned()
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let kind = match io_kind(&error) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => FailureKind::NoSpace,
            _ => FailureKind::Failed,
        };
        Self::new(kind, error)
    }
}

/// The kind of the first I/O error in the chain.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    nd_report::causes(error)
        .find_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
}

/// Turns any result into one with a [`Failure`].
pub trait OrFail<T> {
    /// The error as a failure of `kind`.
    fn or_fail(self, kind: FailureKind) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> OrFail<T> for Result<T, E> {
    fn or_fail(self, kind: FailureKind) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(kind, error))
    }
}
