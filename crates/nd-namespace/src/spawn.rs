//! Starting a program directly in new namespaces, from a process with any number of threads.
#![expect(unsafe_code, reason = "clone has no safe wrapper")]

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use rustix::{process::Pid, thread::UnshareFlags};

/// Bytes of stack for the moment between clone and exec.
const STACK: usize = 64 * 1024;

/// A process that was started, not reaped yet.
#[derive(Debug)]
pub struct Child {
    /// Its number; valid until it is reaped.
    pub pid: Pid,
    /// Its descriptor: readable when it ended, and never another process.
    pub pidfd: OwnedFd,
}

/// What the child needs between clone and exec; it shares our memory until then.
struct Plan {
    program: i32,
    stdin: i32,
    detached: bool,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    error: i32,
}

/// Runs the open file `program` in new `namespaces`, with `stdin` as standard input and our standard
/// outputs; every other descriptor must be close-on-exec. The program is the first of its PID
/// namespace, if it gets one.
///
/// Like `posix_spawn`: the memory of this process is not copied, however large it is, and this
/// thread waits until the program runs or could not be executed. All signals are blocked in the
/// program until it calls [`reset_signals`](crate::reset_signals).
pub fn spawn(
    program: BorrowedFd<'_>,
    arguments: &[CString],
    variables: &[CString],
    stdin: BorrowedFd<'_>,
    namespaces: UnshareFlags,
) -> io::Result<Child> {
    start(program, arguments, variables, stdin, namespaces, false)
}

/// The same in our namespaces, for a program that outlives whoever started it and knows nothing of us: it is
/// the first of a session of its own, and every signal has its default action and comes through.
pub fn spawn_detached(
    program: BorrowedFd<'_>,
    arguments: &[CString],
    variables: &[CString],
    stdin: BorrowedFd<'_>,
) -> io::Result<Child> {
    let none = UnshareFlags::empty();
    start(program, arguments, variables, stdin, none, true)
}

fn start(
    program: BorrowedFd<'_>,
    arguments: &[CString],
    variables: &[CString],
    stdin: BorrowedFd<'_>,
    namespaces: UnshareFlags,
    detached: bool,
) -> io::Result<Child> {
    let argv = pointers(arguments);
    let envp = pointers(variables);
    let mut stack: Vec<u128> = Vec::with_capacity(STACK / size_of::<u128>());
    let mut plan = Plan {
        program: program.as_raw_fd(),
        stdin: stdin.as_raw_fd(),
        detached,
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        error: 0,
    };
    let mut pidfd: i32 = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: all signals are blocked around the clone and stay so in the child until its exec, which
    // forgets our handlers, so none of them runs in the child on shared memory. The stack is large
    // enough for `child`, which calls nothing but system calls, and lives until clone returns, which
    // with CLONE_VFORK is after the child is done with it. The plan and what it points to live as
    // long. The descriptor that clone writes is new and ours.
    unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
        let top = stack.as_mut_ptr().add(stack.capacity());
        let raw = libc::clone(
            child,
            top.cast(),
            flags | namespaces.bits() as i32,
            (&raw mut plan).cast(),
            &raw mut pidfd,
        );
        let failed = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        let Some(pid) = Pid::from_raw(raw.max(0)) else {
            return Err(failed);
        };
        let pidfd = OwnedFd::from_raw_fd(pidfd);
        // Written by the child, behind the compiler's back.
        let error = std::ptr::read_volatile(&raw const plan.error);
        if error != 0 {
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
            return Err(io::Error::from_raw_os_error(error));
        }
        Ok(Child { pid, pidfd })
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Runs in the child, on the parent's memory: system calls only.
extern "C" fn child(plan: *mut libc::c_void) -> libc::c_int {
    let plan = plan.cast::<Plan>();
    // SAFETY: `plan` is the one that `spawn` passes and keeps alive; its pointers are null-terminated
    // arrays of null-terminated strings.
    unsafe {
        let stdin = (*plan).stdin;
        let ready = if stdin == 0 {
            libc::fcntl(0, libc::F_SETFD, 0)
        } else {
            libc::dup2(stdin, 0)
        };
        if (*plan).detached {
            // Actions are ours alone: they are copied, unlike the memory.
            libc::setsid();
            crate::reset_signals();
        }
        if ready != -1 {
            let empty: &CStr = c"";
            libc::syscall(
                libc::SYS_execveat,
                (*plan).program,
                empty.as_ptr(),
                (*plan).argv,
                (*plan).envp,
                libc::AT_EMPTY_PATH,
            );
        }
        let error = *libc::__errno_location();
        std::ptr::write_volatile(&raw mut (*plan).error, error.max(1));
    }
    127
}
