//! Running programs of others.

mod error;
mod invocation;
mod pump;
mod replace;
mod system;

use std::path::PathBuf;

use nd_report::Cancel;

pub use error::ProgramError;
pub use invocation::{Input, Invocation};
pub use replace::replace_process;
pub use system::SystemPrograms;

/// Which of its two outputs a program wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Outcome {
    /// Whether it ended with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A program that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The command line as it may be shown, secrets masked.
    pub shown: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// The last lines it wrote to standard error, 20 at most.
    pub last_lines: Vec<String>,
}

impl Finished {
    /// Itself when it succeeded, else the error that tells what was run and what it said last.
    pub fn success(self) -> Result<Self, ProgramError> {
        if self.outcome.success() {
            Ok(self)
        } else {
            Err(ProgramError::Failed {
                shown: self.shown,
                outcome: self.outcome,
                last_lines: self.last_lines,
            })
        }
    }

    /// Standard output as text without its last newline; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// Runs programs of others. The one way to do so outside the sandbox.
pub trait Programs: Send + Sync {
    /// Where a program is: `name` itself when it has a slash, else the first of that name on the
    /// search path and in the folders of system programs that can be executed.
    fn find(&self, name: &str) -> Option<PathBuf>;

    /// Runs a program to its end; `on_line` gets each line of its outputs as it comes, without its
    /// newline.
    ///
    /// A program that ends with another code than 0 is no error here: see [`Finished::success`].
    fn run(
        &self,
        invocation: &Invocation,
        on_line: &mut dyn FnMut(Stream, &[u8]),
        cancel: &Cancel,
    ) -> Result<Finished, ProgramError>;

    /// Runs a program quietly and expects success.
    fn check(&self, invocation: &Invocation) -> Result<Finished, ProgramError> {
        self.run(invocation, &mut |_, _| {}, &Cancel::default())?
            .success()
    }
}
