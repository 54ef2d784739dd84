//! Tests of the crate from outside: recipes built for real, outputs judged by the tools that read them.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests unwrap and run programs, as the tests do"
)]

mod build;
mod deploy;
mod diagnose;
mod downloads;
mod kills;
mod leaks;
mod lock;
mod looking;
mod lsp;
mod outputs;
mod people;
mod readme;
mod support;
mod users;
