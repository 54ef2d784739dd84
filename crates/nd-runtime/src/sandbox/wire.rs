//! What caller and role say to each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every command of an image has in common; its layers come along, the topmost first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) env: Vec<(String, String)>,
    pub(super) user: Option<String>,
    pub(super) working_dir: Option<String>,
    /// Whether a command sees what those before it changed.
    pub(super) keep_changes: bool,
}

/// One command; what it is shown comes along, then its streams.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) cwd: Option<Vec<u8>>,
    pub(super) binds: Vec<Shown>,
    pub(super) reading: Reading,
    pub(super) outputs: Outputs,
    /// Whether the paths that it looks at are taken down.
    pub(super) record: bool,
    pub(super) limit: Option<Duration>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) target: Vec<u8>,
    pub(super) writable: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reading {
    Nothing,
    Bytes(Vec<u8>),
    Handed,
}

/// Where the outputs of a command go, and whose session it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outputs {
    /// To the caller, as messages.
    Kept,
    /// To what was handed along.
    Handed,
    /// The same, in the caller's session.
    HandedWithSession,
    /// The same; the input is the terminal of a session of its own.
    Terminal,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    TimedOut,
    Cancelled,
    NotExecuted { missing: bool, reason: String },
    UnknownUser(String),
    Refused(String),
}

/// What the role says. Output is not text and comes often, so it is no JSON.
#[derive(Debug)]
pub(super) enum Said<'a> {
    /// Bytes of standard output (0) or standard error (1).
    Output(usize, &'a [u8]),
    /// Paths that were looked at, each with a zero byte behind it.
    Paths(&'a [u8]),
    /// How many paths could not be taken down.
    Missed(u64),
    Ended(Ended),
}

impl<'a> Said<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Output(which, bytes) => {
                let mut message = vec![*which as u8];
                message.extend_from_slice(bytes);
                message
            }
            Self::Paths(paths) => [&[3], *paths].concat(),
            Self::Missed(count) => [&[4][..], &count.to_le_bytes()].concat(),
            Self::Ended(ended) => {
                let mut message = vec![2];
                // Plain enumerations always have a JSON form.
                message.extend(serde_json::to_vec(ended).unwrap_or_default());
                message
            }
        }
    }

    pub(super) fn decode(message: &'a [u8]) -> Option<Self> {
        let (kind, rest) = message.split_first()?;
        match kind {
            0 | 1 => Some(Self::Output(usize::from(*kind), rest)),
            3 => Some(Self::Paths(rest)),
            4 => Some(Self::Missed(u64::from_le_bytes(rest.try_into().ok()?))),
            2 => serde_json::from_slice(rest).ok().map(Self::Ended),
            _ => None,
        }
    }
}
