//! The caller's side of an engine.

use std::{
    fs::File,
    io::Write as _,
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use nd_host::{Environment, Invocation, Programs as _, SystemPrograms};
use nd_namespace::clone_tree;

use crate::{Emulator, Enforcement, IdMode, Limits, SandboxError, cgroup::Group, hook, wire};

/// Kinds of frames between caller and engine.
pub(crate) mod kind {
    pub(crate) const READY: u32 = 1;
    pub(crate) const START: u32 = 2;
    pub(crate) const MESSAGE: u32 = 3;
    pub(crate) const CANCEL: u32 = 4;
    pub(crate) const DONE: u32 = 5;
    pub(crate) const NO_NAMESPACE: u32 = 6;
    pub(crate) const FAILED: u32 = 7;
    pub(crate) const UNKNOWN_ROLE: u32 = 8;
    /// A control group: its version, and its files.
    pub(crate) const GROUP: u32 = 9;
    /// An emulator: the architecture, and the program.
    pub(crate) const EMULATOR: u32 = 10;
}

/// A message between a caller and a role.
#[derive(Debug)]
pub struct Message {
    /// What it says.
    pub bytes: Vec<u8>,
    /// What was sent along.
    pub fds: Vec<OwnedFd>,
}

/// A running engine: a process in a user and a mount namespace of its own that works for this one.
///
/// It ends when this value is dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct EngineProcess {
    child: Child,
    socket: Arc<OwnedFd>,
    sending: Arc<Mutex<()>>,
    code: Option<u8>,
    /// Removed after the processes in it, in the order of these fields.
    group: Option<Group>,
}

/// Asks an engine to stop, from any thread.
#[derive(Debug, Clone)]
pub struct EngineCanceller {
    socket: Arc<OwnedFd>,
    sending: Arc<Mutex<()>>,
}

impl EngineCanceller {
    /// Asks the engine to stop: what it runs is killed, and its role is told.
    pub fn cancel(&self) {
        let _guard = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        // An engine that is gone has stopped.
        let _ = wire::send(self.socket.as_fd(), kind::CANCEL, b"", &[]);
    }
}

/// What an engine has besides its role.
#[derive(Debug, Clone, Copy, Default)]
pub struct EngineOptions<'a> {
    /// A control group for everything that it runs, where they say how much memory that may use and
    /// this user may make one.
    pub limits: Option<&'a Limits>,
    /// Who runs programs of another architecture, for everything in it.
    pub emulator: Option<&'a Emulator>,
}

impl EngineProcess {
    /// Starts `role` in an engine with `request` and `fds`.
    ///
    /// Directories, and files opened as paths (`O_PATH`), become part of the engine's mount
    /// namespace, so that it can mount them, wherever they are; others arrive as they are. In mode
    /// [`IdMode::Range`] those that it shall write into must belong to [`IdMode::owner`].
    pub fn start(
        role: &str,
        ids: IdMode,
        request: &[u8],
        fds: Vec<OwnedFd>,
    ) -> Result<Self, SandboxError> {
        Self::start_with(role, ids, request, fds, &EngineOptions::default())
    }

