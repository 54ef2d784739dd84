//! What caller and role say to each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every command of an image has in common; its layers come along, the topmost first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) env: Vec<(String, String)>,
    pub(super) user: Option<String>,
    pub(super) working_dir: Option<String>,
}

/// One command; what it is shown comes along, then its streams.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) cwd: Option<Vec<u8>>,
    pub(super) binds: Vec<Shown>,
    pub(super) reading: Reading,
    pub(super) interactive: bool,
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
            2 => serde_json::from_slice(rest).ok().map(Self::Ended),
            _ => None,
        }
    }
}
