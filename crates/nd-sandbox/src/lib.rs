//! Engine process and step supervisor: run a process inside a root file system.

mod error;
mod ids;
mod spec;

pub use error::SandboxError;
pub use ids::{IDS, IdMode};
pub use spec::{
    Access, Exit, Handle, Limits, Mount, Network, Output, ProcessSpec, Root, Session, Source,
    Stdin, User,
};
