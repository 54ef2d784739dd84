//! Tests of SIF files: by our own reader and by Apptainer.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests unwrap, as the tests do"
)]

mod apptainer;
mod hostile;
mod support;
