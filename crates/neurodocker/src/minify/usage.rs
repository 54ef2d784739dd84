//! From paths that were looked at to entries that are kept, and what goes then.

use std::collections::{HashMap, HashSet, VecDeque};

use nd_rootfs::{Found, Index, Kind, Location};

use super::{error::MinifyError, glob::Pattern};

/// As many symlinks as Linux follows in one path.
const MAX_LINKS: usize = 40;
/// Directories that are made anew in every container; nothing of an image is seen there.
const NOT_OF_THE_IMAGE: &[&str] = &["proc", "sys", "dev"];

/// Entries of an index that must stay.
#[derive(Debug, Clone)]
pub(super) struct Used {
    marks: Vec<bool>,
}

impl Used {
    pub(super) fn none(index: &Index) -> Self {
        Self {
            marks: vec![false; index.len()],
        }
    }

    /// Marks everything on the way of a path: directories, symlinks and what they lead to.
    pub(super) fn path(&mut self, index: &Index, path: &[u8]) {
        let split = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|&byte| byte == b'/')
                .filter(|part| !part.is_empty() && *part != b".")
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut parts: VecDeque<Vec<u8>> = split(path).into();
        let mut here: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            if part == b".." {
                let cut = here.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                here.truncate(cut);
                continue;
            }
            let before = here.len();
            if !here.is_empty() {
                here.push(b'/');
            }
            here.extend_from_slice(&part);
            let Some(at) = index.position(&here) else {
                return;
            };
            self.marks[at] = true;
            match &index.entries()[at].kind {
                Kind::Dir { .. } => {}
                Kind::Symlink { target } => {
                    links += 1;
                    if links > MAX_LINKS {
                        return;
                    }
                    here.truncate(if target.first() == Some(&b'/') {
                        0
                    } else {
                        before
                    });
                    for part in split(target).into_iter().rev() {
                        parts.push_front(part);
                    }
                }
                _ => return,
            }
        }
    }

    /// The paths of the files that are marked.
    pub(super) fn files(&self, index: &Index) -> Vec<Vec<u8>> {
        let entries = index.iter().zip(&self.marks);
        let files =
            entries.filter(|(entry, marked)| **marked && matches!(entry.kind, Kind::File { .. }));
        files
            .map(|(entry, _)| entry.path.as_bytes().to_vec())
            .collect()
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.marks[at]
    }

    pub(super) fn mark(&mut self, at: usize) {
        self.marks[at] = true;
    }
}

/// Directories that may lose something, as paths of the index; symlinks on the way are followed.
pub(super) fn prune_directories(
    index: &Index,
    asked: &[String],
) -> Result<Vec<Vec<u8>>, MinifyError> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for text in asked {
        let refuse = |problem| MinifyError::Directory {
            directory: text.clone(),
            problem,
        };
        if !text.starts_with('/') {
            return Err(refuse("it must begin with `/`"));
        }
        let entry = match index.resolve(text.as_bytes(), true) {
            Ok(Found::Root) => return Err(refuse("everything cannot be pruned")),
            Ok(Found::Entry(entry)) => entry,
            Err(_) => return Err(refuse("the image has no such directory")),
        };
        if !entry.kind.is_dir() {
            return Err(refuse("it is no directory"));
        }
        let path = entry.path.as_bytes();
        let first = path.split(|&byte| byte == b'/').next().unwrap_or_default();
        if NOT_OF_THE_IMAGE.iter().any(|name| name.as_bytes() == first) {
            return Err(refuse("every container has its own"));
        }
        found.push(path.to_vec());
    }
    found.sort();
    found.dedup();
    // What lies in another one is pruned with it.
    let all = found.clone();
    found.retain(|dir| !all.iter().any(|other| is_below(dir, other)));
    Ok(found)
}

/// Whether `path` lies in `dir`, or deeper.
pub(super) fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// What goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removal {
    marks: Vec<bool>,
    /// Files and symlinks.
    pub(super) files: usize,
    /// Directories.
    pub(super) directories: usize,
    /// Bytes of contents of which no name is left.
    pub(super) bytes: u64,
    /// Where those are: directory one below a pruned one (or the pruned one itself for what lies
    /// directly in it), files, bytes; the largest first.
    pub(super) by_directory: Vec<(Vec<u8>, usize, u64)>,
}

impl Removal {
    /// Of what lies in `prune`, everything goes that is neither used nor kept by a pattern: files and
    /// symlinks, then directories that have nothing left.
    pub(super) fn plan(index: &Index, prune: &[Vec<u8>], used: &Used, keep: &[Pattern]) -> Self {
        let entries = index.entries();
        let mut marks = vec![false; entries.len()];
        let mut place: Vec<Option<Vec<u8>>> = vec![None; entries.len()];
        for dir in prune {
            let Some(start) = index.position(dir) else {
                continue;
            };
            for at in start + 1..start + index.subtree(dir).len() {
                let entry = &entries[at];
                let path = entry.path.as_bytes();
                place[at] = Some(below(path, dir));
                let goes = matches!(entry.kind, Kind::File { .. } | Kind::Symlink { .. });
                marks[at] =
                    goes && !used.has(at) && !keep.iter().any(|pattern| pattern.matches(path));
            }
        }
        let files = marks.iter().filter(|&&gone| gone).count();
        // Children come after their directory.
        let mut left = vec![0_usize; entries.len()];
        let mut lost = vec![false; entries.len()];
        for at in (0..entries.len()).rev() {
            let entry = &entries[at];
            let empties = entry.kind.is_dir() && left[at] == 0 && lost[at];
            if empties && place[at].is_some() && !used.has(at) {
                let path = entry.path.as_bytes();
                marks[at] = !keep.iter().any(|pattern| pattern.matches(path));
            }
            let above = entry.path.parent();
            if let Some(above) = above.and_then(|dir| index.position(dir.as_bytes())) {
                if marks[at] {
                    lost[above] = true;
                } else {
                    left[above] += 1;
                }
            }
        }
        let directories = marks.iter().filter(|&&gone| gone).count() - files;
        let mut removal = Self {
            marks,
            files,
            directories,
            bytes: 0,
            by_directory: Vec::new(),
        };
        removal.measure(index, &place);
        removal
    }

