//! What to run in an image, and what came of it.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use nd_host::{Input, Stream};
use nd_report::Cancel;
use nd_sandbox::Access;

use crate::RuntimeError;

/// Something of the host shown inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// A directory or file of the host.
    pub host: PathBuf,
    /// Where it is shown; need not exist in the image.
    pub inside: PathBuf,
    /// Whether it can be written, as far as permissions go: what a sandbox of a real root writes
    /// into must belong to [`SandboxRuntime::owner`](crate::SandboxRuntime::owner) or be open to all.
    pub access: Access,
}

/// A command to run in an image.
#[derive(Debug, Clone, Default)]
pub struct RunSpec {
    /// Program and arguments; the entry point of the image is not used.
    pub argv: Vec<OsString>,
    /// Variables besides those of the image, over which they win.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts; where the image says, if nowhere.
    pub cwd: Option<PathBuf>,
    /// What of the host it sees.
    pub binds: Vec<Bind>,
    /// What it reads.
    pub input: Input,
    /// How long it may take; it is killed then.
    pub timeout: Option<Duration>,
    /// The caller's wish to stop.
    pub cancel: Cancel,
}

impl RunSpec {
    /// A command without anything else.
    pub fn new<T: Into<OsString>>(argv: impl IntoIterator<Item = T>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

/// What came of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOutput {
    /// Its exit code; 128 and the number of the signal that ended it; 127 when there is no such
    /// program, 126 when it cannot be executed, and 137 when it took too long.
    pub status: i32,
    /// What it wrote to standard output, up to 64 MiB.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, up to 64 MiB.
    pub stderr: Vec<u8>,
    /// Whether it was killed because it took too long.
    pub timed_out: bool,
}

impl RunOutput {
    /// How much of each stream is kept.
    const KEPT: usize = 64 << 20;

    /// Whether the command ended with code 0.
    pub fn success(&self) -> bool {
        self.status == 0 && !self.timed_out
    }

    pub(crate) fn keep(&mut self, stream: Stream, bytes: &[u8]) {
        let kept = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let room = Self::KEPT.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Runs commands in one image.
pub trait Runtime: Send + Sync {
    /// What reports call it, with a version where it has one.
    fn name(&self) -> String;

    /// Runs a command to its end, over the image as it is: what it writes outside of binds is
    /// thrown away. `on_line` gets each line of its outputs as it comes, without newline.
    fn run(
        &self,
        spec: &RunSpec,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<RunOutput, RuntimeError>;
}
