//! Hearing of the calls that a filter asks about, and letting them go on.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use super::paths::{PathArgument, of_call};

/// `_IOWR('!', number, size)` and `_IOW('!', number, size)`
const fn request(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | 0x21 << 8 | number
}
const RECEIVE: u32 = request(3, 0, size_of::<libc::seccomp_notif>());
const SEND: u32 = request(3, 1, size_of::<libc::seccomp_notif_resp>());
const SET_FLAGS: u32 = request(1, 4, size_of::<u64>());
/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: who waits for an answer is not moved to another processor.
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// Bytes that a path has at most, with its zero.
const PATH_MAX: usize = 4096;
const PAGE: u64 = 4096;

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    id: u64,
    /// The thread that calls, by its number where the listener is.
    pub pid: u32,
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
}

impl Asked {
    /// The paths that the call was given.
    pub fn paths(&self) -> impl Iterator<Item = PathArgument> {
        of_call(self.architecture, self.number, &self.arguments)
    }

    /// Reads a path of the caller's memory; needs the right to trace it. `None` when there is none
    /// of a length that the kernel takes.
    ///
    /// The caller, or another thread of it, may change it before the kernel reads it: who wants to
    /// be overlooked can be.
    pub fn read(&self, path: &PathArgument) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let mut address = path.address;
        while text.len() < PATH_MAX {
            // Not over the end of a page: what comes after may not be there.
            let mut piece = [0_u8; 256];
            let room = (PAGE - address % PAGE).min(piece.len() as u64) as usize;
            let local = libc::iovec {
                iov_base: piece.as_mut_ptr().cast(),
                iov_len: room,
            };
            let remote = libc::iovec {
                iov_base: std::ptr::without_provenance_mut(address as usize),
                iov_len: room,
            };
            // SAFETY: the kernel writes at most `room` bytes into `piece`, which has as many; the
            // other address is only read, in another process, and checked.
            let read = unsafe {
                libc::process_vm_readv(
                    self.pid as libc::pid_t,
                    &raw const local,
                    1,
                    &raw const remote,
                    1,
                    0,
                )
            };
            let count = match read {
                ..0 => return Err(io::Error::last_os_error()),
                0 => return Ok(None),
                count => count as usize,
            };
            if let Some(end) = piece[..count].iter().position(|&byte| byte == 0) {
                text.extend_from_slice(&piece[..end]);
                return Ok(Some(text));
            }
            text.extend_from_slice(&piece[..count]);
            address = address.wrapping_add(count as u64);
        }
        Ok(None)
    }
}

/// Hears of calls; see [`Program::install_listening`](super::Program::install_listening).
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Of the descriptor of a filter.
    pub fn new(fd: OwnedFd) -> Self {
        // Quicker on Linux 6.6 and newer.
        // SAFETY: the argument is a number, no address.
        unsafe { libc::ioctl(fd.as_raw_fd(), SET_FLAGS.into(), SYNC_WAKE_UP) };
        Self { fd }
    }

    /// Waits for a call; `None` once nobody is left whom the filter could ask about.
    pub fn next(&self) -> io::Result<Option<Asked>> {
        loop {
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if !fds[0].revents().contains(PollFlags::IN) {
                return Ok(None);
            }
            // SAFETY: all zeros is a value of this structure of numbers, and what the kernel asks for.
            let mut notice = unsafe { std::mem::zeroed::<libc::seccomp_notif>() };
            // SAFETY: the request says the size of the structure that the kernel writes.
            let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), RECEIVE.into(), &raw mut notice) };
            if done == 0 {
                return Ok(Some(Asked {
                    id: notice.id,
                    pid: notice.pid,
                    architecture: notice.data.arch,
                    number: notice.data.nr as u32,
                    arguments: notice.data.args,
                }));
            }
            let error = io::Error::last_os_error();
            // Whoever called may have been killed meanwhile.
            if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) {
                return Err(error);
            }
        }
    }

    /// Lets a call go on as if nobody had asked.
    pub fn carry_on(&self, asked: &Asked) -> io::Result<()> {
        let answer = libc::seccomp_notif_resp {
            id: asked.id,
            val: 0,
            error: 0,
            flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
        };
        // SAFETY: the request says the size of the structure that the kernel reads.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), SEND.into(), &raw const answer) };
        if done == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            // Killed meanwhile.
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            error => Err(error),
        }
    }
}
