//! The file system of an image, looked at without running anything of it.
//!
//! A SIF file, a squashfs image, a directory and an OCI image answer the same few questions. Paths
//! are bytes and stay inside the image: absolute links start at its root, `..` stops there.

mod metadata;
mod open;
mod resolve;

use std::{io::Read as _, sync::Arc};

use nd_host::RootDir;
use nd_names::Sha256;
use nd_oci::{ImageTree, LayerContents};
use nd_report::Cancel;
use nd_rootfs::{ContentSink, Contents as _, Index, Kind, Location, Wanted, show};
use nd_squashfs::{FileRange, NodeKind, ReadError, Reader};

use self::resolve::Listings;
pub use self::{
    metadata::Metadata,
    open::{ImageKind, OpenImage},
};
use crate::ImageError;

/// What stands at a path of an image, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: StatKind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u16,
    /// Length in bytes of a regular file, else 0.
    pub size: u64,
}

impl Stat {
    /// Whether it is a regular file that somebody may execute.
    pub fn is_program(self) -> bool {
        self.kind == StatKind::File && self.mode & 0o111 != 0
    }
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A device, pipe or socket.
    Other,
}

/// Names of a directory, and what each leads to.
pub type Children = Vec<(Vec<u8>, Option<Stat>)>;

/// The file system of an image.
pub struct ImageFiles {
    form: Form,
}

enum Form {
    Squashfs(Box<Listings>),
    Directory(RootDir),
    Tree {
        index: Index,
        contents: Box<LayerContents>,
    },
}

impl std::fmt::Debug for ImageFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.form {
            Form::Squashfs(_) => "ImageFiles(squashfs)",
            Form::Directory(_) => "ImageFiles(directory)",
            Form::Tree { .. } => "ImageFiles(tree)",
        })
    }
}

impl ImageFiles {
    pub(crate) fn of_squashfs(reader: Reader<FileRange>) -> Self {
        Self {
            form: Form::Squashfs(Box::new(Listings::new(reader))),
        }
    }

    pub(crate) fn of_directory(root: RootDir) -> Self {
        Self {
            form: Form::Directory(root),
        }
    }

    pub(crate) fn of_tree(tree: ImageTree) -> Self {
        Self {
            form: Form::Tree {
                index: tree.index,
                contents: Box::new(tree.contents),
            },
        }
    }

    /// What `path` leads to; `None` when there is nothing, or a link leads nowhere.
    pub fn stat(&mut self, path: &[u8]) -> Result<Option<Stat>, ImageError> {
        match &mut self.form {
            Form::Squashfs(listings) => Ok(listings.resolve(path)?.map(|node| of_node(&node))),
            Form::Directory(root) => of_host(root, path),
            Form::Tree { index, .. } => Ok(of_index(index, path)),
        }
    }

