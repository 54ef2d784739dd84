//! A stack of layers and the names of their trees in the store.

use nd_names::{Sha256, Sha256Hasher};
use nd_sandbox::IdMode;

use crate::plan::ImageLayer;

/// Version of how trees lie on disk.
const TREE_VERSION: u32 = 1;

/// Layers of one stack, the lowest first, with the key of each layer's tree.
///
/// A tree's key chains over the layers below it: what a layer unpacks to depends on them, where it
/// links to their files or leaves out directories it fills.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) layers: Vec<ImageLayer>,
    pub(crate) keys: Vec<Sha256>,
}

impl Chain {
    pub(crate) fn of(layers: &[ImageLayer], ids: IdMode) -> Self {
        let mut chain = Self::default();
        for layer in layers {
            chain.push(*layer, ids);
        }
        chain
    }

    /// The key of the topmost tree.
    pub(crate) fn tip(&self) -> Option<Sha256> {
        self.keys.last().copied()
    }

    /// The key that the tree of `diff_id` has on top.
    pub(crate) fn key_of(&self, diff_id: &Sha256, ids: IdMode) -> Sha256 {
        let mut hasher = Sha256Hasher::default();
        hasher.update(format!("tree {TREE_VERSION} {ids:?} "));
        hasher.update(self.tip().map_or([0; 32], |tip| *tip.as_bytes()));
        hasher.update(diff_id.as_bytes());
        hasher.finish()
    }

    pub(crate) fn push(&mut self, layer: ImageLayer, ids: IdMode) {
        self.keys.push(self.key_of(&layer.diff_id, ids));
        self.layers.push(layer);
    }

    /// The key of one tree of the lowest `count` layers.
    pub(crate) fn flat_key(&self, count: usize) -> Option<Sha256> {
        let tip = self.keys.get(count.checked_sub(1)?)?;
        let mut hasher = Sha256Hasher::default();
        hasher.update(format!("flat tree {TREE_VERSION} "));
        hasher.update(tip.as_bytes());
        Some(hasher.finish())
    }
}
