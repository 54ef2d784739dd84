//! What only a process of one thread may do.
#![expect(unsafe_code, reason = "fork has no safe wrapper in rustix")]

use std::{io, marker::PhantomData};

use rustix::{process::Pid, thread::UnshareFlags};

/// Proof that this process had one thread when it was made. It stays in that thread.
///
/// A program that starts threads while it holds one breaks its own promise; `fork` then gives a
/// child in which locks of other threads stay taken for ever.
#[derive(Debug)]
pub struct SingleThreaded {
    not_send: PhantomData<*const ()>,
}

/// The process has more than one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSingleThreaded {
    /// How many it has.
    pub threads: usize,
}

impl std::fmt::Display for NotSingleThreaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the process has {} threads instead of one", self.threads)
    }
}

impl std::error::Error for NotSingleThreaded {}

/// Which side of a fork this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The new process.
    Child,
    /// The old process, with the id of the new one.
    Parent(Pid),
}

impl SingleThreaded {
    /// Looks into `/proc/self/task`.
    pub fn claim() -> io::Result<Self> {
        let tasks = rustix::fs::open(
            "/proc/self/task",
            rustix::fs::OFlags::RDONLY
                | rustix::fs::OFlags::DIRECTORY
                | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let mut threads = 0;
        for entry in rustix::fs::Dir::new(tasks)? {
            if !entry?.file_name().to_bytes().starts_with(b".") {
                threads += 1;
            }
        }
        if threads == 1 {
            Ok(Self {
                not_send: PhantomData,
            })
        } else {
            Err(io::Error::other(NotSingleThreaded { threads }))
        }
    }

    /// Moves this process into new namespaces.
    pub fn unshare(&self, namespaces: UnshareFlags) -> io::Result<()> {
        // SAFETY: the flag that can break I/O safety is CLONE_FILES, which with one thread changes
        // nothing that anybody else could see.
        Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
    }

    /// Copies this process.
    pub fn fork(&self) -> io::Result<Fork> {
        // SAFETY: with one thread no lock can be held by somebody who is not copied, so the child
        // may do whatever the parent may.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => Ok(Fork::Child),
            raw => match Pid::from_raw(raw) {
                Some(pid) => Ok(Fork::Parent(pid)),
                None => Err(io::Error::other("fork returned a negative id")),
            },
        }
    }
}
