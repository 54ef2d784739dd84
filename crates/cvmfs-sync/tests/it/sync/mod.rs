//! The reconciler.

mod plan;
mod upstream;
