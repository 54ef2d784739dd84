//! The last steps before another program takes this process over.
#![expect(
    unsafe_code,
    reason = "exec, dup2 and signal handlers have no safe wrappers in rustix"
)]

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// Replaces this process by `program`; returns only when that failed.
pub fn exec(program: &CStr, arguments: &[CString], variables: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| -> Vec<*const libc::c_char> {
        texts
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let argv = pointers(arguments);
    let envp = pointers(variables);
    // SAFETY: null-terminated arrays of null-terminated strings that outlive the call.
    unsafe {
        libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
    }
    io::Error::last_os_error()
}

/// Makes these descriptors standard input, output and error. None of them may be 0, 1 or 2 already.
pub fn set_stdio(
    stdin: BorrowedFd<'_>,
    stdout: BorrowedFd<'_>,
    stderr: BorrowedFd<'_>,
) -> io::Result<()> {
    for (fd, number) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
        if fd.as_raw_fd() <= 2 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: replaces a standard stream, which nobody owns; the source is open.
        if unsafe { libc::dup2(fd.as_raw_fd(), number) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Marks every descriptor from `first` up as close-on-exec, those too that were inherited from
/// whoever started us and that we know nothing of.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: changes flags of descriptors only.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives every signal its default action and lets all through: a Rust program ignores SIGPIPE, and
/// what is ignored stays ignored in the next program.
pub fn reset_signals() {
    // SAFETY: sets default actions and an empty mask; the structures are plain data.
    unsafe {
        let mut default = std::mem::zeroed::<libc::sigaction>();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        }
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ignores signals from now on.
pub fn ignore_signals(signals: &[rustix::process::Signal]) {
    for signal in signals {
        // SAFETY: ignoring runs no code of ours; the structure is plain data.
        unsafe {
            let mut ignore = std::mem::zeroed::<libc::sigaction>();
            ignore.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(signal.as_raw(), &raw const ignore, std::ptr::null_mut());
        }
    }
}
