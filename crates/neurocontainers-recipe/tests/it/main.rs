//! Recipes: reading, checking, compiling.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may panic as tests may"
)]

mod fulltest;
mod hostile;
mod lock;
mod quirks;
mod recipes;
mod rules;
mod schema;
