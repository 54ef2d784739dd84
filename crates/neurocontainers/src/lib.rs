//! Stage, build, test and release NeuroContainers recipes.

pub mod base;
pub mod cache;
pub mod check;
pub mod cli;
pub mod compare;
pub mod diagnose;
pub mod docs;
pub mod downloads;
pub mod emulation;
pub mod engines;
pub mod init;
pub mod lock;
pub mod lsp;
pub mod machine;
pub mod output;
pub mod pipeline;
pub mod recipes;
pub mod size;
pub mod stage;

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
