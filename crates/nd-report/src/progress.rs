//! What happens during long work, as events.

use std::time::Duration;

/// Identity of a unit of work within one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub u32);

/// How a unit of work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// Done now.
    Done,
    /// Taken from a cache.
    Cached,
    /// Failed; the error follows through `Result`.
    Failed,
}

/// Something that happened. Texts are for people and may change.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A unit of work begins.
    Started {
        /// Its identity.
        id: StepId,
        /// What it does, one line.
        title: &'a str,
        /// How much there is to do, in bytes, when known.
        bytes: Option<u64>,
    },
    /// It got further, in bytes.
    Advanced {
        /// Its identity.
        id: StepId,
        /// Bytes done so far.
        bytes: u64,
    },
    /// It said a line (a program's output, without its newline; may be invalid UTF-8).
    Output {
        /// Its identity.
        id: StepId,
        /// The line.
        line: &'a [u8],
    },
    /// It ended.
    Finished {
        /// Its identity.
        id: StepId,
        /// How.
        outcome: StepOutcome,
        /// How long it took.
        took: Duration,
    },
    /// Something the user should know that is no problem of the input.
    Note {
        /// What, one line.
        text: &'a str,
    },
}

/// Takes events; called from any thread.
pub trait Reporter: Send + Sync {
    /// Takes one event. Must return quickly.
    fn event(&self, event: Event<'_>);
}

/// Drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: Event<'_>) {}
}
