//! Work in new namespaces by a child that shares this process's memory.
#![expect(unsafe_code, reason = "clone has no safe wrapper")]

use std::io;

use rustix::{io::Errno, process::Pid, thread::UnshareFlags};

use crate::SingleThreaded;

/// Bytes of stack for the work.
const STACK: usize = 512 * 1024;

/// The work and the place for what comes of it.
struct Work<F, T> {
    work: Option<F>,
    done: Option<T>,
}

impl SingleThreaded {
    /// Does `work` in a child that is in new `namespaces`, and waits for it.
    ///
    /// The child shares memory and descriptors with this process, which stands still meanwhile: what
    /// `work` returns and the descriptors that it opens are simply there afterwards, and this process
    /// itself is where it was before. So a process can try to make a namespace and stay as it was when
    /// that fails. A namespace lives as long as somebody has a descriptor of it.
    ///
    /// No signal tells of the child's end. `work` must not unwind nor start threads; processes that it
    /// [spawns](crate::spawn) are no children of this one.
    ///
    /// # Errors
    ///
    /// When there can be no such child, or something killed it before `work` was done.
    pub fn beside<T>(&self, namespaces: UnshareFlags, work: impl FnOnce() -> T) -> io::Result<T> {
        let mut stack: Vec<u128> = Vec::with_capacity(STACK / size_of::<u128>());
        let mut work = Work {
            work: Some(work),
            done: None,
        };
        let entry = entry_of(&work);
        // The low byte is the signal at the child's end: none.
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
        // SAFETY: with one thread, and this one waiting (CLONE_VFORK), the child is the only one that
        // runs on this memory, on a stack of its own that lives until clone returns. `entry` is for
        // the type of `work`.
        let raw = unsafe {
            let top = stack.as_mut_ptr().add(stack.capacity());
            libc::clone(
                entry,
                top.cast(),
                flags | namespaces.bits() as i32,
                (&raw mut work).cast(),
            )
        };
        let failed = io::Error::last_os_error();
        let Some(pid) = Pid::from_raw(raw.max(0)) else {
            return Err(failed);
        };
        reap(pid)?;
        work.done.ok_or_else(|| Errno::INTR.into())
    }
}

/// The child's first function for a type of work; the value only names the type.
fn entry_of<F: FnOnce() -> T, T>(
    _: &Work<F, T>,
) -> extern "C" fn(*mut libc::c_void) -> libc::c_int {
    run::<F, T>
}

extern "C" fn run<F: FnOnce() -> T, T>(work: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `beside` passes a `Work` of this type, and does not touch it before this has ended.
    let work = unsafe { &mut *work.cast::<Work<F, T>>() };
    work.done = work.work.take().map(|work| work());
    0
}

/// Waits for a child that sends no signal at its end.
fn reap(pid: Pid) -> io::Result<()> {
    loop {
        // SAFETY: no status is written.
        let ended = unsafe {
            libc::waitpid(
                pid.as_raw_nonzero().get(),
                std::ptr::null_mut(),
                libc::__WALL,
            )
        };
        if ended != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
