//! Programs, files and directories of this machine, for real.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod files;
mod programs;
mod roots;
