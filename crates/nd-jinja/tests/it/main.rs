//! Tests of the template language, judged by recorded results of Jinja2 and by Jinja2 itself.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "helpers of tests unwrap and say what they skip, as the tests do"
)]

mod language;
mod peer;
mod recorded;
