//! Differences: applied to the old tree they give the new one.

use std::collections::BTreeMap;

use nd_rootfs::{Change, Entry, Index, Level, TreePath, diff, digests};
use proptest::prelude::*;

use crate::support::*;

fn apply(old: &Index, changes: &[Change<'_>]) -> Index {
    let mut tree: BTreeMap<TreePath, Entry> =
        old.iter().map(|e| (e.path.clone(), e.clone())).collect();
    for change in changes {
        let entry = change.entry();
        match change {
            Change::Removed(_) => {
                tree.retain(|path, _| path != &entry.path && !path.is_below(entry.path.as_bytes()));
            }
            Change::Added(_) | Change::Changed { .. } => {
                if !entry.kind.is_dir() {
                    tree.retain(|path, _| !path.is_below(entry.path.as_bytes()));
                }
                tree.insert(entry.path.clone(), (*entry).clone());
            }
        }
    }
    Index::from_entries(tree.into_values().collect()).unwrap()
}

proptest! {
    #[test]
    fn changes_lead_from_old_to_new(old in tree(), new in tree()) {
        let made = apply(&old, &diff(&old, &new, Level::Exact));
        prop_assert!(diff(&made, &new, Level::Exact).is_empty());
        prop_assert_eq!(digests(&made), digests(&new));
        // What a profile does not see may still shadow an assumed directory.
        let seen = |e: &Entry| !on_implied_point(e) || e.kind.is_dir();
        if old.iter().chain(&new).all(seen) {
            let made = apply(&old, &diff(&old, &new, Level::Full));
            prop_assert_eq!(digests(&made).full, digests(&new).full);
            let made = apply(&old, &diff(&old, &new, Level::Content));
            prop_assert_eq!(digests(&made).tree, digests(&new).tree);
        }
        prop_assert!(diff(&new, &new, Level::Exact).is_empty());
    }
}

#[test]
fn a_removed_directory_is_one_change() {
    let old = index(vec![dir("a"), file("a/b", b""), file("c", b"")]);
    let new = index(vec![file("c", b"")]);
    assert_eq!(
        diff(&old, &new, Level::Full),
        [Change::Removed(&old.entries()[0])]
    );
}
