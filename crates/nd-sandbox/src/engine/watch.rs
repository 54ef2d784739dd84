//! Looking after what a step uses while it runs: memory, and the disk that takes its changes.

use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::process::Pid;

use super::supervisor::Group;
use crate::Exit;

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(50);

/// What is looked after.
pub(super) struct Watch<'a> {
    memory: Memory<'a>,
    /// A directory of the file system, and how many bytes of it stay free.
    disk: Option<(BorrowedFd<'a>, u64)>,
    next: Instant,
}

enum Memory<'a> {
    Free,
    /// The group's own count of how often memory ran out, as it was at first.
    Group {
        group: &'a Group,
        before: u64,
    },
    /// Everything in this PID namespace together may use so many bytes.
    Polled {
        namespace: PathBuf,
        limit: u64,
    },
}

impl<'a> Watch<'a> {
    /// Looks after nothing yet.
    pub(super) fn new() -> Self {
        Self {
            memory: Memory::Free,
            disk: None,
            next: Instant::now(),
        }
    }

    /// Has the group say when memory ran out.
    pub(super) fn group(&mut self, group: &'a Group) {
        let before = group.out_of_memory();
        self.memory = Memory::Group { group, before };
    }

    /// Looks after the memory of everything in the PID namespace of `init`.
    pub(super) fn polled(&mut self, init: Pid, limit: u64) {
        let namespace = namespace_of(Path::new(&format!("/proc/{}", init.as_raw_nonzero())));
        // An init that is gone has nothing to be looked after.
        if let Some(namespace) = namespace {
            self.memory = Memory::Polled { namespace, limit };
        }
    }

    /// Keeps `reserve` bytes free where `directory` is.
    pub(super) fn disk(&mut self, directory: BorrowedFd<'a>, reserve: u64) {
        self.disk = Some((directory, reserve));
    }

    /// Whether a limit was passed, looked at now and then.
    pub(super) fn exceeded(&mut self) -> Option<Exit> {
        let now = Instant::now();
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        if self.out_of_memory() {
            return Some(Exit::OutOfMemory);
        }
        self.disk_is_full().then_some(Exit::DiskFull)
    }

    /// What a step's end has to do with its limits: the kernel may have been faster than we.
    pub(super) fn explain(&self, exit: Exit) -> Exit {
        let (Exit::Code(_) | Exit::Signal(_)) = exit else {
            return exit;
        };
        // Whoever goes on after a part of it was killed has no result that can be trusted.
        if matches!(self.memory, Memory::Group { .. }) && self.out_of_memory() {
            Exit::OutOfMemory
        } else if !exit.success() && self.disk_is_full() {
            Exit::DiskFull
        } else {
            exit
        }
    }

    fn out_of_memory(&self) -> bool {
        match &self.memory {
            Memory::Free => false,
            Memory::Group { group, before } => group.out_of_memory() > *before,
            Memory::Polled { namespace, limit } => used(namespace) > *limit,
        }
    }

    fn disk_is_full(&self) -> bool {
        let Some((directory, reserve)) = &self.disk else {
            return false;
        };
        // A path descriptor is enough for this call.
        rustix::fs::fstatvfs(directory.as_fd())
            .is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) < *reserve)
    }
}

fn namespace_of(process: &Path) -> Option<PathBuf> {
    fs_err::read_link(process.join("ns/pid")).ok()
}

/// Bytes that the processes of a namespace use: what each has for itself, and the most that one
/// shares.
fn used(namespace: &Path) -> u64 {
    let Ok(processes) = fs_err::read_dir("/proc") else {
        return 0;
    };
    let (mut own, mut shared) = (0_u64, 0_u64);
    for process in processes.flatten() {
        let number = process.file_name();
        let number = number.to_string_lossy();
        if !number.bytes().all(|byte| byte.is_ascii_digit())
            || namespace_of(&process.path()).as_deref() != Some(namespace)
        {
            continue;
        }
        let Ok(status) = fs_err::read_to_string(process.path().join("status")) else {
            continue;
        };
        own += kibibytes(&status, "RssAnon:") + kibibytes(&status, "VmSwap:");
        shared = shared.max(kibibytes(&status, "RssShmem:"));
    }
    (own + shared) * 1024
}

fn kibibytes(status: &str, name: &str) -> u64 {
    let rest = status.lines().find_map(|line| line.strip_prefix(name));
    let word = rest.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
