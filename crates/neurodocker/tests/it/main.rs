//! Tests of templates and renderers, judged by recorded results, by a shell, and by Apptainer.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests unwrap and ask a shell, as the tests do"
)]

mod apptainer;
mod dockerfile;
mod generate;
#[cfg(feature = "minify")]
mod minify;
mod templates;
