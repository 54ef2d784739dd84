//! Where a tree is cut into catalogues.

use nd_rootfs::{Entry, Index, Kind};

/// How large catalogues become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOptions {
    /// Bytes of a data base above which subtrees get catalogues of their own.
    pub max_bytes: u64,
}

impl Default for CutOptions {
    /// 16 MiB, some 60,000 entries.
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
        }
    }
}

/// Bytes that a row takes in a data base, besides its texts: measured on catalogues of our own, both
/// indexes included.
const ROW: u64 = 190;
/// Bytes of a chunk's row.
const CHUNK: u64 = 75;

/// About how many bytes an entry takes.
pub(crate) fn weight(entry: &Entry) -> u64 {
    let name = entry.path.name().len() as u64;
    let xattrs: usize = entry
        .attr
        .xattrs
        .iter()
        .map(|(n, v)| n.len() + v.len() + 2)
        .sum();
    let more = match &entry.kind {
        Kind::Symlink { target } => target.len() as u64,
        Kind::File { size, .. } => (size >> 23) * CHUNK,
        _ => 0,
    };
    ROW + name + more + xattrs as u64
}

/// Positions of the directories at which a catalogue begins, in tree order, besides the root: those
/// that the tree marks itself, and of what is heavier than the limit the heaviest parts. A single
/// directory is never divided.
pub fn cuts(index: &Index, options: CutOptions) -> Vec<usize> {
    let entries = index.entries();
    let mut marked = vec![false; entries.len()];
    for entry in entries {
        if entry.path.name() == crate::MARKER
            && matches!(entry.kind, Kind::File { .. })
            && let Some(dir) = entry.path.parent()
            && let Some(at) = index.position(dir.as_bytes())
        {
            marked[at] = true;
        }
    }
    // Directories on the way to the current entry: position, own weight so far, parts that may be cut.
    let mut open: Vec<Open> = vec![Open::default()];
    for (at, entry) in entries.iter().enumerate() {
        let depth = entry.path.parts().count();
        while open.len() > depth {
            close(&mut open, &mut marked, options.max_bytes);
        }
        if let Some(last) = open.last_mut() {
            last.weight += weight(entry);
        }
        if entry.kind.is_dir() {
            open.push(Open {
                at: Some(at),
                ..Open::default()
            });
        }
    }
    while !open.is_empty() {
        close(&mut open, &mut marked, options.max_bytes);
    }
    (0..entries.len()).filter(|&at| marked[at]).collect()
}

#[derive(Default)]
struct Open {
    at: Option<usize>,
    weight: u64,
    parts: Vec<(u64, usize)>,
}

fn close(open: &mut Vec<Open>, marked: &mut [bool], limit: u64) {
    let Some(mut dir) = open.pop() else { return };
    dir.parts.sort_unstable();
    while dir.weight > limit {
        // A part that is hardly more than its own mount point helps nothing.
        let Some((weight, at)) = dir.parts.pop().filter(|(weight, _)| *weight > 4 * ROW) else {
            break;
        };
        marked[at] = true;
        dir.weight -= weight;
    }
    let (Some(at), Some(above)) = (dir.at, open.last_mut()) else {
        return;
    };
    if !marked[at] {
        above.weight += dir.weight;
        above.parts.push((dir.weight, at));
    }
}

#[cfg(test)]
mod tests {
    //! Trees of known weight.

    use nd_rootfs::{Attr, TreePath};

    use super::*;

    fn tree(paths: &[String]) -> Index {
        let entry = |path: &String| Entry {
            path: TreePath::new(path).unwrap(),
            attr: Attr::new(0o644),
            kind: Kind::Symlink {
                target: b"t".as_slice().into(),
            },
            group: None,
        };
        Index::from_entries(paths.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn the_heaviest_parts_are_cut_until_the_rest_is_light() {
        let mut paths = Vec::new();
        for (dir, number) in [
            ("a/small", 10),
            ("a/large", 300),
            ("b", 100),
            ("flat", 2000),
        ] {
            paths.extend((0..number).map(|n| format!("{dir}/{n:04}")));
        }
        let index = tree(&paths);
        let found = |max_bytes| {
            cuts(&index, CutOptions { max_bytes })
                .into_iter()
                .map(|at| index.entries()[at].path.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(1 << 20), [""; 0]);
        assert_eq!(found(100_000), ["flat"]);
        assert_eq!(found(50_000), ["a/large", "flat"]);
    }
}
