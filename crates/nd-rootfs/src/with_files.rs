//! A tree with further files that lie in memory.

use std::collections::BTreeMap;

use crate::{
    Attr, ContentSink, Contents, ContentsError, Entry, Index, IndexError, Kind, Location,
    MemoryContents, TreePath, Wanted,
};

/// The contents of a tree, and of files in memory beside it. Their locations are
/// [`Location::Host`], which no image's layers use.
#[derive(Debug)]
pub struct WithFiles<C> {
    inner: C,
    files: MemoryContents,
}

/// A file or folder to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// A directory of this mode, unless something is there.
    Directory(u16),
    /// A file of these bytes and this mode, in place of what is there.
    File(Vec<u8>, u16),
    /// An empty file, unless something is there.
    Mark,
}

impl<C> WithFiles<C> {
    /// Adds files to a tree whose contents `inner` has. Missing parents are made; times are `time`, in
    /// seconds since 1970.
    ///
    /// # Errors
    ///
    /// When the tree has anything but a directory where one is needed.
    pub fn new(
        index: Index,
        inner: C,
        added: impl IntoIterator<Item = (TreePath, Added)>,
        time: i64,
    ) -> Result<(Index, Self), IndexError> {
        let mut entries: BTreeMap<TreePath, Entry> = index
            .into_entries()
            .into_iter()
            .map(|entry| (entry.path.clone(), entry))
            .collect();
        let mut files = MemoryContents::default();
        let entry = |path: &TreePath, mode: u16, kind: Kind| Entry {
            path: path.clone(),
            attr: Attr {
                mtime: time,
                ..Attr::new(mode)
            },
            kind,
            group: None,
        };
        for (path, added) in added {
            for dir in path.ancestors() {
                if let Ok(dir) = TreePath::new(dir) {
                    let kind = Kind::Dir { implicit: false };
                    let made = entry(&dir, 0o755, kind);
                    entries.entry(dir).or_insert(made);
                }
            }
            let (bytes, mode) = match added {
                Added::Directory(mode) => {
                    let made = entry(&path, mode, Kind::Dir { implicit: false });
                    entries.entry(path).or_insert(made);
                    continue;
                }
                Added::Mark if entries.contains_key(&path) => continue,
                Added::Mark => (Vec::new(), 0o644),
                Added::File(bytes, mode) => (bytes, mode),
            };
            let made = entry(&path, mode, files.file(bytes));
            entries.insert(path, made);
        }
        let index = Index::from_entries(entries.into_values().collect())?;
        Ok((index, Self { inner, files }))
    }
}

impl<C: Contents> Contents for WithFiles<C> {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        let mut others = Wanted::default();
        let mut own = Wanted::default();
        for (at, file) in wanted.iter() {
            let set = match at {
                Location::Host(_) => &mut own,
                _ => &mut others,
            };
            set.insert(at, file.size, file.content);
        }
        self.inner.visit(&others, sink)?;
        self.files.visit(&own, sink)
    }
}
