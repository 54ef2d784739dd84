//! What the host gives to a build: contexts, by name, and digests of what lies in them.

use std::{
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use nd_host::{Clock as _, NodeKind, RootDir, SystemClock};
use nd_names::{Sha256, Sha256Hasher};
use nd_oci::{Ids, Upper, UpperError};
use nd_rootfs::{Entry, Kind, LayerEntry};
use nd_store::Store;

/// Name of the context that `Copy` takes its sources from.
pub const MAIN_CONTEXT: &str = "";

/// Kind of records for digests of large files.
const MEMORY: &str = "input";
/// Smaller files are read again, in bytes.
const LARGE: u64 = 1 << 20;
/// Seconds after which a file counts as written.
const SETTLED: i64 = 2;

/// Tells what a plan depends on besides instructions.
pub trait Inputs {
    /// The digest of what `path` (without a leading `/`; empty for all) of a context is: names,
    /// kinds, executable bits, contents and link targets, no owners and no times.
    fn digest(&self, context: &str, path: &str) -> Result<Sha256, InputError>;
}

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// No context of that name.
    #[error("there is no build context `{name}`")]
    UnknownContext {
        /// The name.
        name: String,
    },
    /// Nothing there.
    #[error("`{path}` does not exist in {}", shown(context))]
    Missing {
        /// The context.
        context: String,
        /// The path.
        path: String,
    },
    /// Neither a file nor a directory.
    #[error("`{path}` in {} is neither a file nor a directory", shown(context))]
    Kind {
        /// The context.
        context: String,
        /// The path.
        path: String,
    },
    /// Steps could not read it.
    #[error(
        "`{path}` in {} is closed to other users, and steps are nobody on this machine",
        shown(context)
    )]
    Closed {
        /// The context.
        context: String,
        /// The path.
        path: String,
    },
    /// It cannot be read.
    #[error("failed to read `{path}` in {}", shown(context))]
    Read {
        /// The context.
        context: String,
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory that is no tree.
    #[error("failed to read the directory `{path}` in {}", shown(context))]
    Tree {
        /// The context.
        context: String,
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: UpperError,
    },
}

fn shown(context: &str) -> String {
    match context {
        MAIN_CONTEXT => "the build context".into(),
        name => format!("the build context `{name}`"),
    }
}

/// Folders of the host by context name. Nothing leads out of a folder: links are followed as if it
/// were the root.
#[derive(Debug, Clone, Default)]
pub struct Contexts {
    folders: IndexMap<String, PathBuf>,
    memory: Option<Store>,
}

/// An input that was found.
pub(crate) enum Found {
    File {
        file: std::fs::File,
        executable: bool,
    },
    Tree(Upper),
}

impl Contexts {
    /// Contexts with `main` as the one of `Copy`.
    pub fn new(main: impl Into<PathBuf>) -> Self {
        Self::default().with(MAIN_CONTEXT, main)
    }

    /// Adds a context.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        self.folders.insert(name.into(), folder.into());
        self
    }

    /// Remembers digests of large files in a store, by what the file system says of them, so that an
    /// installer of gigabytes is not read for every build.
    #[must_use]
    pub fn remembering(mut self, store: &Store) -> Self {
        self.memory = Some(store.clone());
        self
    }

    /// The digest of a file, read or remembered.
    fn content(&self, file: std::fs::File) -> io::Result<Sha256> {
        let meta = file.metadata()?;
        let Some(store) = self.memory.as_ref().filter(|_| meta.len() >= LARGE) else {
            return Sha256::of_rest(file);
        };
        let identity = format!(
            "{} {} {} {} {} {} {}",
            meta.dev(),
            meta.ino(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        let key = Sha256::of(identity);
        let known = store.record(MEMORY, &key).ok().flatten();
        if let Some(known) = known.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
            return Ok(Sha256::from_bytes(known));
        }
        // A file that was just changed may change again without the file system's clock showing it.
        let settled = SystemClock.now().as_second() - meta.ctime() > SETTLED;
        let digest = Sha256::of_rest(file)?;
        if settled {
            // What cannot be remembered is read again.
            let _ = store.put_record(MEMORY, &key, digest.as_bytes());
        }
        Ok(digest)
    }

    /// The folder of a context.
    pub fn folder(&self, name: &str) -> Option<&Path> {
        self.folders.get(name).map(PathBuf::as_path)
    }

    /// Opens what lies at `path`.
    pub(crate) fn open(&self, context: &str, path: &str) -> Result<Found, InputError> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => InputError::Missing {
                context: context.into(),
                path: path.into(),
            },
            _ => InputError::Read {
                context: context.into(),
                path: path.into(),
                source,
            },
        };
        let root = self.root(context, path)?;
        let node = root.node(path.as_bytes(), true).map_err(fail)?;
        match node.map(|node| (node.kind, node.mode)) {
            None => Err(fail(io::ErrorKind::NotFound.into())),
            Some((NodeKind::File, mode)) => Ok(Found::File {
                file: root.file(path.as_bytes()).map_err(fail)?,
                executable: mode & 0o111 != 0,
            }),
            Some((NodeKind::Directory, _)) => {
                let folder = root.directory(path.as_bytes()).map_err(fail)?;
                let name = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd());
                let upper = Upper::read(Path::new(&name), Ids::Root, None);
                upper.map(Found::Tree).map_err(|source| InputError::Tree {
                    context: context.into(),
                    path: path.into(),
                    source,
                })
            }
            Some(_) => Err(InputError::Kind {
                context: context.into(),
                path: path.into(),
            }),
        }
    }

    fn record(&self, all: &mut Sha256Hasher, entry: &Entry, upper: &Upper) -> io::Result<()> {
        match &entry.kind {
            Kind::Dir { .. } => all.update(b"d"),
            Kind::Symlink { target } => {
                all.update(b"l");
                all.update((target.len() as u64).to_le_bytes());
                all.update(target);
            }
            Kind::File { .. } => {
                all.update([if entry.attr.mode & 0o111 == 0 {
                    b'f'
                } else {
                    b'x'
                }]);
                all.update(self.content(upper.open(entry)?)?.as_bytes());
            }
            Kind::Fifo | Kind::Socket | Kind::Device { .. } => all.update(b"?"),
        }
        Ok(())
    }

    /// The folder of a context, open.
    pub(crate) fn root(&self, context: &str, path: &str) -> Result<RootDir, InputError> {
        let folder = self
            .folder(context)
            .ok_or_else(|| InputError::UnknownContext {
                name: context.into(),
            })?;
        RootDir::open(folder).map_err(|source| InputError::Read {
            context: context.into(),
            path: path.into(),
            source,
        })
    }
}

impl Inputs for Contexts {
    fn digest(&self, context: &str, path: &str) -> Result<Sha256, InputError> {
        let read = |path: &str, source| InputError::Read {
            context: context.into(),
            path: path.into(),
            source,
        };
        let mut all = Sha256Hasher::default();
        match self.open(context, path)? {
            Found::File { file, executable } => {
                all.update([if executable { b'x' } else { b'f' }]);
                let content = self.content(file).map_err(|e| read(path, e))?;
                all.update(content.as_bytes());
            }
            Found::Tree(upper) => {
                all.update(b"d");
                for entry in &upper.entries {
                    let LayerEntry::Entry(entry) = entry else {
                        continue;
                    };
                    let name = entry.path.as_bytes();
                    all.update((name.len() as u64).to_le_bytes());
                    all.update(name);
                    self.record(&mut all, entry, &upper)
                        .map_err(|e| read(&format!("{path}/{}", entry.path), e))?;
                }
            }
        }
        Ok(all.finish())
    }
}