    fn measure(&mut self, index: &Index, place: &[Option<Vec<u8>>]) {
        let mut stays: HashSet<Location> = HashSet::new();
        for (entry, gone) in index.iter().zip(&self.marks) {
            if let Kind::File { at, .. } = entry.kind
                && !gone
            {
                stays.insert(at);
            }
        }
        let mut by: HashMap<&[u8], (usize, u64)> = HashMap::new();
        for (number, entry) in index.iter().enumerate() {
            let Some(place) = place[number].as_deref().filter(|_| self.marks[number]) else {
                continue;
            };
            if entry.kind.is_dir() {
                continue;
            }
            let sums = by.entry(place).or_default();
            sums.0 += 1;
            if let Kind::File { size, at, .. } = entry.kind
                && stays.insert(at)
            {
                sums.1 += size;
                self.bytes += size;
            }
        }
        let mut by: Vec<_> = by
            .into_iter()
            .map(|(dir, (files, bytes))| (dir.to_vec(), files, bytes))
            .collect();
        by.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        self.by_directory = by;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files == 0
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.marks[at]
    }

    /// Whether the entry of this path goes.
    pub(super) fn has_path(&self, index: &Index, path: &[u8]) -> bool {
        index.position(path).is_some_and(|at| self.marks[at])
    }

    /// Paths of what goes whose directory stays: with directories goes what is in them.
    pub(super) fn tops<'a>(&'a self, index: &'a Index) -> impl Iterator<Item = &'a [u8]> {
        index.iter().zip(&self.marks).filter_map(|(entry, &gone)| {
            let above = entry.path.parent();
            let covered = above.is_some_and(|dir| self.has_path(index, dir.as_bytes()));
            (gone && !covered).then(|| entry.path.as_bytes())
        })
    }
}

/// The directory one below `dir` that `path` lies in, or `dir`.
fn below(path: &[u8], dir: &[u8]) -> Vec<u8> {
    let rest = &path[dir.len() + 1..];
    match rest.iter().position(|&byte| byte == b'/') {
        Some(end) => path[..dir.len() + 1 + end].to_vec(),
        None => dir.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    //! What stays and what goes in a small tree.

    use nd_rootfs::{Attr, Entry, Index, Kind, Location, TreePath};

    use super::{Pattern, Removal, Used, prune_directories};

    fn index(files: &[&str], links: &[(&str, &str)], dirs: &[&str]) -> Index {
        let path = |text: &str| TreePath::new(text).unwrap();
        let entry = |text: &str, kind| Entry {
            path: path(text),
            attr: Attr::implicit(),
            kind,
            group: None,
        };
        let mut entries = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let at = Location::Host(number as u64);
            let content = nd_names::Sha256::from_bytes([number as u8; 32]);
            let size = 10;
            entries.push(entry(file, Kind::File { size, content, at }));
        }
        for (link, target) in links {
            let target = target.as_bytes().into();
            entries.push(entry(link, Kind::Symlink { target }));
        }
        for dir in dirs {
            entries.push(entry(dir, Kind::Dir { implicit: false }));
        }
        Index::from_entries(entries).unwrap()
    }

    fn gone(index: &Index, prune: &[&str], looked_at: &[&str], keep: &[&str]) -> Vec<String> {
        let prune: Vec<_> = prune.iter().map(|text| (*text).to_owned()).collect();
        let prune = prune_directories(index, &prune).unwrap();
        let mut used = Used::none(index);
        for path in looked_at {
            used.path(index, path.as_bytes());
        }
        let keep: Vec<_> = keep
            .iter()
            .map(|text| Pattern::new(text).unwrap())
            .collect();
        let removal = Removal::plan(index, &prune, &used, &keep);
        let tops = removal.tops(index);
        tops.map(|path| String::from_utf8_lossy(path).into_owned())
            .collect()
    }

    #[test]
    fn chains_of_links_stay_and_directories_go_when_nothing_is_left_in_them() {
        let index = index(
            &[
                "opt/a/lib/x.so.1",
                "opt/a/doc/y",
                "opt/b/z",
                "usr/u",
                "opt/kept/deep/k",
            ],
            &[
                ("opt/a/lib/x.so", "x.so.1"),
                ("opt/current", "a"),
                ("opt/old", "/nowhere"),
                ("way", "/opt/current/lib"),
            ],
            &["opt/empty"],
        );
        let looked_at = ["/way/../lib/x.so", "/usr/missing", "/proc/self/exe"];
        assert_eq!(
            gone(&index, &["/opt"], &looked_at, &["/opt/kept"]),
            ["opt/a/doc", "opt/b", "opt/old"]
        );
        assert_eq!(
            gone(&index, &["/opt/a", "/opt/current/lib"], &[], &[]),
            ["opt/a/doc", "opt/a/lib"]
        );
        // A directory that was looked at stays, empty.
        assert_eq!(gone(&index, &["/opt/b"], &["/opt/b"], &[]), ["opt/b/z"]);
        for wrong in ["/", "/nothing", "opt", "/usr/u", "/opt/.."] {
            assert!(
                prune_directories(&index, &[wrong.to_owned()]).is_err(),
                "{wrong}"
            );
        }
    }
}
