//! The embedded sandbox as a runtime: unpacked layers, nothing installed, nothing set-uid.

mod role;
mod users;
mod wire;

use std::{
    fs::{File, OpenOptions},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nd_host::{Input, LineSplitter, Stream};
use nd_sandbox::{Access, EngineProcess, IdMode};

use crate::{RunOutput, RunSpec, Runtime, RuntimeError};
use wire::{Command, Ended, Reading, Said, Setup, Shown};

pub use role::role;

/// An image that is unpacked on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SandboxImage {
    /// Directories of its layers, the topmost first.
    pub lowers: Vec<PathBuf>,
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// Its user: `NAME`, `UID`, either with `:GROUP` or `:GID`; root when there is none.
    pub user: Option<String>,
    /// Its working directory; `/` when there is none.
    pub working_dir: Option<String>,
}

/// Runs commands in an unpacked image. All of them run in one engine, started with the first.
#[derive(Debug)]
pub struct SandboxRuntime {
    image: SandboxImage,
    ids: IdMode,
    engine: Mutex<Option<EngineProcess>>,
}

impl SandboxRuntime {
    /// Nothing is started yet. The program must give [`role`] to [`nd_sandbox::hook`].
    pub fn new(image: SandboxImage, ids: IdMode) -> Self {
        Self {
            image,
            ids,
            engine: Mutex::new(None),
        }
    }

    /// Whom directories must belong to (uid and gid of the host) that commands write into as the
    /// image's root; `None` when that is the user who runs this.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.ids.owner()
    }

    /// Runs a command that has the standard streams of this process, and its terminal if they are
    /// one: for a shell. The outputs are not kept.
    pub fn interactive(&self, spec: &RunSpec) -> Result<RunOutput, RuntimeError> {
        self.command(spec, true, &mut |_, _| {})
    }

    fn command(
        &self,
        spec: &RunSpec,
        interactive: bool,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<RunOutput, RuntimeError> {
        if spec.cancel.is_cancelled() {
            return Err(RuntimeError::Cancelled);
        }
        let mut slot = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: an engine that failed in the middle is not used again.
        let mut engine = match slot.take() {
            Some(engine) => engine,
            None => self.start()?,
        };
        let (command, fds) = prepare(spec, interactive)?;
        let text = serde_json::to_vec(&command).map_err(|error| RuntimeError::Refused {
            reason: error.to_string(),
        })?;
        engine.send(&text, &fds)?;
        drop(fds);
        let over = AtomicBool::new(false);
        let canceller = engine.canceller();
        let (output, ended) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    if spec.cancel.is_cancelled() {
                        canceller.cancel();
                        return;
                    }
                    std::thread::park_timeout(Duration::from_millis(50));
                }
            });
            let heard = hear(&mut engine, on_line);
            over.store(true, Ordering::Release);
            watcher.thread().unpark();
            heard
        })?;
        if ended != Ended::Cancelled {
            *slot = Some(engine);
        }
        finish(spec, output, ended)
    }

    fn start(&self) -> Result<EngineProcess, RuntimeError> {
        let fds = self
            .image
            .lowers
            .iter()
            .map(|path| open_path(path))
            .collect::<Result<Vec<_>, _>>()?;
        let setup = Setup {
            env: self.image.env.clone(),
            user: self.image.user.clone(),
            working_dir: self.image.working_dir.clone(),
        };
        let text = serde_json::to_vec(&setup).map_err(|error| RuntimeError::Refused {
            reason: error.to_string(),
        })?;
        Ok(EngineProcess::start(role::NAME, self.ids, &text, fds)?)
    }
}

impl Runtime for SandboxRuntime {
    fn name(&self) -> String {
        format!("sandbox ({})", self.ids.name())
    }

