//! Following a step: what it writes, what init says of it, and its end.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

use nd_host::{LineSplitter, Stream};
use nd_namespace::Child;
use nd_report::Cancel;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Signal, WaitId, WaitIdOptions},
};

use super::watch::Watch;
use crate::{
    Exit, SandboxError,
    plan::{Changes, kind},
    wire,
};

/// How often a wish to stop is looked for.
const TICK: Duration = Duration::from_millis(50);

/// A process that must not outlive this value's use.
pub(super) struct Init {
    pub(super) child: Child,
}

impl Init {
    /// Kills it, and with it everything in its PID namespace, waits until that is gone, and says how
    /// it ended.
    pub(super) fn end(&self) -> String {
        // It may have ended by itself; its number cannot be somebody else's before it is reaped.
        let _ = rustix::process::pidfd_send_signal(&self.child.pidfd, Signal::KILL);
        loop {
            let id = WaitId::PidFd(self.child.pidfd.as_fd());
            match rustix::process::waitid(id, WaitIdOptions::EXITED) {
                Ok(Some(status)) => {
                    return match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => format!("exit code {code}"),
                        (None, Some(signal)) => format!("signal {signal}"),
                        (None, None) => "in an unknown way".into(),
                    };
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return error.to_string(),
            }
        }
    }
}

/// How a step ended.
pub(super) enum Ended {
    Exit(Exit),
    NotExecuted(io::Error),
    Failed {
        doing: String,
        source: io::Error,
    },
    /// Init ended without a word.
    Lost,
}

/// Reads outputs and what init says, until the step ends or may not go on.
pub(super) fn follow(
    init: &Init,
    socket: &OwnedFd,
    mut outputs: [Reading; 2],
    deadline: Option<Instant>,
    watch: &mut Watch<'_>,
    on_output: &mut dyn FnMut(Stream, &[u8]),
    cancel: &Cancel,
) -> Result<(Ended, Changes), SandboxError> {
    let mut changes = Changes::default();
    let mut buffer = vec![0; 64 * 1024];
    let ended = loop {
        if cancel.is_cancelled() {
            break Ended::Exit(Exit::Cancelled);
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            break Ended::Exit(Exit::TimedOut);
        }
        if let Some(exit) = watch.exceeded() {
            break Ended::Exit(exit);
        }
        let mut fds = vec![PollFd::new(socket, PollFlags::IN)];
        for output in &outputs {
            if let Some(fd) = &output.fd {
                fds.push(PollFd::new(fd, PollFlags::IN));
            }
        }
        let wait = left.map_or(TICK, |left| left.min(TICK));
        let wait = Timespec::try_from(wait).unwrap_or_default();
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SandboxError::setup("wait for the step")(error)),
        }
        // Readable also when init is gone.
        let said = !fds[0].revents().is_empty();
        for output in &mut outputs {
            output
                .read(&mut buffer, on_output)
                .map_err(SandboxError::setup("read the step's output"))?;
        }
        if said && let Some(ended) = hear(socket, &mut changes)? {
            break ended;
        }
    };
    init.end_output(&mut outputs, &mut buffer, on_output)?;
    let ended = match ended {
        Ended::Exit(exit) => Ended::Exit(watch.explain(exit)),
        other => other,
    };
    Ok((ended, changes))
}

impl Init {
    /// Kills everything and reads what is left in the outputs.
    fn end_output(
        &self,
        outputs: &mut [Reading; 2],
        buffer: &mut [u8],
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<(), SandboxError> {
        let _ = rustix::process::pidfd_send_signal(&self.child.pidfd, Signal::KILL);
        // Once init is a zombie, nothing of its namespace is left that could still write.
        let mut fds = [PollFd::new(&self.child.pidfd, PollFlags::IN)];
        while poll(&mut fds, None) == Err(Errno::INTR) {}
        for output in outputs {
            // A pipe holds 64 KiB unless the step made it larger; no reader could be kept for ever.
            output
                .read(buffer, on_output)
                .map_err(SandboxError::setup("read the step's output"))?;
            output.finish(on_output);
        }
        Ok(())
    }
}

/// Takes one message of init; gives how the step ended, when it says so.
fn hear(socket: &OwnedFd, changes: &mut Changes) -> Result<Option<Ended>, SandboxError> {
    let protocol = || SandboxError::Protocol { process: "init" };
    let Some(frame) =
        wire::receive(socket.as_fd()).map_err(SandboxError::setup("hear from init"))?
    else {
        return Ok(Some(Ended::Lost));
    };
    let error = |text: &[u8]| {
        let number = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
        io::Error::from_raw_os_error(number.unwrap_or(0))
    };
    match frame.kind {
        kind::CHANGES => {
            *changes = serde_json::from_slice(&frame.payload).map_err(|_| protocol())?;
            Ok(None)
        }
        kind::EXITED => {
            let [which, number @ ..] = frame.payload.as_slice() else {
                return Err(protocol());
            };
            let number = i32::from_le_bytes(number.try_into().map_err(|_| protocol())?);
            Ok(Some(Ended::Exit(if *which == 0 {
                Exit::Code(number)
            } else {
                Exit::Signal(number)
            })))
        }
        kind::NOT_EXECUTED => Ok(Some(Ended::NotExecuted(error(&frame.payload)))),
        kind::FAILED => {
            let at = frame.payload.iter().position(|&byte| byte == b' ');
            let (number, doing) = frame.payload.split_at(at.unwrap_or(0));
            Ok(Some(Ended::Failed {
                doing: String::from_utf8_lossy(doing).trim_start().to_owned(),
                source: error(number),
            }))
        }
        _ => Err(protocol()),
    }
}

/// Our end of an output.
pub(super) struct Reading {
    stream: Stream,
    fd: Option<OwnedFd>,
    lines: LineSplitter,
    by_line: bool,
}

impl Reading {
    pub(super) fn new(stream: Stream, fd: Option<OwnedFd>, by_line: bool) -> Self {
        Self {
            stream,
            fd,
            lines: LineSplitter::new(),
            by_line,
        }
    }

    /// Reads what is there; forgets the descriptor at its end.
    fn read(
        &mut self,
        buffer: &mut [u8],
        on_output: &mut dyn FnMut(Stream, &[u8]),
    ) -> io::Result<()> {
        // A step that writes faster than we read must not keep us from looking at the clock.
        for _ in 0..64 {
            let Some(fd) = &self.fd else { return Ok(()) };
            match rustix::io::read(fd, &mut *buffer) {
                Ok(0) => self.fd = None,
                Ok(count) if !self.by_line => on_output(self.stream, &buffer[..count]),
                Ok(count) => {
                    let stream = self.stream;
                    self.lines
                        .push(&buffer[..count], &mut |line| on_output(stream, line));
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn finish(&mut self, on_output: &mut dyn FnMut(Stream, &[u8])) {
        let stream = self.stream;
        self.lines.finish(&mut |line| on_output(stream, line));
    }
}
