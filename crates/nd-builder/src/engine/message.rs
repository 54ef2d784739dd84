//! What caller and engine say to each other.

use nd_names::Sha256;
use nd_sandbox::Limits;
use serde::{Deserialize, Serialize};

use crate::{
    build::LayerBudget,
    plan::{CopySpec, RunSpec},
    secret::Secret,
};

/// Descriptors every request comes with, by place; further ones follow.
pub(crate) mod fd {
    /// The store's folder of trees.
    pub(crate) const TREES: usize = 0;
    /// The folder that becomes the new tree.
    pub(crate) const NEW: usize = 1;
    /// The blob: read when unpacking, written otherwise.
    pub(crate) const BLOB: usize = 2;
    /// Takes the layer's index.
    pub(crate) const INDEX: usize = 3;
    /// The first of those that a job names itself.
    pub(crate) const MORE: usize = 4;
}

/// What is in a tree's folder: the tree itself. The folder around it belongs to whoever builds, so
/// that it can be renamed whatever an image does to its root.
pub(crate) const TREE: &str = "fs";

/// One piece of work for an engine process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Whether there is but one id inside, so that owners cannot be kept on disk.
    pub(crate) single: bool,
    /// Names of the trees below, the lowest first.
    pub(crate) lowers: Vec<String>,
    /// Latest time in the layer.
    pub(crate) epoch: i64,
    /// How the layer is compressed.
    pub(crate) compression: String,
    /// What to do.
    pub(crate) job: Job,
}

/// What an engine does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Unpacks a layer.
    Unpack {
        /// What it may hold.
        budget: LayerBudget,
        /// Bytes that stay free on the disk.
        reserve: Option<u64>,
    },
    /// Makes one tree of those below.
    Flatten,
    /// Runs a script.
    Run(Box<RunJob>),
    /// Copies files in.
    Copy {
        /// What to copy; context sources lie in the tar as their number.
        spec: CopySpec,
        /// The descriptor of the tar.
        tar: usize,
        /// Trees of stages that are copied from, by stage, the lowest first.
        stages: Vec<(usize, Vec<String>)>,
    },
    /// Makes a directory.
    Directory {
        /// Absolute path.
        path: String,
    },
    /// Removes everything in the new folder.
    Remove,
}

/// A script with what only this build machine gives it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunJob {
    pub(crate) spec: RunSpec,
    /// Variables of the machine, which no key knows.
    pub(crate) host_env: Vec<(String, String)>,
    /// Inputs and settings, in the order in which they are mounted.
    pub(crate) mounts: Vec<(MountSource, String)>,
    /// How much it may take.
    pub(crate) limits: Limits,
    /// Whether it gets no network whatever it asks for.
    pub(crate) offline: bool,
    /// What it may read and nobody may keep.
    pub(crate) secrets: Vec<Secret>,
    /// Whether somebody looks in when it fails.
    pub(crate) look_in: bool,
}

/// Where a mount comes from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum MountSource {
    /// A descriptor.
    Descriptor(usize),
    /// A descriptor of a directory that scripts may write to.
    Shared(usize),
    /// A small file; the engine could not open one that only its owner may read.
    Bytes(Vec<u8>),
}

/// What an engine says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Something odd that changes nothing.
    Note(String),
    /// What keeps a script to its limits.
    Kept(String),
    /// A script failed; a message of the caller is waited for: with a terminal for a shell over what
    /// the script left, its bytes being the kind of terminal, or with nothing.
    Failing(Ended),
    /// The work is done.
    Done(Done),
    /// A script ended in another way than with code 0.
    Exit(Ended),
    /// The work could not be done: the error and its causes.
    Failed(Vec<String>),
}

/// How a script ended that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ended {
    Code(i32),
    Signal(i32),
    TimedOut,
    OutOfMemory,
    DiskFull,
    Cancelled,
}

/// What a finished piece of work made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    /// The layer; none if nothing changed.
    pub(crate) layer: Option<DoneLayer>,
}

/// A layer that lies in the blob's descriptor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DoneLayer {
    pub(crate) diff_id: Sha256,
    pub(crate) digest: Sha256,
    pub(crate) size: u64,
    pub(crate) uncompressed: u64,
    pub(crate) entries: u64,
}

/// A message on the wire: a line of output as it is, anything else as JSON.
#[derive(Debug)]
pub(crate) enum Message {
    Output(Vec<u8>),
    Reply(Reply),
}

impl Message {
    pub(crate) fn output(line: &[u8]) -> Vec<u8> {
        [b"o", line].concat()
    }

    pub(crate) fn reply(reply: &Reply) -> Vec<u8> {
        let mut out = vec![b'r'];
        // Plain data always serialises.
        out.extend(serde_json::to_vec(reply).unwrap_or_default());
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b'o', line) => Some(Self::Output(line.to_vec())),
            (b'r', reply) => serde_json::from_slice(reply).ok().map(Self::Reply),
            _ => None,
        }
    }
}
