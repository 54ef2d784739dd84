//! Inputs of the host, in the form in which the engine can take them.
//!
//! The engine is not the user who builds: it may not be able to read that user's files. What is
//! copied is therefore packed into a tar out here, and small files that are mounted go as bytes.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::Path,
};

use nd_oci::{Compression, LayerOptions, UNREAD, Upper, write_layer};
use nd_rootfs::{Attr, Entry, Kind, LayerEntry, Location, TreePath};
use nd_store::Store;
use rustix::fs::{Mode, OFlags};

use super::error::BuildError;
use crate::{
    engine::message::MountSource,
    plan::{Contexts, CopyInput, Found, InputError, MAIN_CONTEXT},
};

/// Files up to this size are mounted as bytes.
const SMALL: u64 = 256 * 1024;

/// Packs the context sources of a copy, each under its number, into a temporary file.
///
/// Permissions become those of a checkout with the usual umask, 0755 where the owner may execute
/// and 0644 elsewhere, and every time becomes `epoch`: who builds, and where, leaves no trace.
pub(crate) fn pack(
    sources: &[CopyInput],
    contexts: &Contexts,
    epoch: i64,
    store: &Store,
) -> Result<Result<File, InputError>, BuildError> {
    let mut entries = Vec::new();
    let mut files: HashMap<TreePath, File> = HashMap::new();
    let mut trees: HashMap<String, Upper> = HashMap::new();
    for (number, source) in sources.iter().enumerate() {
        let CopyInput::Context { path, .. } = source else {
            continue;
        };
        let number = number.to_string();
        let at = |path: &[u8]| TreePath::new(path).map_err(nd_oci::TarError::from);
        let root = at(number.as_bytes()).map_err(nd_oci::OciError::from)?;
        let entry = |path: TreePath, mode: u16, kind: Kind| {
            LayerEntry::Entry(Entry {
                path,
                attr: Attr {
                    mtime: epoch,
                    ..Attr::new(mode)
                },
                kind,
                group: None,
            })
        };
        match contexts.open(MAIN_CONTEXT, path) {
            Err(error) => return Ok(Err(error)),
            Ok(Found::File { file, executable }) => {
                let size = file
                    .metadata()
                    .map_err(BuildError::io("read an input"))?
                    .len();
                let kind = Kind::File {
                    size,
                    content: UNREAD,
                    at: Location::Host(0),
                };
                entries.push(entry(root.clone(), mode(executable), kind));
                files.insert(root, file);
            }
            Ok(Found::Tree(upper)) => {
                entries.push(entry(root.clone(), 0o755, Kind::Dir { implicit: false }));
                for found in &upper.entries {
                    let LayerEntry::Entry(found) = found else {
                        continue;
                    };
                    let joined = [number.as_bytes(), b"/", found.path.as_bytes()].concat();
                    let path = at(&joined).map_err(nd_oci::OciError::from)?;
                    let bits = match found.kind {
                        Kind::Dir { .. } => 0o755,
                        _ => mode(found.attr.mode & 0o111 != 0),
                    };
                    if !matches!(found.kind, Kind::Socket | Kind::Device { .. }) {
                        entries.push(entry(path, bits, found.kind.clone()));
                    }
                }
                trees.insert(number, upper);
            }
        }
    }
    let mut out = tempfile::tempfile_in(store.temporary())
        .map_err(BuildError::io("make a temporary file in the store"))?;
    let mut open = |entry: &Entry| -> io::Result<Box<dyn Read>> {
        if let Some(file) = files.remove(&entry.path) {
            return Ok(Box::new(file));
        }
        let path = entry.path.as_bytes();
        let cut = path.iter().position(|&b| b == b'/').unwrap_or(path.len());
        let number = String::from_utf8_lossy(&path[..cut]).into_owned();
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let upper = trees.get(&number).ok_or_else(missing)?;
        let below = TreePath::new(path.get(cut + 1..).unwrap_or_default());
        let below = below.map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let entry = Entry {
            path: below,
            ..entry.clone()
        };
        Ok(Box::new(upper.open(&entry)?))
    };
    let options = LayerOptions {
        compression: Compression::None,
        clamp: None,
    };
    let mut buffered = io::BufWriter::with_capacity(1 << 20, &mut out);
    write_layer(&entries, &mut open, options, &mut buffered)?;
    buffered
        .flush()
        .map_err(BuildError::io("write a temporary file in the store"))?;
    drop(buffered);
    out.seek(SeekFrom::Start(0))
        .map_err(BuildError::io("write a temporary file in the store"))?;
    Ok(Ok(out))
}

