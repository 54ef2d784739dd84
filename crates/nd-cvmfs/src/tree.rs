//! A directory of a repository as a tree with contents.

use std::collections::HashMap;

use nd_names::{Sha256, Sha256Hasher};
use nd_rootfs::{
    Attr, ContentSink, Contents, ContentsError, DeviceClass, Entry, Index, IndexError, Kind,
    LinkGroup, Location, TreePath, Wanted,
};

use crate::{
    catalog::{Catalog, Row, RowKind, flag, unpack_xattrs},
    repository::{ReadError, Repository, shown},
};

/// Stands for the digest of content that has not been read.
pub const UNREAD: Sha256 = Sha256::from_bytes([0; 32]);

/// Why a directory of a repository is no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A catalogue or a file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bytes of a file could not be read.
    #[error("failed to read `{path}`")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no tree.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Gives the contents of files of a repository.
#[derive(Debug)]
pub struct RepositoryContents<'s> {
    repository: Repository<'s>,
    rows: Vec<Row>,
}

/// Rows below a directory in tree order, of all catalogues.
pub(crate) fn rows_below(
    repository: &Repository<'_>,
    path: &[u8],
    each: &mut dyn FnMut(&Catalog, &[u8], &Row),
) -> Result<(), ReadError> {
    let first = repository.catalog_of(path)?;
    let row = first
        .row(path)
        .ok_or_else(|| ReadError::NotFound(shown(path)))?;
    if row.kind() != RowKind::Dir {
        return Err(ReadError::Not {
            path: shown(path),
            expected: "directory",
        });
    }
    let mut waiting = vec![(first, path.to_vec())];
    while let Some((catalog, from)) = waiting.pop() {
        for (place, row) in catalog.below(&from) {
            each(&catalog, &place, row);
        }
        for (mount, nested) in &catalog.nested {
            let below = mount.strip_prefix(&from[..]);
            if below.is_some_and(|rest| rest.first() == Some(&b'/')) {
                let child = repository.catalog(&nested.hash, nested.size, mount)?;
                waiting.push((child, mount.clone()));
            }
        }
    }
    Ok(())
}

impl<'s> Repository<'s> {
    /// The directory `path` (empty: the root) as a tree. `digest` gives the SHA-256 of a file's
    /// content, where it is known; files for which it gives `None` are read.
    pub fn tree(
        &self,
        path: &[u8],
        digest: &mut dyn FnMut(&Row) -> Option<Sha256>,
    ) -> Result<(Index, RepositoryContents<'s>), TreeError> {
        let mut found: Vec<(Vec<u8>, Row, Vec<u8>)> = Vec::new();
        let cut = path.len() + 1;
        rows_below(self, path, &mut |catalog, place, row| {
            found.push((place[cut..].to_vec(), row.clone(), catalog.prefix.clone()));
        })?;
        let mut entries = Vec::with_capacity(found.len());
        let mut rows = Vec::new();
        let mut groups: HashMap<(Vec<u8>, Vec<u8>, u32), LinkGroup> = HashMap::new();
        for (place, row, catalog) in found {
            let shown_path = shown(&place);
            let Ok(path) = TreePath::new(place) else {
                return Err(ReadError::Not {
                    path: shown_path,
                    expected: "path of a tree",
                }
                .into());
            };
            let group = (row.link_group != 0).then(|| {
                let dir = path
                    .parent()
                    .map(|dir| dir.as_bytes().to_vec())
                    .unwrap_or_default();
                let next = LinkGroup(groups.len() as u32);
                *groups.entry((catalog, dir, row.link_group)).or_insert(next)
            });
            let kind = self.kind(&path, &row, rows.len(), digest)?;
            let attr = Attr {
                mode: match row.kind() {
                    RowKind::Symlink => 0o777,
                    _ => (row.mode & 0o7777) as u16,
                },
                uid: row.uid,
                gid: row.gid,
                mtime: row.mtime,
                xattrs: row
                    .xattrs
                    .as_deref()
                    .and_then(unpack_xattrs)
                    .unwrap_or_default(),
            };
            if row.kind() == RowKind::File {
                rows.push(row);
            }
            entries.push(Entry {
                path,
                attr,
                kind,
                group,
            });
        }
        let contents = RepositoryContents {
            repository: self.at(
                self.manifest().root_catalog,
                self.manifest().revision,
                self.manifest().root_size,
            ),
            rows,
        };
        Ok((Index::from_entries(entries)?, contents))
    }

    fn kind(
        &self,
        path: &TreePath,
        row: &Row,
        number: usize,
        digest: &mut dyn FnMut(&Row) -> Option<Sha256>,
    ) -> Result<Kind, TreeError> {
        let device = |class| Kind::Device {
            class,
            major: rustix::fs::major(row.size),
            minor: rustix::fs::minor(row.size),
        };
        Ok(match row.kind() {
            RowKind::Dir => Kind::Dir { implicit: false },
            RowKind::Symlink => Kind::Symlink {
                target: row.symlink.clone().into(),
            },
            RowKind::File => Kind::File {
                size: row.size,
                content: match digest(row) {
                    Some(content) => content,
                    None => self.hash_file(path, row)?,
                },
                at: Location::Cvmfs(number as u64),
            },
            RowKind::Special => match row.mode & 0o170_000 {
                0o010_000 => Kind::Fifo,
                0o140_000 => Kind::Socket,
                0o020_000 => device(DeviceClass::Char),
                _ => device(DeviceClass::Block),
            },
        })
    }

    fn hash_file(&self, path: &TreePath, row: &Row) -> Result<Sha256, TreeError> {
        let mut digest = Sha256Hasher::default();
        if !row.has(flag::EXTERNAL) {
            let mut bytes = self.read(row)?;
            std::io::copy(&mut bytes, &mut digest).map_err(|source| TreeError::File {
                path: path.to_string(),
                source,
            })?;
        }
        Ok(digest.finish())
    }
}

impl Contents for RepositoryContents<'_> {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        for (at, file) in wanted.iter() {
            let row = match at {
                Location::Cvmfs(number) => self.rows.get(number as usize),
                _ => None,
            };
            let row = row.ok_or(ContentsError::Missing { at })?;
            let read = |source| ContentsError::Read {
                what: shown(&row.name),
                source,
            };
            let mut bytes =
                (self.repository.read(row)).map_err(|e| read(std::io::Error::other(e)))?;
            file.hand(at, &mut bytes, sink)?;
        }
        Ok(())
    }
}
