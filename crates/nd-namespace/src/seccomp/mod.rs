//! Filters of system calls.
#![expect(unsafe_code, reason = "installing a filter has no safe wrapper")]

mod assemble;
mod lists;
mod numbers;

use std::io;

pub use lists::{BlockList, FakeRoot};

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
                0,
                &raw const program,
            )
        };
        if done == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
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
