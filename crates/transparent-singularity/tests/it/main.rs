//! The program and the library together with real runtimes, shells and module systems.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests fail as tests do, and start programs by themselves"
)]

mod bad_input;
mod cluster;
mod demanded;
mod find;
mod fixture;
mod install;
mod itksnap;
mod kill;
mod mirrors;
mod modules;
mod operating;
mod served;
mod shells;
mod shpc;
mod sources;
mod upstream;
mod user;
