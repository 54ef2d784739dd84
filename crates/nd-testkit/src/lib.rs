//! Test support: peers, servers on loopback, a hermetic environment for commands, filters for snapshots.
//!
//! Only `dev-dependencies` name this crate.

mod command;
mod corpus;
mod cpu;
mod filters;
mod peer;
mod services;

pub use command::TestEnv;
pub use corpus::corpus;
pub use cpu::{cpu_since, cpu_time};
pub use filters::filters;
pub use peer::peer;
pub use services::{ObjectStore, Registry};
