//! The index of one layer, before it is merged with others.

use crate::{Entry, TreePath};

/// What one layer says, in the order its tar says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LayerIndex {
    /// The entries in tar order. Locations of files carry layer 0 until the merge numbers them.
    pub entries: Vec<LayerEntry>,
    /// Oddities that change nothing, for people: ignored names and attributes.
    pub notes: Vec<String>,
}

/// One thing a layer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerEntry {
    /// This is here. `group` is not set: links are said by [`LayerEntry::Link`].
    Entry(Entry),
    /// `path` is another name of `target`, of this layer or one below.
    Link {
        /// The new name.
        path: TreePath,
        /// The name it shares content and attributes with.
        target: TreePath,
    },
    /// Whatever lower layers have here and below is gone.
    Whiteout(TreePath),
    /// Whatever lower layers have below this directory (`None`: the root) is gone.
    Opaque(Option<TreePath>),
}

impl LayerEntry {
    /// The path it speaks of; `None` for the root.
    pub fn path(&self) -> Option<&TreePath> {
        match self {
            Self::Entry(entry) => Some(&entry.path),
            Self::Link { path, .. } | Self::Whiteout(path) => Some(path),
            Self::Opaque(dir) => dir.as_ref(),
        }
    }
}
