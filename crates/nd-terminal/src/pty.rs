//! A terminal of its own for a program that a person types into.
//!
//! The program gets one end of a new pseudo-terminal; what is typed and what it says is carried over.
//! It can then do nothing to the person's own terminal, such as type into it after its end.

use std::{
    io::{self, IsTerminal as _},
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    io::Errno,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};

/// How often the size of the person's terminal is looked at.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// The near end of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    near: OwnedFd,
}

/// Whether a person can type into this process and sees what it says.
pub fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Pty {
    /// A new pseudo-terminal as large as the person's, and its far end for the program.
    pub fn open() -> io::Result<(Self, OwnedFd)> {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&near)?;
        unlockpt(&near)?;
        let name = ptsname(&near, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let far = rustix::fs::open(&*name, flags, Mode::empty())?;
        let pty = Self { near };
        pty.fit();
        Ok((pty, far))
    }

    /// Carries bytes between the person and the program until nobody holds the far end any more, or
    /// until `over` says so. The person's terminal is raw meanwhile: each key is the program's.
    pub fn relay(&self, over: &dyn Fn() -> bool) -> io::Result<()> {
        let _raw = Raw::new();
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut buffer = [0; 16 * 1024];
        let mut typing = true;
        loop {
            self.fit();
            let mut fds = vec![PollFd::new(&self.near, PollFlags::IN)];
            if typing {
                fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
            }
            match poll(&mut fds, Some(&LOOK)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let said = !fds[0].revents().is_empty();
            let typed = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
            drop(fds);
            if said {
                match rustix::io::read(&self.near, &mut buffer) {
                    // Linux says so when the far end is closed.
                    Ok(0) | Err(Errno::IO) => return Ok(()),
                    Ok(count) => write_all(&stdout, &buffer[..count])?,
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            } else if over() {
                return Ok(());
            }
            if typed {
                match rustix::io::read(&stdin, &mut buffer) {
                    Ok(0) | Err(Errno::IO) => {
                        typing = false;
                        // What a terminal takes for the end of its input.
                        write_all(&self.near, b"\x04")?;
                    }
                    Ok(count) => write_all(&self.near, &buffer[..count])?,
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Makes it as large as the person's terminal.
    fn fit(&self) {
        // Without a size, programs take their own.
        if let Ok(size) = tcgetwinsize(io::stdout())
            && tcgetwinsize(&self.near).is_ok_and(|now| now != size)
        {
            let _ = tcsetwinsize(&self.near, size);
        }
    }
}

fn write_all(to: impl std::os::fd::AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The person's terminal as it was, given back when this value goes.
struct Raw(Option<Termios>);

impl Raw {
    fn new() -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else {
            return Self(None);
        };
        let mut raw = before.clone();
        raw.make_raw();
        let set = tcsetattr(io::stdin(), OptionalActions::Flush, &raw);
        Self(set.is_ok().then_some(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}
