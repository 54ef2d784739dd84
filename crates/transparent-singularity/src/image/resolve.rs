//! Links in a squashfs image, followed as a kernel would whose root it is; each directory is listed
//! once.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use nd_rootfs::show;
use nd_squashfs::{FileRange, Node, NodeKind, Reader};

use super::{is_not_found, read_all};
use crate::ImageError;

/// As many links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// A reader and the directories it has listed.
pub(super) struct Listings {
    reader: Reader<FileRange>,
    known: HashMap<Vec<u8>, Arc<Vec<Node>>>,
}

impl Listings {
    pub(super) fn new(reader: Reader<FileRange>) -> Self {
        Self {
            reader,
            known: HashMap::new(),
        }
    }

    pub(super) fn into_reader(self) -> Reader<FileRange> {
        self.reader
    }

    /// The directory of exactly this path, sorted by name; `None` when there is none.
    fn list(&mut self, path: &[u8]) -> Result<Option<Arc<Vec<Node>>>, ImageError> {
        if let Some(known) = self.known.get(path) {
            return Ok(Some(known.clone()));
        }
        let mut nodes = match self.reader.list(path) {
            Ok(nodes) => nodes,
            Err(error) if is_not_found(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        nodes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let nodes = Arc::new(nodes);
        self.known.insert(path.to_vec(), nodes.clone());
        Ok(Some(nodes))
    }

    /// The entry that `path` leads to and its own path.
    fn walk(&mut self, path: &[u8]) -> Result<Option<(Vec<u8>, Node)>, ImageError> {
        let mut parts: VecDeque<Vec<u8>> = split(path).map(<[u8]>::to_vec).collect();
        let mut here: Vec<u8> = Vec::new();
        let mut found = self.reader.node(b"")?;
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            if found.kind != NodeKind::Dir {
                return Ok(None);
            }
            if part == b".." {
                here.truncate(here.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                found = self.reader.node(&here)?;
                continue;
            }
            let Some(dir) = self.list(&here)? else {
                return Ok(None);
            };
            let Ok(at) = dir.binary_search_by(|node| node.name.as_slice().cmp(&part)) else {
                return Ok(None);
            };
            if let NodeKind::Symlink { target } = &dir[at].kind {
                links += 1;
                if links > MAX_LINKS {
                    return Ok(None);
                }
                if target.first() == Some(&b'/') {
                    here.clear();
                }
                for part in split(target).rev() {
                    parts.push_front(part.to_vec());
                }
                found = self.reader.node(&here)?;
                continue;
            }
            if !here.is_empty() {
                here.push(b'/');
            }
            here.extend_from_slice(&part);
            found = dir[at].clone();
        }
        Ok(Some((here, found)))
    }

    /// The entry that `path` leads to.
    pub(super) fn resolve(&mut self, path: &[u8]) -> Result<Option<Node>, ImageError> {
        Ok(self.walk(path)?.map(|(_, node)| node))
    }

    /// The directory that `path` leads to.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<Option<Arc<Vec<Node>>>, ImageError> {
        match self.walk(path)? {
            Some((place, node)) if node.kind == NodeKind::Dir => self.list(&place),
            _ => Ok(None),
        }
    }

    /// The bytes of the file that `path` leads to.
    pub(super) fn read(&mut self, path: &[u8], limit: u64) -> Result<Vec<u8>, ImageError> {
        let node = self.resolve(path)?;
        let node = node.ok_or_else(|| nd_squashfs::ReadError::NotFound(show(path)))?;
        let bytes = self.reader.read(&node)?;
        read_all(bytes, limit).map_err(|source| ImageError::host(path, source))
    }
}

fn split(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !matches!(*part, b"" | b"."))
}
