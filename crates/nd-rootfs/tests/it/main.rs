//! Tests of the tree model: digests, merge, diff, list.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests unwrap as the tests do"
)]

mod diff;
mod digest;
mod index;
mod list;
mod merge;
mod support;
