//! What a root file system is: paths, entries, the sorted index, layers and their merge,
//! differences, the list and the digests.
//!
//! The crate does no I/O. Readers live with their formats and give an [`Index`] (or a
//! [`LayerIndex`]) and a [`Contents`].

mod attr;
mod contents;
mod diff;
mod digest;
mod entry;
mod index;
mod layer;
mod merge;
mod mtree;
mod path;
mod record;
mod rules;
mod with_files;

pub use attr::{Attr, CAPABILITY, Xattrs};
pub use contents::{ContentSink, Contents, ContentsError, MemoryContents, Wanted, WantedFile};
pub use diff::{Change, Fields, Level, diff};
pub use digest::{ParseTreeDigestError, Profile, TreeDigest, TreeDigests, digests, subtree_digest};
pub use entry::{DeviceClass, Entry, Kind, LinkGroup, Location};
pub use index::{Children, Found, Index, IndexError, ResolveError};
pub use layer::{LayerEntry, LayerIndex};
pub use merge::{Duplicates, MergeError, Merged, merge};
pub use mtree::{ListError, parse_list, write_list};
pub use path::{MAX_NAME, MAX_PATH, MAX_TARGET, PathError, TreePath, show, tree_order};
pub use record::TreeRecord;
pub use rules::left_out;
pub use with_files::{Added, WithFiles};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
