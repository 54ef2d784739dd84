//! The launcher's file, its plans, and the binary with the real Apptainer.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod apptainer;
mod bad_input;
mod binary;
mod digest;
mod ends;
mod files;
mod fixture;
mod format;
mod gpu;
mod native;
mod plans;
mod room;
mod root;
mod scripts;
mod user;
mod vanish;
mod warm;
