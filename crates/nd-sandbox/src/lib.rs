//! Engine process and step supervisor: run a process inside a root file system.
//!
//! ```text
//! caller ── engine (this program again, in a user and a mount namespace; runs a role)
//!              └── init (this program again; PID 1 of PID, mount, IPC, UTS namespaces of its own)
//!                     └── step
//! ```
//!
//! Each process ends when the one above it does, however that ends, and takes everything below with
//! it. `docs/book/src/concepts/sandbox.md` says what is isolated, how, and what is not.

mod cgroup;
mod emulator;
mod engine;
mod error;
mod hook;
mod ids;
mod init;
mod interpreter;
mod plan;
mod process;
mod spec;
mod wire;

pub use emulator::{Emulator, machine_emulates};
pub use engine::{
    Engine, EngineSender, MemoryChanges, Ran, Recorded, Recorder, not_stacked, run, run_limited,
};
pub use error::SandboxError;
pub use hook::{Role, hook};
pub use ids::{IDS, IdMode};
pub use nd_host::Stream;
pub use process::{EngineCanceller, EngineOptions, EngineProcess, Message};
pub use spec::{
    Access, Enforcement, Exit, Handle, Limits, Mount, Network, Output, ProcessSpec, Root, Session,
    Source, Stdin, User,
};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