fn mode(executable: bool) -> u16 {
    if executable { 0o755 } else { 0o644 }
}

/// Mounts with their descriptors, which follow `first`.
pub(crate) struct Mounts {
    pub(crate) first: usize,
    /// Whether the engine is somebody else outside.
    pub(crate) foreign: bool,
    pub(crate) descriptors: Vec<OwnedFd>,
    pub(crate) list: Vec<(MountSource, String)>,
}

impl Mounts {
    pub(crate) fn new(first: usize, foreign: bool) -> Self {
        Self {
            first,
            foreign,
            descriptors: Vec::new(),
            list: Vec::new(),
        }
    }

    /// Adds an input of a context. A directory, or a file that is not small, is mounted itself; the
    /// engine then sees of it what everybody may read.
    pub(crate) fn context(
        &mut self,
        contexts: &Contexts,
        context: &str,
        path: &str,
        target: &str,
    ) -> Result<(), InputError> {
        let read = |source| InputError::Read {
            context: context.into(),
            path: path.into(),
            source,
        };
        let root = contexts.root(context, path)?;
        match root.directory(path.as_bytes()) {
            Ok(dir) => {
                let fd = dir.as_fd().try_clone_to_owned().map_err(read)?;
                let stat = rustix::fs::fstat(&fd).map_err(|e| read(e.into()))?;
                if self.foreign && stat.st_mode & 0o005 != 0o005 {
                    return Err(InputError::Closed {
                        context: context.into(),
                        path: path.into(),
                    });
                }
                self.descriptor(fd, target);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let file = root.file(path.as_bytes()).map_err(read)?;
                self.file(file, target).map_err(read)
            }
            Err(error) => Err(read(error)),
        }
    }

    /// Adds a file or directory of the machine.
    pub(crate) fn host(&mut self, path: &Path, target: &str) -> io::Result<()> {
        let file: File = fs_err::File::open(path)?.into();
        if file.metadata()?.is_dir() {
            self.descriptor(file.into(), target);
            Ok(())
        } else {
            self.file(file, target)
        }
    }

    /// Adds a directory that scripts may write to.
    pub(crate) fn shared(&mut self, fd: OwnedFd, target: &str) {
        let at = self.first + self.descriptors.len();
        self.descriptors.push(fd);
        self.list.push((MountSource::Shared(at), target.to_owned()));
    }

    fn file(&mut self, mut file: File, target: &str) -> io::Result<()> {
        let meta = file.metadata()?;
        // What is executed must lie on a mount that allows it, which bytes in memory do not.
        if meta.len() <= SMALL && meta.permissions().mode() & 0o111 == 0 {
            let mut content = Vec::new();
            (&mut file).take(SMALL + 1).read_to_end(&mut content)?;
            self.list.push((MountSource::Bytes(content), target.into()));
            return Ok(());
        }
        // Only what is open as a path becomes part of the engine's mounts.
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        let fd = rustix::fs::open(name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        self.descriptor(fd, target);
        Ok(())
    }

    fn descriptor(&mut self, fd: OwnedFd, target: &str) {
        let at = self.first + self.descriptors.len();
        self.descriptors.push(fd);
        let source = MountSource::Descriptor(at);
        self.list.push((source, target.into()));
    }
}
