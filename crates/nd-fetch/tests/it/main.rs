//! Tests of downloads, against servers of our own that behave as servers do and as they should not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests unwrap as the tests do"
)]

mod cache;
mod credentials;
mod failures;
mod lies;
mod mirrors;
mod objects;
mod peer_registry;
mod processes;
mod push;
mod referrers;
mod registry;
mod resume;
mod s3;
mod server;
mod support;
mod tls;