    /// As [`Self::start`], with what `options` ask for.
    pub fn start_with(
        role: &str,
        ids: IdMode,
        request: &[u8],
        fds: Vec<OwnedFd>,
        options: &EngineOptions<'_>,
    ) -> Result<Self, SandboxError> {
        if !hook::called() {
            return Err(SandboxError::HookMissing);
        }
        let (ours, theirs) = wire::pair().map_err(SandboxError::setup("make a socket"))?;
        let child = spawn(role, theirs)?;
        let mut engine = Self {
            child,
            socket: Arc::new(ours),
            sending: Arc::default(),
            code: None,
            group: None,
        };
        match engine.receive()? {
            Some(frame) if frame.kind == kind::READY => {}
            Some(frame) => return Err(failure(&frame)),
            None => return Err(engine.died()),
        }
        engine.map_ids(ids)?;
        let own = engine.child.id();
        engine.group = options.limits.and_then(|limits| Group::make(limits, own));
        if let Some(group) = &engine.group {
            let version: &[u8] = match group.kind() {
                Enforcement::CgroupV2 => b"2",
                _ => b"1",
            };
            let files = group
                .files()
                .map_err(SandboxError::setup("copy a descriptor"))?;
            let files: Vec<_> = files.iter().map(OwnedFd::as_fd).collect();
            wire::send(engine.socket.as_fd(), kind::GROUP, version, &files)
                .map_err(SandboxError::setup("send a message to the engine"))?;
        }
        if let Some((name, program)) = options.emulator.map(Emulator::parts) {
            let (socket, program) = (engine.socket.as_fd(), program.as_fd());
            wire::send(socket, kind::EMULATOR, name.as_bytes(), &[program])
                .map_err(SandboxError::setup("send a message to the engine"))?;
        }
        let mode = match ids {
            IdMode::Range { .. } => b'r',
            IdMode::Single => b's',
        };
        let mut payload = vec![mode];
        payload.extend_from_slice(request);
        engine.send_frame(kind::START, &payload, &fds)?;
        // The engine has its own now.
        drop(fds);
        Ok(engine)
    }

    /// Sends the role a message, which it gets from [`Engine::receive`](crate::Engine::receive).
    pub fn send(&self, message: &[u8], fds: &[OwnedFd]) -> Result<(), SandboxError> {
        self.send_frame(kind::MESSAGE, message, fds)
    }

    /// The next message of the role; `None` after the last, when it has ended.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, SandboxError> {
        Ok(self.next_message_with_fds()?.map(|message| message.bytes))
    }

    /// The next message of the role with the descriptors it sent along.
    pub fn next_message_with_fds(&mut self) -> Result<Option<Message>, SandboxError> {
        if self.code.is_some() {
            return Ok(None);
        }
        match self.receive()? {
            Some(frame) if frame.kind == kind::MESSAGE => Ok(Some(Message {
                bytes: frame.payload,
                fds: frame.fds,
            })),
            Some(frame) if frame.kind == kind::DONE => {
                self.code = frame.payload.first().copied();
                Ok(None)
            }
            Some(frame) => Err(failure(&frame)),
            None => Err(self.died()),
        }
    }

    /// Asks the engine to stop; messages may still come until it has.
    pub fn cancel(&self) {
        self.canceller().cancel();
    }

    /// Something that asks the engine to stop, for another thread.
    pub fn canceller(&self) -> EngineCanceller {
        EngineCanceller {
            socket: Arc::clone(&self.socket),
            sending: Arc::clone(&self.sending),
        }
    }

    /// The number of the engine's process, for messages.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the role has ended, dropping its messages, and gives its result.
    pub fn wait(mut self) -> Result<u8, SandboxError> {
        while self.next_message()?.is_some() {}
        let code = self.code;
        // The engine ends by itself after its last message; its exit is not worth an error.
        let _ = self.child.wait();
        code.ok_or(SandboxError::Protocol { process: "engine" })
    }

    fn send_frame(&self, kind: u32, payload: &[u8], fds: &[OwnedFd]) -> Result<(), SandboxError> {
        let copies = fds
            .iter()
            .map(portable)
            .collect::<Result<Vec<_>, _>>()
            .map_err(SandboxError::setup("copy a descriptor"))?;
        let fds: Vec<_> = fds
            .iter()
            .zip(&copies)
            .flat_map(|(fd, copy)| [fd.as_fd(), copy.as_fd()])
            .collect();
        let _guard = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        wire::send(self.socket.as_fd(), kind, payload, &fds)
            .map_err(SandboxError::setup("send a message to the engine"))
    }

    fn receive(&mut self) -> Result<Option<wire::Frame>, SandboxError> {
        wire::receive(self.socket.as_fd())
            .map_err(SandboxError::setup("receive a message from the engine"))
    }

    /// The error when the connection ended before the role did.
    fn died(&mut self) -> SandboxError {
        // It may only have closed its end; then it has nothing to do any more.
        let _ = self.child.kill();
        SandboxError::Died {
            process: "engine",
            how: self
                .child
                .wait()
                .map_or_else(|error| error.to_string(), |status| status.to_string()),
        }
    }

    fn map_ids(&self, ids: IdMode) -> Result<(), SandboxError> {
        let pid = self.child.id();
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        match ids {
            IdMode::Range { first, count } if uid == 0 => {
                let map = format!("0 {first} {count}\n");
                write_proc(pid, "uid_map", &map)?;
                write_proc(pid, "gid_map", &map)
            }
            IdMode::Range { first, count } => {
                let environment = Environment::of_process()
                    .map_err(SandboxError::setup("read the working directory"))?;
                let programs = SystemPrograms::new(&environment);
                for (tool, own) in [("newuidmap", uid), ("newgidmap", gid)] {
                    let numbers = [pid, 0, own, 1, 1, first, count].map(|n| n.to_string());
                    programs
                        .check(&Invocation::new(tool).args(numbers))
                        .map_err(|error| SandboxError::IdMap(Box::new(error)))?;
                }
                Ok(())
            }
            IdMode::Single => {
                // Without this the kernel lets nobody but root map groups.
                write_proc(pid, "setgroups", "deny")?;
                write_proc(pid, "uid_map", &format!("0 {uid} 1\n"))?;
                write_proc(pid, "gid_map", &format!("0 {gid} 1\n"))
            }
        }
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        // Everything it runs ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the engine is this program itself, not one of others"
)]
fn spawn(role: &str, socket: OwnedFd) -> Result<Child, SandboxError> {
    use std::os::unix::process::CommandExt as _;
    Command::new("/proc/self/exe")
        .arg0(hook::ENGINE)
        .arg(role)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(socket))
        .spawn()
        .map_err(SandboxError::setup("start the engine"))
}

