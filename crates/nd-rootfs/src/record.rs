//! The record that travels beside a tree: `tree.json` as plain data.

use nd_names::Sha256;

use crate::{Index, Kind, LinkGroup, TreeDigests, digests, write_list};

/// What is recorded of one tree in one packaging. Written as JSON by the crates that publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeRecord {
    /// The three digests.
    pub digests: TreeDigests,
    /// How many entries the tree has.
    pub entries: u64,
    /// Sum of the sizes of all files, each hard-link group once.
    pub bytes: u64,
    /// SHA-256 of the uncompressed list.
    pub list: Sha256,
}

impl TreeRecord {
    /// Makes the record of a tree, and its list.
    pub fn of(index: &Index) -> (Self, Vec<u8>) {
        let digests = digests(index);
        let list = write_list(index, &digests);
        let mut seen = std::collections::HashSet::new();
        let mut first = |group: Option<LinkGroup>| group.is_none_or(|group| seen.insert(group));
        let bytes = index
            .iter()
            .filter_map(|entry| match entry.kind {
                Kind::File { size, .. } if first(entry.group) => Some(size),
                _ => None,
            })
            .sum();
        let record = Self {
            digests,
            entries: index.len() as u64,
            bytes,
            list: Sha256::of(&list),
        };
        (record, list)
    }
}
