//! Stage, build, test and release NeuroContainers recipes.

pub mod base;
pub mod check;
pub mod machine;
pub mod output;
pub mod recipes;
pub mod stage;