/// What the engine may take instead of a descriptor that it cannot open again by name: a real root
/// can make a copy of the mount, which is usable even where the ids inside may not go. Nobody else can,
/// but everybody else's engine may go wherever its user may.
fn portable(fd: &OwnedFd) -> std::io::Result<OwnedFd> {
    clone_tree(fd.as_fd(), c"", true).or_else(|_| fd.try_clone())
}

fn write_proc(pid: u32, name: &str, text: &str) -> Result<(), SandboxError> {
    let path = format!("/proc/{pid}/{name}");
    let failed = |source| SandboxError::Setup {
        doing: format!("map ids by `{path}`"),
        source,
    };
    let mut file: File = fs_err::OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(failed)?
        .into();
    // The kernel takes a map in one write.
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Which setting most likely forbids user namespaces here.
fn namespace_setting() -> &'static str {
    let zero = |path: &str| fs_err::read_to_string(path).is_ok_and(|text| text.trim() == "0");
    if zero("/proc/sys/user/max_user_namespaces") {
        "the sysctl `user.max_user_namespaces`"
    } else if zero("/proc/sys/kernel/unprivileged_userns_clone") {
        "the sysctl `kernel.unprivileged_userns_clone`"
    } else if fs_err::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        .is_ok_and(|text| text.trim() == "1")
    {
        "the sysctl `kernel.apparmor_restrict_unprivileged_userns`"
    } else {
        "the sysctls `user.max_*_namespaces`, or the rules of a container around this process"
    }
}

/// The error that the engine reports in a frame.
fn failure(frame: &wire::Frame) -> SandboxError {
    let text = String::from_utf8_lossy(&frame.payload).into_owned();
    let (errno, doing) = text.split_once(' ').unwrap_or(("0", ""));
    let source = std::io::Error::from_raw_os_error(errno.parse().unwrap_or(0));
    match frame.kind {
        kind::NO_NAMESPACE => SandboxError::NoUserNamespace {
            setting: namespace_setting(),
            source,
        },
        kind::FAILED => SandboxError::Setup {
            doing: doing.to_owned(),
            source,
        },
        kind::UNKNOWN_ROLE => SandboxError::UnknownRole { role: text },
        _ => SandboxError::Protocol { process: "engine" },
    }
}
