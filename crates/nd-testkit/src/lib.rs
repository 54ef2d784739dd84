//! Test support: peers, a hermetic environment for commands, filters for snapshots.
//!
//! Only `dev-dependencies` name this crate.

mod command;
mod corpus;
mod cpu;
mod filters;
mod peer;

pub use command::TestEnv;
pub use corpus::corpus;
pub use cpu::{cpu_since, cpu_time};
pub use filters::filters;
pub use peer::peer;

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
