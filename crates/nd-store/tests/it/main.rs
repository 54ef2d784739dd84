//! Tests of the store, on real folders and with processes that are killed.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests unwrap as the tests do"
)]

mod codec;
mod store;
