//! Filters of system calls.
#![expect(unsafe_code, reason = "installing a filter has no safe wrapper")]

mod assemble;
mod listen;
mod lists;
mod numbers;
mod paths;

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd},
};

pub use listen::{Asked, Listener};
pub use lists::{BlockList, FakeRoot};
pub use paths::{PathArgument, PathUse, PathWatch};

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;

/// This program was compiled for a processor whose system calls are not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsupportedArchitecture;

impl std::fmt::Display for UnsupportedArchitecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("system calls can be filtered on x86_64 and aarch64 only")
    }
}

impl std::error::Error for UnsupportedArchitecture {}

/// A filter, ready to be installed.
#[derive(Debug, Clone)]
pub struct Program {
    instructions: Vec<libc::sock_filter>,
}

impl Program {
    /// Filters this process and everything it starts, for ever. Needs CAP_SYS_ADMIN in the user
    /// namespace, or no_new_privs.
    pub fn install(&self) -> io::Result<()> {
        self.install_with(0).map(|_| ())
    }

    /// As [`Self::install`], and gives what a [`Listener`] is made from: calls that the filter asks
    /// about wait until that answers, the caller's own among them.
    pub fn install_listening(&self) -> io::Result<OwnedFd> {
        // A call that waits for an answer is not interrupted by signals: programs that are recorded
        // see no EINTR that they would not have seen. Linux before 5.19 does not know that.
        let gentle = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE;
        let raw = match self.install_with(gentle) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                self.install_with(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?
            }
            other => other?,
        };
        // SAFETY: the kernel made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(raw) })
    }

    fn install_with(&self, flags: libc::c_ulong) -> io::Result<i32> {
        let len = u16::try_from(self.instructions.len())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let program = libc::sock_fprog {
            len,
            filter: self.instructions.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel copies the program, which it only reads, and checks it.
        let done = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if done == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(done as i32)
    }

    /// How many instructions it has.
    pub fn len(&self) -> usize {
        self.instructions.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.instructions.is_empty()
    }
}
