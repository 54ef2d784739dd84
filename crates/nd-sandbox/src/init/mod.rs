//! The first process of a step's PID namespace: mounts, starts the step, reaps, and ends with
//! whoever started it.

mod devices;
mod kernel;
mod root;
mod step;
mod target;

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use nd_namespace::{SingleThreaded, close_on_exec_from};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    process::{DumpableBehavior, Pid, Signal, WaitOptions},
};

use crate::{
    plan::{Plan, kind},
    wire,
};

/// Why a step could not be set up: what was tried, and what the kernel said.
pub(crate) type Failure = (String, io::Error);

/// For `map_err`.
pub(crate) fn failure<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let doing = doing.into();
    move |error| (doing, error.into())
}

/// Moves standard input, which is the connection to whoever started us, to another descriptor.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket)
}

/// Init's `main`.
pub(crate) fn main() -> u8 {
    let Ok(socket) = take_stdin() else { return 1 };
    match supervise(&socket) {
        Ok(()) => 0,
        Err((doing, error)) => {
            let errno = error.raw_os_error().unwrap_or(0);
            let text = format!("{errno} {doing}");
            // Nobody is left to tell when this fails.
            let _ = wire::send(socket.as_fd(), kind::FAILED, text.as_bytes(), &[]);
            1
        }
    }
}

fn supervise(socket: &OwnedFd) -> Result<(), Failure> {
    nd_namespace::reset_signals();
    // A second belt beside the lifeline: the kernel kills us when the thread that waits for us ends.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failure("ask to end with the engine"))?;
    // Nothing of us can be looked into from inside: `/proc/1/exe` would lead to a file of the host.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(failure("close this process to others"))?;
    close_on_exec_from(3).map_err(failure("close what was inherited"))?;
    let single = SingleThreaded::claim().map_err(failure("become an init"))?;
    // Fails only where the name is shown differently.
    let _ = rustix::thread::set_name(c"nd-init");
    let frame = match wire::receive(socket.as_fd()) {
        Ok(Some(frame)) if frame.kind == kind::PLAN => frame,
        _ => return Err(failure("read the plan")(Errno::PROTO)),
    };
    let plan: Plan = serde_json::from_slice(&frame.payload)
        .map_err(|_| failure("read the plan")(Errno::PROTO))?;
    let fds = frame.fds;
    if plan.own_session {
        rustix::process::setsid().map_err(failure("leave the session"))?;
    }
    rustix::process::umask(Mode::empty());
    let changes = root::build(&plan, &fds)?;
    if !changes.made.is_empty() {
        let text = serde_json::to_vec(&changes)
            .map_err(|_| failure("report mount points")(Errno::PROTO))?;
        wire::send(socket.as_fd(), kind::CHANGES, &text, &[])
            .map_err(failure("report mount points"))?;
    }
    let ready = step::Ready::new(&plan, &fds)?;
    let step = match ready.start(&single)? {
        step::Started::Running(pid) => pid,
        step::Started::NotExecuted(errno) => {
            let text = errno.raw_os_error().to_string();
            return wire::send(socket.as_fd(), kind::NOT_EXECUTED, text.as_bytes(), &[])
                .map_err(failure("report the step's end"));
        }
    };
    drop(ready);
    // The outputs end when the step's processes have closed them.
    drop(fds);
    watch_lifeline(socket)?;
    let (which, number) = reap_until(step)?;
    let mut text = vec![which];
    text.extend_from_slice(&number.to_le_bytes());
    wire::send(socket.as_fd(), kind::EXITED, &text, &[]).map_err(failure("report the step's end"))
}

/// Ends this process, and with it everything inside, when the engine is gone.
#[expect(
    clippy::exit,
    reason = "the other thread waits for children and cannot be told"
)]
fn watch_lifeline(socket: &OwnedFd) -> Result<(), Failure> {
    let socket = socket.try_clone().map_err(failure("copy the lifeline"))?;
    std::thread::Builder::new()
        .stack_size(64 * 1024)
        .spawn(move || {
            let mut byte = [0; 1];
            // The engine sends nothing after the plan.
            while let Ok(1..) | Err(Errno::INTR) = rustix::io::read(&socket, &mut byte) {}
            std::process::exit(1);
        })
        .map_err(failure("watch the lifeline"))?;
    Ok(())
}

/// Reaps every process that ends until the step does; says how it ended: 0 and a code, or 1 and a
/// signal.
fn reap_until(step: Pid) -> Result<(u8, i32), Failure> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == step => {
                return Ok(match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => (0, code),
                    (None, signal) => (1, signal.unwrap_or_default()),
                });
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(failure("wait for the step")(error)),
        }
    }
}
