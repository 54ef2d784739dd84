//! What the engine tells an init process, and what it hears from it.

use serde::{Deserialize, Serialize};

/// Kinds of frames between engine and init.
pub(crate) mod kind {
    pub(crate) const PLAN: u32 = 101;
    /// Mount points that were made: [`Changes`](super::Changes).
    pub(crate) const CHANGES: u32 = 102;
    /// The step ended: exit code or signal, one byte for which and four for the number.
    pub(crate) const EXITED: u32 = 103;
    /// The set-up failed: `ERRNO what was tried`.
    pub(crate) const FAILED: u32 = 104;
    /// The program could not be executed: `ERRNO`.
    pub(crate) const NOT_EXECUTED: u32 = 105;
    /// From the step itself: hears of its calls.
    pub(crate) const LISTENER: u32 = 106;
}

/// A position in the descriptors sent along.
pub(crate) type FdIndex = usize;

/// Everything init does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The mount that becomes `/`.
    pub(crate) root: FdIndex,
    /// The directory that takes changes, to see what stood there before.
    pub(crate) upper: Option<FdIndex>,
    pub(crate) read_only: bool,
    pub(crate) single_id: bool,
    pub(crate) argv: Vec<Vec<u8>>,
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) cwd: Vec<u8>,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) mounts: Vec<PlannedMount>,
    pub(crate) own_network: bool,
    pub(crate) hostname: String,
    pub(crate) processes: Option<u64>,
    pub(crate) own_session: bool,
    /// Whether standard input becomes the terminal of the session.
    pub(crate) own_terminal: bool,
    /// Who is given what hears of the step's calls.
    pub(crate) recorder: Option<FdIndex>,
    pub(crate) stdin: Option<FdIndex>,
    pub(crate) stdout: FdIndex,
    pub(crate) stderr: FdIndex,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlannedMount {
    pub(crate) source: PlannedSource,
    pub(crate) target: Vec<u8>,
    pub(crate) writable: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PlannedSource {
    /// A mount that belongs to nobody yet.
    Mount(FdIndex),
    Bytes {
        content: Vec<u8>,
        mode: u32,
        owner: (u32, u32),
    },
    Memory {
        mode: u32,
    },
}

/// What init changed in the root before the step ran, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changes {
    /// Mount points that were missing.
    pub(crate) made: Vec<Made>,
    /// Directories in which they were made, as they were before.
    pub(crate) touched: Vec<Touched>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    /// From the root, without symlinks.
    pub(crate) path: Vec<u8>,
    pub(crate) directory: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Touched {
    /// From the root, without symlinks; empty for the root itself.
    pub(crate) path: Vec<u8>,
    /// Whether the upper directory had it before.
    pub(crate) in_upper: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, i64),
}
