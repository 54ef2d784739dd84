//! What a root file system is: paths, entries, the sorted index, layers and their merge,
//! differences, the list and the digests.
//!
//! The crate does no I/O. Readers live with their formats and give an [`Index`] (or a
//! [`LayerIndex`]) and a [`Contents`].

mod attr;
mod contents;
mod entry;
mod index;
mod layer;
mod path;

pub use attr::{Attr, CAPABILITY, Xattrs};
pub use contents::{ContentSink, Contents, ContentsError, Wanted, WantedFile};
pub use entry::{DeviceClass, Entry, Kind, LinkGroup, Location};
pub use index::{Children, Found, Index, IndexError, ResolveError};
pub use layer::{LayerEntry, LayerIndex};
pub use path::{MAX_NAME, MAX_PATH, MAX_TARGET, PathError, TreePath, show, tree_order};