    fn run(
        &self,
        spec: &RunSpec,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<RunOutput, RuntimeError> {
        self.command(spec, false, on_line)
    }
}

fn prepare(spec: &RunSpec, interactive: bool) -> Result<(Command, Vec<OwnedFd>), RuntimeError> {
    let mut fds = Vec::new();
    let mut binds = Vec::new();
    for bind in &spec.binds {
        fds.push(open_path(&bind.host)?);
        binds.push(Shown {
            target: bind.inside.as_os_str().as_bytes().to_vec(),
            writable: bind.access == Access::ReadWrite,
        });
    }
    let copy = |name: &str, fd: std::io::Result<OwnedFd>| {
        fd.map_err(|source| RuntimeError::Open {
            path: name.into(),
            source,
        })
    };
    let stdin = || {
        copy(
            "standard input",
            std::io::stdin().as_fd().try_clone_to_owned(),
        )
    };
    let reading = match (&spec.input, interactive) {
        (_, true) | (Input::Inherited, _) => {
            fds.push(stdin()?);
            Reading::Handed
        }
        (Input::Bytes(bytes), _) => Reading::Bytes(bytes.clone()),
        (Input::Nothing, _) => Reading::Nothing,
    };
    if interactive {
        fds.push(copy(
            "standard output",
            std::io::stdout().as_fd().try_clone_to_owned(),
        )?);
        fds.push(copy(
            "standard error",
            std::io::stderr().as_fd().try_clone_to_owned(),
        )?);
    }
    let bytes = |text: &std::ffi::OsStr| text.as_bytes().to_vec();
    let command = Command {
        argv: spec.argv.iter().map(|word| bytes(word)).collect(),
        env: spec
            .env
            .iter()
            .map(|(name, value)| (bytes(name), bytes(value)))
            .collect(),
        cwd: spec.cwd.as_ref().map(|path| bytes(path.as_os_str())),
        binds,
        reading,
        interactive,
        limit: spec.timeout,
    };
    Ok((command, fds))
}

/// Takes what the engine says until the command ended.
fn hear(
    engine: &mut EngineProcess,
    on_line: &mut dyn FnMut(Stream, &[u8]),
) -> Result<(RunOutput, Ended), RuntimeError> {
    let mut output = RunOutput::default();
    let mut lines = [LineSplitter::new(), LineSplitter::new()];
    let streams = [Stream::Stdout, Stream::Stderr];
    while let Some(message) = engine.next_message()? {
        match Said::decode(&message) {
            Some(Said::Output(which, bytes)) => {
                let stream = streams[which];
                output.keep(stream, bytes);
                lines[which].push(bytes, &mut |line| on_line(stream, line));
            }
            Some(Said::Ended(ended)) => {
                for (lines, stream) in lines.iter_mut().zip(streams) {
                    lines.finish(&mut |line| on_line(stream, line));
                }
                return Ok((output, ended));
            }
            None => break,
        }
    }
    Err(RuntimeError::Refused {
        reason: "the engine ended before the command".into(),
    })
}

fn finish(spec: &RunSpec, mut output: RunOutput, ended: Ended) -> Result<RunOutput, RuntimeError> {
    match ended {
        Ended::Code(code) => output.status = code,
        Ended::Signal(signal) => output.status = 128 + signal,
        Ended::TimedOut => {
            output.status = 137;
            output.timed_out = true;
        }
        Ended::Cancelled => return Err(RuntimeError::Cancelled),
        Ended::NotExecuted { missing, reason } => {
            output.status = if missing { 127 } else { 126 };
            let program = spec.argv.first().map(|name| name.to_string_lossy());
            let text = format!("{}: {reason}\n", program.unwrap_or_default());
            output.keep(Stream::Stderr, text.as_bytes());
        }
        Ended::UnknownUser(name) => return Err(RuntimeError::UnknownUser { name }),
        Ended::Refused(reason) => return Err(RuntimeError::Refused { reason }),
    }
    Ok(output)
}

/// Opens something only to show it: no permission to read is needed, and no device is touched.
fn open_path(path: &Path) -> Result<OwnedFd, RuntimeError> {
    /// `O_PATH`, the same on every architecture that containers run on.
    const O_PATH: i32 = 0o10_000_000;
    let file: Result<File, _> = OpenOptions::new()
        .read(true)
        .custom_flags(O_PATH)
        .open(path);
    file.map(OwnedFd::from)
        .map_err(|source| RuntimeError::Open {
            path: path.to_path_buf(),
            source,
        })
}
