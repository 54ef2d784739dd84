//! Inside the engine: entering the namespaces, then serving one role.

mod adopt;
mod changes;
mod follow;
mod memory;
mod record;
mod run;
mod stack;
mod supervisor;
mod watch;

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
};

use nd_namespace::{Namespaces, SingleThreaded, close_on_exec_from};
use nd_report::Cancel;
use rustix::{
    fs::{Mode, OFlags},
    process::{Gid, Resource, Rlimit, Signal, Uid},
};

use crate::{Message, Role, emulator::register, process::kind, wire};

pub(crate) use adopt::workbench;
pub use memory::MemoryChanges;
pub use record::{Recorded, Recorder};
pub use run::{Ran, run, run_limited};
pub use stack::not_stacked;

/// An engine, as its role sees it.
#[derive(Debug)]
pub struct Engine {
    /// What the caller asked for.
    pub request: Vec<u8>,
    /// What the caller handed over, in its order. Directories are open as paths (`O_PATH`) and
    /// belong to this mount namespace.
    pub fds: Vec<OwnedFd>,
    sender: EngineSender,
    messages: Receiver<Message>,
    cancel: Cancel,
}

/// Sends messages to the caller, from any thread.
#[derive(Debug, Clone)]
pub struct EngineSender {
    socket: Arc<Mutex<OwnedFd>>,
}

impl EngineSender {
    /// Sends a message. When the caller is gone this process ends anyway.
    pub fn send(&self, message: &[u8]) {
        self.send_with_fds(message, &[]);
    }

    /// Sends a message with descriptors.
    pub fn send_with_fds(&self, message: &[u8], fds: &[std::os::fd::BorrowedFd<'_>]) {
        self.frame(kind::MESSAGE, message, fds);
    }

    fn frame(&self, kind: u32, payload: &[u8], fds: &[std::os::fd::BorrowedFd<'_>]) {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if wire::send(socket.as_fd(), kind, payload, fds).is_err() {
            die();
        }
    }
}

impl Engine {
    /// Sends the caller a message.
    pub fn send(&self, message: &[u8]) {
        self.sender.send(message);
    }

    /// Something that sends messages from other threads.
    pub fn sender(&self) -> EngineSender {
        self.sender.clone()
    }

    /// The next message of the caller, waited for; `None` once it asked to stop.
    pub fn receive(&self) -> Option<Message> {
        self.messages.recv().ok()
    }

