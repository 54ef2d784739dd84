//! Publishes containers to CVMFS repositories, and proves, copies and keeps such repositories.
//!
//! [`sync`] is the reconciler: what should be published, what is, the plan, the run. A [`publisher`]
//! makes its revisions. [`housekeeping`] is what keeps a repository in order besides. [`server`] sets up
//! machines for repositories, [`probe`] says which servers are good. The verbs over one repository are
//! thin: [`nd_cvmfs`] with the connections of [`nd_fetch`].

mod bucket;
pub mod cli;
pub mod codes;
mod hints;
pub mod housekeeping;
mod places;
pub mod probe;
pub mod publisher;
pub mod server;
pub mod sync;
mod tree;

pub use bucket::BucketStorage;
pub use hints::{Prefetched, prefetch};
pub use places::{HttpSource, Place, PlaceError};
pub use tree::{SourceTree, TreeError};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
