//! Tests of images on disk, judged by tar, umoci, skopeo and the kernel's overlay.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests unwrap as the tests do"
)]

mod golden;
mod hostile;
mod overlay;
mod round_trip;
mod support;
mod tar_formats;
