//! Repositories made, read, changed, damaged and copied.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod collect;
mod damage;
mod fixture;
mod hostile;
mod lifecycle;
mod peers;
mod trees;
