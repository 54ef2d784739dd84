//! Tests of images: by our own reader, by the tools of others, by the kernel.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests unwrap and say what they skip, as the tests do"
)]

mod damaged;
mod foreign;
mod judges;
mod listing;
mod round_trip;
mod support;
