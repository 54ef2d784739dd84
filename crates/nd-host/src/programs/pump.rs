//! Moving bytes between us and a program until it ends.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nd_report::Cancel;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
    process::{Pid, PidfdFlags, Signal},
};

use super::Stream;
use crate::LineSplitter;

/// How often a wish to stop is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Why the program ended.
pub(super) enum Ended {
    Itself(ExitStatus),
    TimeLimit,
    Cancelled,
}

/// Reads both outputs and writes the input of `child`, which leads a process group of its own, until
/// it ends, `until` has passed, or the caller wants it to stop; then the group is killed.
pub(super) fn pump(
    child: &mut Child,
    input: &[u8],
    until: Option<Instant>,
    cancel: &Cancel,
    each: &mut dyn FnMut(Stream, &[u8]),
    raw: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<Ended> {
    let group = Pid::from_child(child);
    let pidfd = rustix::process::pidfd_open(group, PidfdFlags::empty())?;
    let mut stdin = child.stdin.take().map(OwnedFd::from);
    let mut input = input;
    if let Some(fd) = &stdin {
        nonblocking(fd)?;
    }
    let mut outputs = [
        Output::new(Stream::Stdout, child.stdout.take().map(OwnedFd::from))?,
        Output::new(Stream::Stderr, child.stderr.take().map(OwnedFd::from))?,
    ];
    let mut buffer = vec![0; 64 * 1024];
    let ended = loop {
        if stdin.is_some() && input.is_empty() {
            stdin = None;
        }
        if cancel.is_cancelled() {
            break Ended::Cancelled;
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            break Ended::TimeLimit;
        }
        let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
        if let Some(fd) = &stdin {
            fds.push(PollFd::new(fd, PollFlags::OUT));
        }
        for output in &outputs {
            if let Some(fd) = &output.fd {
                fds.push(PollFd::new(fd, PollFlags::IN));
            }
        }
        let wait = left.map_or(TICK, |left| left.min(TICK));
        let wait = Timespec::try_from(wait).unwrap_or_default();
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = fds[0].revents().contains(PollFlags::IN);
        if let Some(fd) = &stdin {
            match rustix::io::write(fd, input) {
                Ok(count) => input = &input[count..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                // The program does not want to read it all; that is its own affair.
                Err(Errno::PIPE) => stdin = None,
                Err(error) => return Err(error.into()),
            }
        }
        for output in &mut outputs {
            output.read(&mut buffer, each, raw)?;
        }
        if gone {
            // What it wrote is in the pipes by now and was read above or is read here; a child it
            // left behind may hold them open for ever, so their end is not waited for.
            for output in &mut outputs {
                output.read(&mut buffer, each, raw)?;
            }
            break Ended::Itself(child.wait()?);
        }
    };
    if !matches!(ended, Ended::Itself(_)) {
        // The leader is not reaped yet, so the number still means this group.
        match rustix::process::kill_process_group(group, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
        child.wait()?;
        for output in &mut outputs {
            output.read(&mut buffer, each, raw)?;
        }
    }
    for output in &mut outputs {
        let stream = output.stream;
        output.lines.finish(&mut |line| each(stream, line));
    }
    Ok(ended)
}

struct Output {
    stream: Stream,
    fd: Option<OwnedFd>,
    lines: LineSplitter,
}

impl Output {
    fn new(stream: Stream, fd: Option<OwnedFd>) -> io::Result<Self> {
        if let Some(fd) = &fd {
            nonblocking(fd)?;
        }
        Ok(Self {
            stream,
            fd,
            lines: LineSplitter::new(),
        })
    }

    /// Reads what is there; forgets the descriptor at its end.
    fn read(
        &mut self,
        buffer: &mut [u8],
        each: &mut dyn FnMut(Stream, &[u8]),
        raw: &mut dyn FnMut(Stream, &[u8]),
    ) -> io::Result<()> {
        // A program that writes faster than we read must not keep us from looking at the clock.
        for _ in 0..64 {
            let Some(fd) = &self.fd else { return Ok(()) };
            match rustix::io::read(fd.as_fd(), &mut *buffer) {
                Ok(0) => self.fd = None,
                Ok(count) => {
                    let stream = self.stream;
                    raw(stream, &buffer[..count]);
                    self.lines
                        .push(&buffer[..count], &mut |line| each(stream, line));
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}
