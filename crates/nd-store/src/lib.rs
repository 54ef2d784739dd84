//! What is worth keeping between runs, on disk: blobs by digest, layer indexes by diff id, records
//! by key, unpacked trees with leases.
//!
//! Any number of processes may use one store. Every final name appears by one rename, complete; a
//! process that dies leaves only temporary files whose lock died with it, which the next run
//! removes. Files are not forced to the medium: what a power failure tears is recognised by its
//! checksum (records, indexes) or by its digest when it is read (blobs), and made again.

mod blob;
mod checked;
mod codec;
mod error;
mod partial;
mod prune;
mod store;
mod tree;

pub use blob::BlobWriter;
pub use codec::{DecodeError, decode_layer_index, encode_layer_index};
pub use error::StoreError;
pub use partial::Partial;
pub use prune::{Item, ItemKind, PruneWish, Pruned};
pub use store::{Abandoned, KeyLock, Store};
pub use tree::{NewTree, TreeLease};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
