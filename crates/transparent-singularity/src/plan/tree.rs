//! A small tree of generated files, and the places it can go to.

use std::{
    collections::BTreeMap,
    io::{self, Cursor, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use nd_names::Sha256;
use nd_oci::{Compression, LayerOptions, OciError, write_layer};
use nd_rootfs::{
    Attr, ContentSink, Contents, ContentsError, Entry, Index, IndexError, Kind, LayerEntry,
    LinkGroup, Location, PathError, TreePath, Wanted,
};

/// Generated files: an index, and the bytes of its contents. Kilobytes, but for the launcher, which
/// is one content however many names it has.
#[derive(Debug, Clone)]
pub struct Tree {
    /// What stands where.
    pub index: Index,
    contents: BTreeMap<Sha256, Vec<u8>>,
}

/// Why files are no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The entries are no tree.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Collects files for a [`Tree`].
#[derive(Debug, Default)]
pub struct TreeBuilder {
    entries: Vec<Entry>,
    contents: BTreeMap<Sha256, Vec<u8>>,
    groups: u32,
}

impl TreeBuilder {
    /// A directory of mode 0755.
    pub fn directory(&mut self, path: &str) -> Result<(), TreeError> {
        self.entries.push(Entry {
            path: TreePath::new(path)?,
            attr: Attr::new(0o755),
            kind: Kind::Dir { implicit: false },
            group: None,
        });
        Ok(())
    }

    /// A file.
    pub fn file(
        &mut self,
        path: &str,
        bytes: impl Into<Vec<u8>>,
        mode: u16,
    ) -> Result<(), TreeError> {
        self.named(&[path], bytes.into(), mode)
    }

    /// One file under several names: hard links of each other.
    pub fn named<T: AsRef<str>>(
        &mut self,
        paths: &[T],
        bytes: Vec<u8>,
        mode: u16,
    ) -> Result<(), TreeError> {
        let content = Sha256::of(&bytes);
        let size = bytes.len() as u64;
        let group = (paths.len() > 1).then(|| {
            self.groups += 1;
            LinkGroup(self.groups)
        });
        for path in paths {
            self.entries.push(Entry {
                path: TreePath::new(path.as_ref())?,
                attr: Attr::new(mode),
                kind: Kind::File {
                    size,
                    content,
                    at: Location::Host(0),
                },
                group,
            });
        }
        self.contents.insert(content, bytes);
        Ok(())
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &[u8]) -> Result<(), TreeError> {
        self.entries.push(Entry {
            path: TreePath::new(path)?,
            attr: Attr::new(0o777),
            kind: Kind::Symlink {
                target: target.into(),
            },
            group: None,
        });
        Ok(())
    }

    /// Everything of `tree`, below `folder`, which is there already.
    pub(crate) fn graft(&mut self, folder: &str, tree: &Tree) -> Result<(), TreeError> {
        let folder = TreePath::new(folder)?;
        let groups = self.groups;
        for entry in &tree.index {
            let mut entry = entry.clone();
            entry.path = TreePath::new([folder.as_bytes(), b"/", entry.path.as_bytes()].concat())?;
            entry.group = entry.group.map(|group| LinkGroup(group.0 + groups));
            self.groups = self.groups.max(entry.group.map_or(0, |group| group.0));
            self.entries.push(entry);
        }
        self.contents.extend(tree.contents.clone());
        Ok(())
    }

    /// The tree.
    pub fn finish(self) -> Result<Tree, TreeError> {
        let Self {
            mut entries,
            contents,
            ..
        } = self;
        let places: BTreeMap<&Sha256, u64> = contents.keys().zip(0..).collect();
        for entry in &mut entries {
            if let Kind::File { content, at, .. } = &mut entry.kind
                && let Some(place) = places.get(content)
            {
                *at = Location::Host(*place);
            }
        }
        Ok(Tree {
            index: Index::from_entries(entries)?,
            contents,
        })
    }
}

impl Tree {
    /// The bytes of a file of the tree.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match &self.index.get(path)?.kind {
            Kind::File { content, .. } => self.contents.get(content).map(Vec::as_slice),
            _ => None,
        }
    }

    /// Writes the tree into an existing folder. Names of one file become hard links, or copies
    /// where links are not to be had. Files named by `last` come after everything else.
    ///
    /// # Errors
    ///
    /// When something cannot be written; what was written stays, since the folder is the caller's.
    pub fn write_to(&self, folder: &Path, last: &[&str]) -> io::Result<()> {
        let is_last = |entry: &&Entry| {
            last.iter()
                .any(|name| entry.path.as_bytes() == name.as_bytes())
        };
        let mut first: BTreeMap<LinkGroup, std::path::PathBuf> = BTreeMap::new();
        let (end, start): (Vec<&Entry>, Vec<&Entry>) = self.index.iter().partition(is_last);
        for entry in start.into_iter().chain(end) {
            let path = folder.join(on_host(&entry.path));
            match &entry.kind {
                Kind::Dir { .. } => match fs_err::create_dir(&path) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    _ => {}
                },
                Kind::Symlink { target } => {
                    use std::os::unix::ffi::OsStrExt as _;
                    let target = std::ffi::OsStr::from_bytes(target);
                    fs_err::os::unix::fs::symlink(target, &path)?;
                }
                Kind::File { content, .. } => {
                    if let Some(group) = entry.group {
                        if let Some(known) = first.get(&group)
                            && fs_err::hard_link(known, &path).is_ok()
                        {
                            continue;
                        }
                        first.entry(group).or_insert_with(|| path.clone());
                    }
                    let bytes = self.contents.get(content).map(Vec::as_slice);
                    write_new(&path, bytes.unwrap_or_default(), entry.attr.mode)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the tree as an uncompressed tar, always the same bytes for the same tree.
    pub fn write_tar(&self, out: impl Write) -> Result<(), OciError> {
        let entries = self.index.iter().cloned().map(LayerEntry::Entry);
        let entries: Vec<LayerEntry> = entries.collect();
        let options = LayerOptions {
            compression: Compression::None,
            clamp: None,
        };
        let mut source = |entry: &Entry| -> io::Result<Box<dyn Read>> {
            let Kind::File { content, .. } = &entry.kind else {
                return Ok(Box::new(io::empty()));
            };
            let bytes = self.contents.get(content).cloned().unwrap_or_default();
            Ok(Box::new(Cursor::new(bytes)))
        };
        write_layer(&entries, &mut source, options, out).map(|_| ())
    }
}

impl Contents for Tree {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        for (at, file) in wanted.iter() {
            let bytes = self.contents.get(&file.content);
            let bytes = bytes.ok_or(ContentsError::Missing { at })?;
            file.hand(at, &mut bytes.as_slice(), sink)?;
        }
        Ok(())
    }
}

/// The paths of our own files are text.
fn on_host(path: &TreePath) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

fn write_new(path: &Path, bytes: &[u8], mode: u16) -> io::Result<()> {
    let mut file = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    file.write_all(bytes)?;
    // The umask may have narrowed it; a site shares its tree.
    file.set_permissions(std::fs::Permissions::from_mode(mode.into()))
}

#[cfg(test)]
mod tests {
    //! The same tree in a folder and in a tar.

    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_folder_and_a_tar_hold_the_same() {
        let mut builder = TreeBuilder::default();
        builder.directory("a").unwrap();
        builder
            .named(&["a/x", "a/y"], b"same".to_vec(), 0o755)
            .unwrap();
        builder.file("a/z", "z", 0o644).unwrap();
        builder.symlink("a/l", b"z").unwrap();
        let tree = builder.finish().unwrap();
        let folder = tempfile::tempdir().unwrap();
        tree.write_to(folder.path(), &["a/x"]).unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(
            fs_err::metadata(at("a/x")).unwrap().ino(),
            fs_err::metadata(at("a/y")).unwrap().ino()
        );
        assert_eq!(fs_err::metadata(at("a/x")).unwrap().mode() & 0o777, 0o755);
        assert_eq!(fs_err::read_to_string(at("a/l")).unwrap(), "z");
        let (written, _) = nd_oci::read_directory(folder.path()).unwrap();
        let tree_digest = nd_rootfs::digests(&tree.index).tree;
        assert_eq!(nd_rootfs::digests(&written).tree, tree_digest);
        let mut tar = Vec::new();
        tree.write_tar(&mut tar).unwrap();
        let read =
            nd_oci::index_layer(&tar[..], Compression::None, nd_oci::Limits::default()).unwrap();
        let merged = nd_rootfs::merge(&[&read.index], nd_rootfs::Duplicates::Refuse).unwrap();
        assert_eq!(nd_rootfs::digests(&merged.index).tree, tree_digest);
    }
}