    /// Whether the caller asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The caller's wish to stop, to pass on.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }
}

/// The engine's `main`.
pub(crate) fn main(roles: &[Role], role: &str) -> u8 {
    let Some((single, socket)) = begin() else {
        return 1;
    };
    let refuse = |kind: u32, text: &str| {
        // Nobody is left to tell when this fails.
        let _ = wire::send(socket.as_fd(), kind, text.as_bytes(), &[]);
        1
    };
    let failed = |doing: &str, error: &io::Error| {
        let errno = error.raw_os_error().unwrap_or(0);
        refuse(kind::FAILED, &format!("{errno} {doing}"))
    };
    let Some(role) = roles.iter().find(|known| known.name == role) else {
        return refuse(kind::UNKNOWN_ROLE, role);
    };
    if let Err(error) = single.unshare(Namespaces::NEWUSER | Namespaces::NEWNS) {
        let errno = error.raw_os_error().unwrap_or(0);
        return refuse(kind::NO_NAMESPACE, &format!("{errno} "));
    }
    if wire::send(socket.as_fd(), kind::READY, b"", &[]).is_err() {
        return 1;
    }
    // The caller writes the map before it sends this.
    let mut group = None;
    let mut emulated = None;
    let frame = loop {
        match wire::receive(socket.as_fd()) {
            Ok(Some(frame)) if frame.kind == kind::GROUP => {
                group = supervisor::Group::of(&frame.payload, frame.fds);
            }
            Ok(Some(mut frame)) if frame.kind == kind::EMULATOR => {
                let name = String::from_utf8_lossy(&frame.payload).parse().ok();
                emulated = name.zip(frame.fds.pop());
            }
            Ok(Some(frame)) if frame.kind == kind::START => break frame,
            _ => return 1,
        }
    };
    let single_id = frame.payload.first() == Some(&b's');
    let (fds, exe) = match settle(frame.fds, single_id) {
        Ok(done) => done,
        Err((doing, error)) => return failed(doing, &error),
    };
    // As long as this is held the kernel knows of the emulator.
    let _emulation = match emulated.map(|(name, program)| register(name, &program)) {
        None => None,
        Some(Ok(emulation)) => Some(emulation),
        Some(Err(error)) => return failed("tell the kernel of an emulator", &error),
    };
    let supervisor = supervisor::Supervisor {
        exe,
        single_id,
        group,
    };
    if let Err((doing, error)) = supervisor::install(supervisor) {
        return failed(doing, &error);
    }
    let cancel = Cancel::default();
    let (to_role, messages) = channel();
    let listening = match rustix::io::fcntl_dupfd_cloexec(&socket, 3) {
        Ok(fd) => fd,
        Err(error) => return failed("copy a descriptor", &error.into()),
    };
    let for_listener = cancel.clone();
    let listener = std::thread::Builder::new()
        .name("nd-caller".into())
        .spawn(move || listen(&listening, &for_listener, to_role));
    if let Err(error) = listener {
        return failed("start a thread", &error);
    }
    let sender = EngineSender {
        socket: Arc::new(Mutex::new(socket)),
    };
    let code = (role.main)(Engine {
        request: frame.payload[1..].to_vec(),
        fds,
        sender: sender.clone(),
        messages,
        cancel,
    });
    sender.frame(kind::DONE, &[code], &[]);
    code
}

/// Puts standard input, which is the connection to the caller, out of the way of others.
fn begin() -> Option<(SingleThreaded, OwnedFd)> {
    close_on_exec_from(3).ok()?;
    let single = SingleThreaded::claim().ok()?;
    let socket = crate::init::take_stdin().ok()?;
    // The terminal's Ctrl-C reaches us too, but only the caller decides what it means.
    nd_namespace::ignore_signals(&[Signal::INT, Signal::QUIT, Signal::HUP, Signal::TERM]);
    Some((single, socket))
}

type Failure = (&'static str, io::Error);

/// Makes the namespaces ours: what was handed over, our own program, our identity.
fn settle(fds: Vec<OwnedFd>, single_id: bool) -> Result<(Vec<OwnedFd>, OwnedFd), Failure> {
    nd_namespace::make_slave().map_err(|e| ("detach the mount namespace from the host's", e))?;
    // The identity we came with may go where the one inside may not.
    let fds = adopt::by_name(fds);
    let exe = adopt::own_program().map_err(|e| ("open this program", e))?;
    let ids = |e: rustix::io::Errno| ("become root inside", io::Error::from(e));
    if !single_id {
        rustix::thread::set_thread_groups(&[]).map_err(ids)?;
    }
    // The identity we came with has no name inside when the real root builds.
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(ids)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(ids)?;
    adopt::board().map_err(|e| ("make a place for mounts", e))?;
    let fds = adopt::by_mount(fds).map_err(|e| ("take over a directory of the caller", e))?;
    let exe = adopt::executable(exe).map_err(|e| ("open this program", e))?;
    let files = rustix::process::getrlimit(Resource::Nofile);
    // An image has hundreds of layers; what steps get is set for each of them.
    let all = Rlimit {
        current: files.maximum,
        maximum: files.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, all)
        .map_err(|e| ("raise the limit of open files", e.into()))?;
    Ok((fds, exe))
}

/// Hears what the caller says until it asks to stop; ends this process when the caller is gone.
fn listen(socket: &OwnedFd, cancel: &Cancel, to_role: Sender<Message>) {
    let mut to_role = Some(to_role);
    loop {
        match wire::receive(socket.as_fd()) {
            Ok(Some(frame)) if frame.kind == kind::CANCEL => {
                cancel.cancel();
                to_role = None;
            }
            Ok(Some(frame)) => {
                let fds = adopt::by_mount(adopt::by_name(frame.fds));
                // A role that does not listen has no use for it.
                if let (Some(to_role), Ok(fds)) = (&to_role, fds) {
                    let _ = to_role.send(Message {
                        bytes: frame.payload,
                        fds,
                    });
                }
            }
            Ok(None) | Err(_) => die(),
        }
    }
}

/// Ends this process at once, in the middle of whatever its other threads do; the lifelines of what
/// it runs end with it.
fn die() -> ! {
    // Cannot fail for ourselves.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

/// Opens a path of the host as a path.
pub(crate) fn open_path(path: &std::ffi::OsStr) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
