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
use nd_sandbox::{Access, Emulator, EngineOptions, EngineProcess, IdMode, Recorded};

use crate::{RunOutput, RunSpec, Runtime, RuntimeError};
use wire::{Command, Ended, Outputs, Reading, Said, Setup, Shown};

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
    emulator: Option<Emulator>,
    keep_changes: bool,
    engine: Mutex<Option<EngineProcess>>,
}

impl SandboxRuntime {
    /// Nothing is started yet. The program must give [`role`] to [`nd_sandbox::hook`].
    pub fn new(image: SandboxImage, ids: IdMode) -> Self {
        Self {
            image,
            ids,
            emulator: None,
            keep_changes: false,
            engine: Mutex::new(None),
        }
    }

    /// Runs an image of another architecture, if there is an emulator.
    #[must_use]
    pub fn emulated(self, emulator: Option<Emulator>) -> Self {
        Self { emulator, ..self }
    }

    /// Lets each command see what those before it changed. Changes are kept in memory, up to half of
    /// the machine's, until this value is gone or a command is cancelled.
    #[must_use]
    pub fn keeping_changes(self) -> Self {
        Self {
            keep_changes: true,
            ..self
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
        self.command(spec, Streams::Ours, &mut |_, _| {})
    }

    /// Runs a command whose standard streams are those of this process, in a session of its own: it
    /// has no terminal even where a stream is one. The outputs are not kept.
    pub fn connected(&self, spec: &RunSpec) -> Result<RunOutput, RuntimeError> {
        self.command(spec, Streams::Connected, &mut |_, _| {})
    }

    /// Runs a command in a session of its own whose terminal is `terminal`, the far end of a
    /// pseudo-terminal; nobody here holds it when the command has ended. The outputs are not kept.
    pub fn on_terminal(
        &self,
        spec: &RunSpec,
        terminal: OwnedFd,
    ) -> Result<RunOutput, RuntimeError> {
        self.command(spec, Streams::Terminal(terminal), &mut |_, _| {})
    }

    /// As [`Runtime::run`], and takes down every path that the command and all it starts look at.
    /// Needs no privilege; each call with a path waits for about two changes of process.
    pub fn record(
        &self,
        spec: &RunSpec,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<(RunOutput, Recorded), RuntimeError> {
        let mut recorded = Recorded::default();
        let output = self.perform(spec, Streams::Kept, Some(&mut recorded), on_line)?;
        Ok((output, recorded))
    }

    fn command(
        &self,
        spec: &RunSpec,
        streams: Streams,
        on_line: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<RunOutput, RuntimeError> {
        self.perform(spec, streams, None, on_line)
    }

    fn perform(
        &self,
        spec: &RunSpec,
        streams: Streams,
        recorded: Option<&mut Recorded>,
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
        let (mut command, fds) = prepare(spec, streams)?;
        command.record = recorded.is_some();
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
            let heard = hear(&mut engine, recorded, on_line);
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
            keep_changes: self.keep_changes,
        };
        let text = serde_json::to_vec(&setup).map_err(|error| RuntimeError::Refused {
            reason: error.to_string(),
        })?;
        let options = EngineOptions {
            emulator: self.emulator.as_ref(),
            ..EngineOptions::default()
        };
        let (name, ids) = (role::NAME, self.ids);
        Ok(EngineProcess::start_with(name, ids, &text, fds, &options)?)
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
        self.command(spec, Streams::Kept, on_line)
    }
}

/// Where the standard streams of a command are.
enum Streams {
    /// Its outputs come to us, its input is what the specification says.
    Kept,
    /// Ours, in our session.
    Ours,
    /// Ours, in a session of its own.
    Connected,
    /// A terminal of its own.
    Terminal(OwnedFd),
}

fn prepare(spec: &RunSpec, streams: Streams) -> Result<(Command, Vec<OwnedFd>), RuntimeError> {
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
    let mut reading = match &spec.input {
        Input::Inherited => Reading::Handed,
        Input::Bytes(bytes) => Reading::Bytes(bytes.clone()),
        Input::Nothing => Reading::Nothing,
    };
    let outputs = match streams {
        Streams::Kept => {
            if matches!(reading, Reading::Handed) {
                fds.push(stdin()?);
            }
            Outputs::Kept
        }
        Streams::Ours | Streams::Connected => {
            reading = Reading::Handed;
            fds.push(stdin()?);
            fds.push(copy(
                "standard output",
                std::io::stdout().as_fd().try_clone_to_owned(),
            )?);
            fds.push(copy(
                "standard error",
                std::io::stderr().as_fd().try_clone_to_owned(),
            )?);
            if matches!(streams, Streams::Ours) {
                Outputs::HandedWithSession
            } else {
                Outputs::Handed
            }
        }
        Streams::Terminal(terminal) => {
            reading = Reading::Handed;
            for _ in 0..2 {
                fds.push(copy("the terminal", terminal.try_clone())?);
            }
            fds.push(terminal);
            Outputs::Terminal
        }
    };
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
        outputs,
        record: false,
        limit: spec.timeout,
    };
    Ok((command, fds))
}

/// Takes what the engine says until the command ended.
fn hear(
    engine: &mut EngineProcess,
    mut recorded: Option<&mut Recorded>,
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
            Some(Said::Paths(paths)) => {
                if let Some(recorded) = recorded.as_deref_mut() {
                    let each = paths.split(|&byte| byte == 0).map(<[u8]>::to_vec);
                    recorded.paths.extend(each.filter(|path| !path.is_empty()));
                }
            }
            Some(Said::Missed(count)) => {
                if let Some(recorded) = recorded.as_deref_mut() {
                    recorded.missed += count;
                }
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
