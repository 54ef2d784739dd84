//! Modules as the real Lmod and the real Environment Modules see them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod reader;
mod readers;
