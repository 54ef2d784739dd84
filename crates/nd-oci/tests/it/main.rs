//! Tests of images on disk, judged by tar, umoci, skopeo and the kernel's overlay.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests unwrap and say what they skip, as the tests do"
)]

mod archives;
mod golden;
mod hostile;
mod overlay;
mod round_trip;
mod stacks;
mod support;
mod tar_formats;
mod unpack;
