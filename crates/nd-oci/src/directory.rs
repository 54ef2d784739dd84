//! A plain directory of the host as a tree.

use std::{collections::BTreeMap, io, path::Path};

use nd_names::Sha256;
use nd_rootfs::{
    ContentSink, Contents, ContentsError, Entry, Index, IndexError, Kind, Location, TreePath,
    Wanted,
};

use crate::{
    digest::Hashing,
    upper::kept,
    walk::{Root, WalkError},
};

/// Gives the contents of a directory read by [`read_directory`].
#[derive(Debug)]
pub struct DirectoryContents {
    root: Root,
    files: BTreeMap<u64, TreePath>,
}

/// Why a directory is no tree.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It could not be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file changed while it was read.
    #[error("`{0}` changed while it was read")]
    Changed(TreePath),
    /// It is no tree.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Reads a directory: every entry, every content hashed, hard links by inode. Nothing outside is
/// followed, no other file system is entered.
pub fn read_directory(path: &Path) -> Result<(Index, DirectoryContents), DirectoryError> {
    let root = Root::open(path)?;
    let mut entries = root.walk()?;
    let mut files: BTreeMap<u64, TreePath> = BTreeMap::new();
    let mut known: BTreeMap<u64, Sha256> = BTreeMap::new();
    for entry in &mut entries {
        entry.attr.xattrs.retain(kept);
        let path = entry.path.clone();
        if let Kind::File {
            size,
            content,
            at: Location::Host(number),
        } = &mut entry.kind
        {
            if let Some(known) = known.get(number) {
                *content = *known;
                continue;
            }
            let fail = |source| WalkError::Entry {
                entry: path.clone(),
                source,
            };
            let mut bytes = Hashing::new(root.file(&path).map_err(fail)?);
            io::copy(&mut bytes, &mut io::sink()).map_err(fail)?;
            let (_, digest, read) = bytes.finish();
            if read != *size {
                return Err(DirectoryError::Changed(path));
            }
            *content = digest;
            known.insert(*number, digest);
            files.insert(*number, path);
        }
    }
    let entries: Vec<Entry> = entries;
    Ok((
        Index::from_entries(entries)?,
        DirectoryContents { root, files },
    ))
}

impl Contents for DirectoryContents {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        for (at, file) in wanted.iter() {
            let path = match at {
                Location::Host(number) => self.files.get(&number),
                _ => None,
            };
            let path = path.ok_or(ContentsError::Missing { at })?;
            let read = |source| ContentsError::Read {
                what: path.to_string(),
                source,
            };
            let mut bytes = Hashing::new(self.root.file(path).map_err(read)?);
            file.hand(at, &mut bytes, sink)?;
            let (_, content, read) = bytes.finish();
            if read >= file.size && content != file.content {
                return Err(ContentsError::Changed {
                    at,
                    expected: file.content,
                });
            }
        }
        Ok(())
    }
}
