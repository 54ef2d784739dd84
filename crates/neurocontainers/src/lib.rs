//! Stage, build, test and release NeuroContainers recipes.

pub mod base;
pub mod machine;
