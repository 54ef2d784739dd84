//! What the engine keeps to start init processes.

use std::{io, os::fd::OwnedFd, sync::OnceLock};

/// What every run in this engine needs.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// This program, not to be written.
    pub(super) exe: OwnedFd,
    /// Whether there is one id only.
    pub(super) single_id: bool,
}

static SUPERVISOR: OnceLock<Supervisor> = OnceLock::new();

pub(super) fn install(exe: OwnedFd, single_id: bool) -> Result<(), (&'static str, io::Error)> {
    SUPERVISOR.set(Supervisor { exe, single_id }).map_err(|_| {
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
