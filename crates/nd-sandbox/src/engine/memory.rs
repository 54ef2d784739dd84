//! Changes of several processes, one after the other, in memory.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use nd_namespace::{Attributes, Filesystem};
use rustix::fs::{Mode, OFlags};

use super::adopt::attach_anywhere;
use crate::{Handle, Root, SandboxError};

/// Keeps in memory what processes change, for those that run after them: half of the machine's
/// memory at most. It is gone when this value and what runs in it are; only inside an engine.
#[derive(Debug)]
pub struct MemoryChanges {
    place: OwnedFd,
    upper: Handle,
    runs: u64,
}

impl MemoryChanges {
    /// No changes yet.
    pub fn new() -> Result<Self, SandboxError> {
        let failed = || SandboxError::setup("make a file system in memory");
        let place = Filesystem::new("tmpfs")
            .and_then(|memory| memory.set("mode", b"0755"))
            .and_then(|memory| memory.mount(Attributes::NONE))
            .map_err(failed())?;
        // An overlay takes only what is mounted somewhere. Taken off when nothing holds it any more
        // but this name, with the engine.
        let mut attached = attach_anywhere(&place).map_err(failed())?;
        attached.keep();
        let upper = make(&place, "upper")?;
        Ok(Self {
            place,
            upper: Arc::new(upper),
            runs: 0,
        })
    }

    /// The root for the next process: it sees what those before it changed.
    pub fn root(&mut self, lowers: Vec<Handle>) -> Result<Root, SandboxError> {
        self.runs += 1;
        let work = make(&self.place, &format!("work-{}", self.runs))?;
        Ok(Root::Overlay {
            lowers,
            upper: Arc::clone(&self.upper),
            work: Arc::new(work),
        })
    }
}

fn make(place: &OwnedFd, name: &str) -> Result<OwnedFd, SandboxError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::mkdirat(place.as_fd(), name, Mode::from_raw_mode(0o755))
        .and_then(|()| rustix::fs::openat(place, name, flags, Mode::empty()))
        .map_err(SandboxError::setup("make a directory in memory"))
}
