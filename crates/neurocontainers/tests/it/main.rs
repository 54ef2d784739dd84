//! Tests of the crate from outside: recipes built for real, outputs judged by the tools that read them.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "helpers of tests unwrap, run programs and say what they skip, as the tests do"
)]

mod build;
mod chain;
mod checkout;
mod deliver;
mod deploy;
mod diagnose;
mod downloads;
mod engines;
mod foreign;
mod kills;
mod leaks;
mod limits;
mod lock;
mod looking;
mod lsp;
mod outputs;
mod peer_registry;
mod people;
mod readme;
mod software;
mod support;
mod terminal;
mod users;
mod workflow;
