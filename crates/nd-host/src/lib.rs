//! The machine behind ports: programs, atomic writes, locks, confined directories, clock, environment.
//!
//! Everything above asks here instead of reading variables, clocks or the working directory itself,
//! and starts programs of others through [`Programs`] alone, so that a test can stand in for each.

mod clock;
mod environment;
mod file_lock;
mod lines;
mod programs;
mod root_dir;
mod space;
mod write;

pub use clock::{Clock, FixedClock, SystemClock};
pub use environment::{Environment, NoHome};
pub use file_lock::FileLock;
pub use lines::{LINE_LIMIT, LineSplitter};
pub use programs::{
    Finished, Input, Invocation, Outcome, ProgramError, Programs, Stream, SystemPrograms,
    replace_process,
};
pub use root_dir::{Node, NodeKind, RootDir};
pub use space::{free_bytes, reserve};
pub use write::{
    AtomicFile, AtomicFolder, make_executable, make_room, modified, remove_abandoned, write_atomic,
};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
