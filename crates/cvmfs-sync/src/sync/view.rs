//! Looking into what is published: a folder, a mounted repository, or the files of one.

use std::{collections::BTreeMap, io, io::Read as _, path::Path};

use nd_cvmfs::{Catalog, ObjectHash, Repository, RowKind, Source};
use nd_host::{NodeKind, RootDir};

/// What stands at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewKind {
    /// A regular file.
    File {
        /// Whether somebody may execute it.
        executable: bool,
    },
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

impl ViewKind {
    /// Whether it is a regular file.
    pub fn is_file(self) -> bool {
        matches!(self, Self::File { .. })
    }
}

/// Why something cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A path of a folder.
    #[error("failed to look at `{path}`")]
    Io {
        /// Which path, relative to the root.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A repository.
    #[error(transparent)]
    Repository(#[from] nd_cvmfs::ReadError),
}

fn io(path: &str) -> impl FnOnce(io::Error) -> ViewError {
    let path = path.to_owned();
    move |source| ViewError::Io { path, source }
}

/// The tree that users see, read-only. Paths are relative to its root, with `/` between parts.
pub trait View {
    /// Names in a directory, sorted; none where there is no directory. Names that are no text are left
    /// out: nothing of ours is called that.
    fn names(&mut self, path: &str) -> Result<Vec<String>, ViewError>;
    /// What stands there; `None` when nothing does.
    fn kind(&mut self, path: &str) -> Result<Option<ViewKind>, ViewError>;
    /// The bytes of a regular file of at most `limit` bytes; `None` when there is none.
    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ViewError>;
}

/// A folder of this machine: a mounted repository, or anything of that shape. Links lead nowhere
/// outside of the folder.
#[derive(Debug)]
pub struct FolderView {
    root: RootDir,
    /// The directory in it that counts as the root, with a final `/` unless empty.
    prefix: String,
}

impl FolderView {
    /// The folder at `path`.
    pub fn open(path: &Path) -> Result<Self, ViewError> {
        Self::below(path, "")
    }

    /// The directory `prefix` of the folder at `path`; its links may lead to all of the folder.
    pub fn below(path: &Path, prefix: &str) -> Result<Self, ViewError> {
        let root = RootDir::open(path).map_err(io(&path.display().to_string()))?;
        let prefix = match prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self { root, prefix })
    }

    fn at(&self, path: &str) -> Vec<u8> {
        [self.prefix.as_bytes(), path.as_bytes()].concat()
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl View for FolderView {
    fn names(&mut self, path: &str) -> Result<Vec<String>, ViewError> {
        match self.root.names(&self.at(path)) {
            Ok(names) => Ok(names
                .into_iter()
                .filter_map(|name| String::from_utf8(name).ok())
                .collect()),
            Err(error) if is_absent(&error) => Ok(Vec::new()),
            Err(error) => Err(io(path)(error)),
        }
    }

    fn kind(&mut self, path: &str) -> Result<Option<ViewKind>, ViewError> {
        let node = self.root.node(&self.at(path), true).map_err(io(path))?;
        Ok(node.map(|node| match node.kind {
            NodeKind::File => ViewKind::File {
                executable: node.mode & 0o111 != 0,
            },
            NodeKind::Directory => ViewKind::Directory,
            _ => ViewKind::Other,
        }))
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        match self.root.read(&self.at(path), limit) {
            Ok(bytes) => Ok(Some(bytes)),
            // The last two: it is something else than a regular file.
            Err(error)
                if is_absent(&error)
                    || matches!(
                        error.kind(),
                        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory
                    ) =>
            {
                Ok(None)
            }
            Err(error) => Err(io(path)(error)),
        }
    }
}

/// Files that are kept once they were read, in bytes.
const SMALL: u64 = 64 << 10;

/// The files of a repository, in a folder or on a server. Each catalogue is read once.
#[derive(Debug)]
pub struct RepositoryView<'s> {
    repository: Repository<'s>,
    catalogs: BTreeMap<Vec<u8>, Catalog>,
    /// Small files by the object that holds them: a module stands in every category of its tool.
    small: BTreeMap<ObjectHash, Vec<u8>>,
}

impl<'s> RepositoryView<'s> {
    /// The current revision of the repository in `source`.
    pub fn open(source: &'s dyn Source) -> Result<Self, ViewError> {
        Ok(Self::of(Repository::open(source)?)?)
    }

    /// A repository that is open.
    pub fn of(repository: Repository<'s>) -> Result<Self, nd_cvmfs::ReadError> {
        let root = repository.root()?;
        Ok(Self {
            repository,
            catalogs: BTreeMap::from([(Vec::new(), root)]),
            small: BTreeMap::new(),
        })
    }

    /// The repository.
    pub fn repository(&self) -> &Repository<'s> {
        &self.repository
    }

    /// The catalogue that has what is in the directory `path`, or its row.
    fn catalog(&mut self, path: &[u8]) -> Result<&Catalog, ViewError> {
        let mut prefix = Vec::new();
        while let Some((mount, nested)) = self.catalogs[&prefix].nested_for(path) {
            let mount = mount.to_vec();
            if !self.catalogs.contains_key(&mount) {
                let catalog = self.repository.catalog(&nested.hash, nested.size, &mount)?;
                self.catalogs.insert(mount.clone(), catalog);
            }
            prefix = mount;
        }
        Ok(&self.catalogs[&prefix])
    }
}

fn absolute(path: &str) -> Vec<u8> {
    match path {
        "" => Vec::new(),
        path => [b"/", path.as_bytes()].concat(),
    }
}

impl View for RepositoryView<'_> {
    fn names(&mut self, path: &str) -> Result<Vec<String>, ViewError> {
        let path = absolute(path);
        let catalog = self.catalog(&path)?;
        let children = catalog.children(&path);
        let mut names: Vec<String> = children
            .filter_map(|(_, row)| String::from_utf8(row.name.clone()).ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn kind(&mut self, path: &str) -> Result<Option<ViewKind>, ViewError> {
        let path = absolute(path);
        let row = self.catalog(&path)?.row(&path);
        Ok(row.map(|row| match row.kind() {
            RowKind::File => ViewKind::File {
                executable: row.mode & 0o111 != 0,
            },
            RowKind::Dir => ViewKind::Directory,
            _ => ViewKind::Other,
        }))
    }

    fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ViewError> {
        let absolute = absolute(path);
        let row = self.catalog(&absolute)?.row(&absolute).cloned();
        let Some(row) = row.filter(|row| row.kind() == RowKind::File) else {
            return Ok(None);
        };
        if row.size > limit {
            let text = format!("it is larger than {limit} bytes");
            return Err(io(path)(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        if let Some(bytes) = row.hash.and_then(|hash| self.small.get(&hash)) {
            return Ok(Some(bytes.clone()));
        }
        let mut bytes = Vec::new();
        let reader = self.repository.read(&row)?;
        reader
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(io(path))?;
        if let Some(hash) = row.hash.filter(|_| row.size <= SMALL) {
            self.small.insert(hash, bytes.clone());
        }
        Ok(Some(bytes))
    }
}
