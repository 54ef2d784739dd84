//! The engine's side: runs one command after the other over the image's layers.

use std::{os::fd::OwnedFd, sync::Arc};

use nd_host::{RootDir, Stream};
use nd_sandbox::{
    Access, Engine, Exit, Handle, MemoryChanges, Mount, Output, ProcessSpec, Recorder, Role, Root,
    SandboxError, Session, Source, Stdin, run,
};

use super::{
    users::{Account, Accounts},
    wire::{Command, Ended, Outputs, Reading, Said, Setup},
};

/// Bytes of paths in one message.
const PIECE: usize = 1 << 20;

pub(super) const NAME: &str = "nd-runtime";

/// The role that every program gives to [`nd_sandbox::hook`] that uses a
/// [`SandboxRuntime`](crate::SandboxRuntime).
pub fn role() -> Role {
    Role {
        name: NAME,
        main: serve,
    }
}

fn serve(mut engine: Engine) -> u8 {
    let Ok(setup) = serde_json::from_slice::<Setup>(&engine.request) else {
        return 1;
    };
    let lowers: Vec<Handle> = std::mem::take(&mut engine.fds)
        .into_iter()
        .map(Arc::new)
        .collect();
    let account = account(&setup, &lowers);
    let mut changes = match setup.keep_changes.then(MemoryChanges::new).transpose() {
        Ok(changes) => changes,
        Err(error) => {
            engine.send(&Said::Ended(Ended::Refused(nd_report::with_causes(&error))).encode());
            return 1;
        }
    };
    let recorder = Recorder::new();
    while let Some(message) = engine.receive() {
        let Ok(command) = serde_json::from_slice::<Command>(&message.bytes) else {
            return 1;
        };
        let recorder = if command.record {
            Some(recorder.clone())
        } else {
            recorder.distrust();
            None
        };
        let ended = match &account {
            Ok(account) => {
                let root = match &mut changes {
                    Some(changes) => changes.root(lowers.clone()),
                    None => Ok(Root::Ephemeral {
                        lowers: lowers.clone(),
                        scratch: None,
                    }),
                };
                match root {
                    Ok(root) => one(
                        &engine,
                        &setup,
                        account,
                        root,
                        command,
                        recorder,
                        message.fds,
                    ),
                    Err(error) => Ended::Refused(nd_report::with_causes(&error)),
                }
            }
            Err(name) => Ended::UnknownUser(name.clone()),
        };
        engine.send(&Said::Ended(ended).encode());
    }
    0
}

fn account(setup: &Setup, lowers: &[Handle]) -> Result<Account, String> {
    let Some(user) = setup.user.as_deref().filter(|user| !user.is_empty()) else {
        return Accounts::read(&roots(lowers)).resolve("0");
    };
    Accounts::read(&roots(lowers)).resolve(user)
}

fn roots(lowers: &[Handle]) -> Vec<RootDir> {
    lowers
        .iter()
        .filter_map(|lower| lower.try_clone().ok())
        .map(RootDir::from_fd)
        .collect()
}

fn one(
    engine: &Engine,
    setup: &Setup,
    account: &Account,
    root: Root,
    command: Command,
    recorder: Option<Recorder>,
    fds: Vec<OwnedFd>,
) -> Ended {
    let Some(mut spec) = spec(setup, account, root, command, fds) else {
        return Ended::Refused("a descriptor is missing".into());
    };
    spec.recorder.clone_from(&recorder);
    let mut say = |stream: Stream, bytes: &[u8]| {
        let which = usize::from(stream == Stream::Stderr);
        engine.send(&Said::Output(which, bytes).encode());
    };
    let ran = run(&spec, &mut say, engine.cancel());
    if let Some(recorder) = recorder {
        tell(engine, &recorder);
    }
    match ran {
        Ok(Exit::Code(code)) => Ended::Code(code),
        Ok(Exit::Signal(signal)) => Ended::Signal(signal),
        Ok(Exit::TimedOut) => Ended::TimedOut,
        // Commands have no such limits; the kernel kills where there is no memory at all.
        Ok(Exit::OutOfMemory | Exit::DiskFull) => Ended::Signal(9),
        Ok(Exit::Cancelled) => Ended::Cancelled,
        Err(SandboxError::Exec { source, .. }) => Ended::NotExecuted {
            missing: source.kind() == std::io::ErrorKind::NotFound,
            reason: source.to_string(),
        },
        Err(error) => Ended::Refused(nd_report::with_causes(&error)),
    }
}

/// Sends what was taken down, in pieces.
fn tell(engine: &Engine, recorder: &Recorder) {
    let recorded = recorder.take();
    let mut piece = Vec::new();
    for path in &recorded.paths {
        piece.extend_from_slice(path);
        piece.push(0);
        if piece.len() > PIECE {
            engine.send(&Said::Paths(&piece).encode());
            piece.clear();
        }
    }
    engine.send(&Said::Paths(&piece).encode());
    engine.send(&Said::Missed(recorded.missed).encode());
}

fn spec(
    setup: &Setup,
    account: &Account,
    root: Root,
    command: Command,
    fds: Vec<OwnedFd>,
) -> Option<ProcessSpec> {
    let mut fds = fds.into_iter().map(Arc::new);
    let mut spec = ProcessSpec::new(root, command.argv);
    spec.user = account.user.clone();
    spec.env = environment(setup, account, command.env);
    spec.cwd = command
        .cwd
        .or_else(|| setup.working_dir.clone().map(String::into_bytes))
        .filter(|cwd| !cwd.is_empty())
        .unwrap_or_else(|| b"/".to_vec());
    for bind in command.binds {
        spec.mounts.push(Mount {
            source: Source::Handle(fds.next()?),
            target: bind.target,
            access: if bind.writable {
                Access::ReadWrite
            } else {
                Access::ReadOnly
            },
        });
    }
    spec.limits.time = command.limit;
    spec.stdin = match command.reading {
        Reading::Nothing => Stdin::Null,
        Reading::Bytes(bytes) => Stdin::Bytes(bytes),
        Reading::Handed => Stdin::Handle(fds.next()?),
    };
    spec.output = Output::Bytes;
    if command.outputs != Outputs::Kept {
        spec.output = Output::Handles {
            stdout: fds.next()?,
            stderr: fds.next()?,
        };
    }
    spec.session = match command.outputs {
        Outputs::Kept | Outputs::Handed => Session::Own,
        Outputs::HandedWithSession => Session::Callers,
        Outputs::Terminal => Session::Terminal,
    };
    Some(spec)
}

/// The image's variables under those of the command, and a home.
fn environment(
    setup: &Setup,
    account: &Account,
    more: Vec<(Vec<u8>, Vec<u8>)>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let home = account.home.clone().unwrap_or_else(|| b"/".to_vec());
    let mut env: Vec<(Vec<u8>, Vec<u8>)> = vec![(b"HOME".to_vec(), home)];
    let image = setup
        .env
        .iter()
        .map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()));
    for (name, value) in image.chain(more) {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => env.push((name, value)),
        }
    }
    env
}