    /// Names in the directory that `path` leads to, sorted by byte; `None` when it leads to none.
    pub fn names(&mut self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, ImageError> {
        match &mut self.form {
            Form::Squashfs(listings) => {
                let Some(dir) = listings.directory(path)? else {
                    return Ok(None);
                };
                Ok(Some(dir.iter().map(|node| node.name.clone()).collect()))
            }
            Form::Directory(root) => match root.names(path) {
                Ok(names) => Ok(Some(names)),
                Err(error) if leads_nowhere(&error) => Ok(None),
                Err(source) => Err(ImageError::host(path, source)),
            },
            Form::Tree { index, .. } => {
                let Ok(found) = index.resolve(path, true) else {
                    return Ok(None);
                };
                if !found.is_dir() {
                    return Ok(None);
                }
                let dir = found
                    .entry()
                    .map_or(&b""[..], |entry| entry.path.as_bytes());
                let names = index.children(dir).map(|entry| entry.path.name().to_vec());
                let mut names: Vec<_> = names.collect();
                names.sort_unstable();
                Ok(Some(names))
            }
        }
    }

    /// Names in the directory that `path` leads to, and what each leads to, sorted by byte; `None`
    /// when it leads to no directory.
    pub fn children(&mut self, path: &[u8]) -> Result<Option<Children>, ImageError> {
        let Some(names) = self.names(path)? else {
            return Ok(None);
        };
        // What is no link is known from the listing; squashfs reads it with the names anyway.
        let known: Vec<Option<Stat>> = match &mut self.form {
            Form::Squashfs(listings) => {
                let dir = listings.directory(path)?.unwrap_or_default();
                let stat = |node: &nd_squashfs::Node| {
                    let link = matches!(node.kind, NodeKind::Symlink { .. });
                    (!link).then(|| of_node(node))
                };
                dir.iter().map(stat).collect()
            }
            _ => vec![None; names.len()],
        };
        let mut out = Vec::with_capacity(names.len());
        for (name, known) in names.into_iter().zip(known) {
            let stat = match known {
                Some(stat) => Some(stat),
                None => self.stat(&[path, b"/", &name].concat())?,
            };
            out.push((name, stat));
        }
        Ok(Some(out))
    }

    /// The bytes of the regular file that `path` leads to, `None` when it leads to none. A file of
    /// more than `limit` bytes is an error.
    pub fn read(&mut self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(stat) = self.stat(path)? else {
            return Ok(None);
        };
        if stat.kind != StatKind::File {
            return Ok(None);
        }
        if stat.size > limit {
            return Err(ImageError::TooLong {
                path: show(path),
                limit,
            });
        }
        match &mut self.form {
            Form::Squashfs(listings) => listings.read(path, limit).map(Some),
            Form::Directory(root) => {
                let bytes = root.read(path, limit);
                bytes
                    .map(Some)
                    .map_err(|source| ImageError::host(path, source))
            }
            Form::Tree { index, contents } => {
                let found = index
                    .resolve(path, true)
                    .ok()
                    .and_then(nd_rootfs::Found::entry);
                let Some(Kind::File { size, content, at }) = found.map(|entry| &entry.kind) else {
                    return Ok(None);
                };
                let mut wanted = Wanted::default();
                wanted.insert(*at, *size, *content);
                let mut taken = Taken(Vec::new());
                contents.visit(&wanted, &mut taken)?;
                Ok(Some(taken.0))
            }
        }
    }

    /// The whole tree with the digests of all contents: reads every byte of the image.
    ///
    /// # Errors
    ///
    /// When the image is damaged, or `cancel` is heard.
    pub fn index(self, cancel: &Cancel) -> Result<Index, ImageError> {
        match self.form {
            Form::Squashfs(listings) => {
                let reader = Arc::new(listings.into_reader());
                let digests = nd_squashfs::Digests::Read { threads: 0 };
                Ok(reader.tree(digests, cancel)?.0)
            }
            Form::Tree { index, .. } => Ok(index),
            Form::Directory(_) => Err(ImageError::NeedsPath),
        }
    }
}

/// Keeps the one content it is given.
struct Taken(Vec<u8>);

impl ContentSink for Taken {
    fn file(
        &mut self,
        _: Location,
        _: u64,
        _: &Sha256,
        bytes: &mut dyn std::io::Read,
    ) -> std::io::Result<()> {
        bytes.read_to_end(&mut self.0)?;
        Ok(())
    }
}

fn of_node(node: &nd_squashfs::Node) -> Stat {
    let (kind, size) = match node.kind {
        NodeKind::Dir => (StatKind::Directory, 0),
        NodeKind::File { size } => (StatKind::File, size),
        _ => (StatKind::Other, 0),
    };
    Stat {
        kind,
        mode: node.attr.mode,
        size,
    }
}

fn of_host(root: &RootDir, path: &[u8]) -> Result<Option<Stat>, ImageError> {
    let node = match root.node(path, true) {
        Ok(Some(node)) => node,
        Ok(None) => return Ok(None),
        Err(error) if leads_nowhere(&error) => return Ok(None),
        Err(source) => return Err(ImageError::host(path, source)),
    };
    let kind = match node.kind {
        nd_host::NodeKind::Directory => StatKind::Directory,
        nd_host::NodeKind::File => StatKind::File,
        nd_host::NodeKind::Symlink | nd_host::NodeKind::Other => StatKind::Other,
    };
    Ok(Some(Stat {
        kind,
        mode: (node.mode & 0o7777) as u16,
        size: node.size,
    }))
}

fn of_index(index: &Index, path: &[u8]) -> Option<Stat> {
    let found = index.resolve(path, true).ok()?;
    let Some(entry) = found.entry() else {
        return Some(Stat {
            kind: StatKind::Directory,
            mode: 0o755,
            size: 0,
        });
    };
    let (kind, size) = match entry.kind {
        Kind::Dir { .. } => (StatKind::Directory, 0),
        Kind::File { size, .. } => (StatKind::File, size),
        _ => (StatKind::Other, 0),
    };
    Some(Stat {
        kind,
        mode: entry.attr.mode,
        size,
    })
}

/// Whether an error only says that a path leads nowhere: missing, no directory, a loop of links,
/// or a name that is too long.
fn leads_nowhere(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    // Not all of these kinds have a stable name.
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG]
        .into_iter()
        .any(|errno| std::io::Error::from(errno).kind() == error.kind())
}

fn is_not_found(error: &ReadError) -> bool {
    matches!(error, ReadError::NotFound(_))
}

fn read_all(mut input: impl std::io::Read, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut input).take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
