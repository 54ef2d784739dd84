//! What binaries say and which exit code they end with.

mod diagnostics;
mod failure;
mod report;
mod text;
