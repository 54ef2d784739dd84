//! Publishes containers to CVMFS repositories, and proves, copies and keeps such repositories: the
//! verbs over [`nd_cvmfs`], with the connections of [`nd_fetch`]. [`server`] sets up machines for them,
//! [`probe`] says which servers are good.

pub mod cli;
pub mod codes;
mod places;
pub mod probe;
pub mod server;
mod tree;

pub use places::{HttpSource, Place, PlaceError};
pub use tree::{SourceTree, TreeError};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
