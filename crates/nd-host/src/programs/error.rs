//! Why a program did not do its work.

use std::{io, time::Duration};

use super::Outcome;

/// A program of others could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not installed.
    #[error("program `{program}` is not installed")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be started.
    #[error("failed to start `{shown}`")]
    Start {
        /// The command line, secrets masked.
        shown: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its output could not be read, or its end not waited for.
    #[error("lost touch with `{shown}`")]
    Lost {
        /// The command line, secrets masked.
        shown: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended with another code than 0, or by a signal.
    #[error("`{shown}` failed with {outcome}{}", tail(last_lines))]
    Failed {
        /// The command line, secrets masked.
        shown: String,
        /// How it ended.
        outcome: Outcome,
        /// The last lines it wrote to standard error, 20 at most.
        last_lines: Vec<String>,
    },
    /// It took longer than allowed and was killed.
    #[error("`{shown}` did not end within {} s{}", limit.as_secs_f32(), tail(last_lines))]
    TimedOut {
        /// The command line, secrets masked.
        shown: String,
        /// What was allowed.
        limit: Duration,
        /// The last lines it wrote to standard error, 20 at most.
        last_lines: Vec<String>,
    },
    /// The caller asked to stop; it was killed.
    #[error("`{shown}` was cancelled")]
    Cancelled {
        /// The command line, secrets masked.
        shown: String,
    },
}

fn tail(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str("\n  ");
        text.push_str(line);
        text
    })
}
