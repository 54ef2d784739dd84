//! What changed between two revisions.

use crate::{
    catalog::{Row, RowKind},
    repository::{ReadError, Repository},
    tree::rows_below,
};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The absolute path.
    pub path: Vec<u8>,
    /// What happened.
    pub change: Change,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was added.
    Added,
    /// It was removed.
    Removed,
    /// Its content, target or kind is another.
    Content,
    /// Its attributes alone are others.
    Attributes,
}

/// Every path that two revisions have not alike, in tree order. Catalogues that both have are not
/// read.
pub fn diff(old: &Repository<'_>, new: &Repository<'_>) -> Result<Vec<Difference>, ReadError> {
    let mut sides = [Vec::new(), Vec::new()];
    for (repository, rows) in [old, new].into_iter().zip(&mut sides) {
        rows_below(repository, b"", &mut |_, path, row| {
            rows.push((crate::catalog::key(path), row.clone()));
        })?;
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
    let [old, new] = sides;
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    let mut out = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let (path, change) = match order {
            std::cmp::Ordering::Less => (old.next(), Some(Change::Removed)),
            std::cmp::Ordering::Greater => (new.next(), Some(Change::Added)),
            std::cmp::Ordering::Equal => {
                let (before, after) = (old.next(), new.next());
                let change = match (&before, &after) {
                    (Some((_, before)), Some((_, after))) => compare(before, after),
                    _ => None,
                };
                (after, change)
            }
        };
        if let (Some((key, _)), Some(change)) = (path, change) {
            let path = crate::catalog::path_of_key(&key);
            out.push(Difference { path, change });
        }
    }
}

fn compare(old: &Row, new: &Row) -> Option<Change> {
    let same_content = old.kind() == new.kind()
        && old.hash == new.hash
        && old.chunks == new.chunks
        && old.symlink == new.symlink
        && (old.size == new.size || old.kind() == RowKind::Dir);
    if !same_content {
        return Some(Change::Content);
    }
    let attributes = |row: &Row| (row.mode, row.uid, row.gid, row.xattrs.clone());
    // The time and link count of a directory follow from what is in it.
    let time = old.kind() != RowKind::Dir && old.mtime != new.mtime;
    (attributes(old) != attributes(new) || time).then_some(Change::Attributes)
}
