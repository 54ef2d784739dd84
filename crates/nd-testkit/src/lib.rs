//! Test support: peers, servers on loopback, a hermetic environment for commands, an ordinary user,
//! filters for snapshots.
//!
//! Only `dev-dependencies` name this crate.

mod command;
mod corpus;
mod cpu;
mod filters;
mod peer;
mod program;
mod services;
mod user;

pub use command::TestEnv;
pub use corpus::corpus;
pub use cpu::{cpu_since, cpu_time};
pub use filters::filters;
pub use peer::peer;
pub use program::{copy_program, program};
pub use services::{ObjectStore, Registry, RegistrySettings, skopeo};
pub use user::{OrdinaryUser, UserProcess};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
