//! What the engine keeps to start init processes.

use std::{io, os::fd::OwnedFd, sync::OnceLock};

use crate::Enforcement;

/// What every run in this engine needs.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// This program, not to be written.
    pub(super) exe: OwnedFd,
    /// Whether there is one id only.
    pub(super) single_id: bool,
    /// The group that what is run goes into, if there is one.
    pub(super) group: Option<Group>,
}

/// Open files of a control group that the caller made.
#[derive(Debug)]
pub(super) struct Group {
    /// Which kind it is.
    pub(super) kind: Enforcement,
    /// Each takes the number of a process.
    pub(super) procs: Vec<OwnedFd>,
    /// Says how often memory ran out: a line `oom_kill NUMBER`.
    pub(super) events: OwnedFd,
}

impl Group {
    /// From what the caller sends.
    pub(super) fn of(kind: &[u8], mut files: Vec<OwnedFd>) -> Option<Self> {
        Some(Self {
            kind: match kind {
                b"2" => Enforcement::CgroupV2,
                _ => Enforcement::CgroupV1,
            },
            events: files.pop()?,
            procs: files,
        })
    }

    /// How often memory ran out.
    pub(super) fn out_of_memory(&self) -> u64 {
        let mut text = [0; 512];
        let read = rustix::io::pread(&self.events, &mut text, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..read]);
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }
}

static SUPERVISOR: OnceLock<Supervisor> = OnceLock::new();

pub(super) fn install(supervisor: Supervisor) -> Result<(), (&'static str, io::Error)> {
    SUPERVISOR.set(supervisor).map_err(|_| {
        (
            "start an engine in an engine",
            io::ErrorKind::AlreadyExists.into(),
        )
    })
}

/// `None` outside of engines.
pub(super) fn supervisor() -> Option<&'static Supervisor> {
    SUPERVISOR.get()
}
