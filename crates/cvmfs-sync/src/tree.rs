//! What is published: a folder, a tar, a SIF file or an OCI layout as one tree, never unpacked.

use std::{
    fs::File,
    io::{self, Read, Seek as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_oci::{
    BlobSource, Compression, ImageTree, LayerBlob, LayerContents, Layout, Limits, OciError,
    index_layer, index_layer_with, read_directory,
};
use nd_report::Cancel;
use nd_rootfs::{
    Attr, ContentSink, Contents, ContentsError, Duplicates, Entry, Index, Kind, Location,
    MemoryContents, TreePath, TreeRecord, Wanted, merge,
};
use nd_sif::{Sif, SifError};
use nd_squashfs::{Digests, FileRange, Reader};

use crate::publisher::TreeContents;

/// A tree to be published, with its bytes.
pub struct SourceTree {
    /// What is in it.
    pub index: Index,
    /// The bytes.
    pub contents: Box<dyn Contents>,
    /// What was odd about it.
    pub notes: Vec<String>,
    /// What came on standard input; gone afterwards.
    folder: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for SourceTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceTree")
            .field("entries", &self.index.len())
            .finish_non_exhaustive()
    }
}

/// Why something is no tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A file could not be read.
    #[error("failed to read `{}`", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder could not be read.
    #[error(transparent)]
    Directory(#[from] nd_oci::DirectoryError),
    /// An image or archive could not be read.
    #[error(transparent)]
    Oci(#[from] OciError),
    /// Layers do not fit together.
    #[error(transparent)]
    Merge(#[from] nd_rootfs::MergeError),
    /// A SIF file could not be read.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// A SIF file without a file system.
    #[error("`{}` holds no squashfs", .0.display())]
    NoPartition(PathBuf),
    /// A squashfs could not be read.
    #[error(transparent)]
    Squashfs(#[from] nd_squashfs::ReadError),
}

/// The digests of a tree, beside it.
pub(crate) const RECORD: &str = "tree.json";
/// The list of its entries.
pub(crate) const RECORD_LIST: &str = "tree.mtree.zst";

/// Where the magic of a SIF is.
const SIF_MAGIC: &[u8] = b"SIF_MAGIC";

impl SourceTree {
    /// Opens what is at `path`: an OCI layout or any other folder, a SIF file, a squashfs, or a tar,
    /// compressed or not. Standard input (`-`) is copied to a file below `temporary` first.
    pub fn open(path: &Path, temporary: &Path, cancel: &Cancel) -> Result<Self, TreeError> {
        let io = |source| TreeError::Io {
            path: path.to_owned(),
            source,
        };
        if path.join("oci-layout").is_file() {
            return Self::of_layout(Layout::open(path)?, None);
        }
        if path.is_dir() {
            let (index, contents) = read_directory(path)?;
            return Ok(Self::new(index, Box::new(contents)));
        }
        if path == Path::new("-") {
            return Self::spooled(io::stdin(), temporary, cancel);
        }
        let mut file: File = fs_err::File::open(path).map_err(io)?.into();
        let head = head(&mut file).map_err(io)?;
        file.rewind().map_err(io)?;
        if is_sif(&head) {
            return Self::of_sif(path, file, cancel);
        }
        if is_squashfs(&head) {
            let range = FileRange::whole(file).map_err(io)?;
            return Self::of_squashfs(range, cancel);
        }
        drop(file);
        Self::of_tar(path.to_owned(), &head)
    }

    /// The same for what comes once and has to be read in any order.
    fn spooled(mut input: impl Read, temporary: &Path, cancel: &Cancel) -> Result<Self, TreeError> {
        let own = tempfile::tempdir_in(temporary).map_err(standard_input)?;
        let path = own.path().join("standard-input");
        let mut file = fs_err::File::create(&path).map_err(standard_input)?;
        io::copy(&mut input, &mut file).map_err(standard_input)?;
        let mut tree = Self::open(&path, temporary, cancel)?;
        tree.folder = Some(own);
        Ok(tree)
    }

    /// The tree and its bytes, for as long as what they are read from stays.
    pub(crate) fn into_contents(self) -> TreeContents {
        let Self {
            index,
            contents,
            folder,
            ..
        } = self;
        TreeContents {
            index,
            contents: match folder {
                None => contents,
                Some(folder) => Box::new(Kept {
                    contents,
                    _folder: folder,
                }),
            },
        }
    }

    fn new(index: Index, contents: Box<dyn Contents>) -> Self {
        Self {
            index,
            contents,
            notes: Vec::new(),
            folder: None,
        }
    }

    fn of_layout(layout: Layout, folder: Option<tempfile::TempDir>) -> Result<Self, TreeError> {
        let image = layout.image(None)?;
        let tree = ImageTree::open(&image, Arc::new(layout), None, Limits::default())?;
        Ok(Self {
            index: tree.index,
            contents: Box::new(tree.contents),
            notes: tree.notes,
            folder,
        })
    }

    fn of_sif(path: &Path, file: File, cancel: &Cancel) -> Result<Self, TreeError> {
        let sif = Sif::open(file)?;
        let none = || TreeError::NoPartition(path.to_owned());
        let partition = sif.primary_partition().ok_or_else(none)?.clone();
        let range = FileRange::new(sif.into_file(), partition.offset, partition.size);
        Self::of_squashfs(range, cancel)
    }

    fn of_squashfs(range: FileRange, cancel: &Cancel) -> Result<Self, TreeError> {
        let reader = Arc::new(Reader::open(range, nd_squashfs::Limits::default())?);
        let (index, contents) = reader.tree(Digests::Read { threads: 0 }, cancel)?;
        Ok(Self::new(index, Box::new(contents)))
    }

    fn of_tar(path: PathBuf, head: &[u8]) -> Result<Self, TreeError> {
        let compression = compression(head);
        let blob = TarFile(path);
        let open = || blob.open(&nd_squashfs::UNREAD);
        let layer = index_layer(open()?, compression, Limits::default())?;
        let merged = merge(&[&layer.index], Duplicates::LastWins)?;
        let layers = vec![LayerBlob {
            digest: layer.digest,
            compression,
        }];
        Ok(Self {
            index: merged.index,
            contents: Box::new(LayerContents::new(
                Arc::new(blob),
                layers,
                Limits::default(),
            )),
            notes: merged.notes,
            folder: None,
        })
    }
}

/// What comes first of a file.
fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.take(64).read_to_end(&mut head)?;
    Ok(head)
}

fn is_sif(head: &[u8]) -> bool {
    head.get(32..).is_some_and(|at| at.starts_with(SIF_MAGIC))
}

fn is_squashfs(head: &[u8]) -> bool {
    head.starts_with(b"hsqs")
}

fn compression(head: &[u8]) -> Compression {
    match head {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

fn standard_input(source: io::Error) -> TreeError {
    TreeError::Io {
        path: "standard input".into(),
        source,
    }
}

/// What is published: a tree whose bytes can be read when they are wanted, or a tar that passes once.
pub(crate) enum Input {
    Tree(SourceTree),
    Stream(TarStream),
}

impl Input {
    /// Opens what is at `path`; `-` is standard input, of which a tar is not kept.
    pub(crate) fn open(path: &Path, temporary: &Path, cancel: &Cancel) -> Result<Self, TreeError> {
        if path != Path::new("-") {
            return SourceTree::open(path, temporary, cancel).map(Self::Tree);
        }
        let mut input = io::stdin();
        let head = head(&mut input).map_err(standard_input)?;
        let compression = compression(&head);
        let in_any_order = is_sif(&head) || is_squashfs(&head);
        let input = io::Cursor::new(head).chain(input);
        if in_any_order {
            return SourceTree::spooled(input, temporary, cancel).map(Self::Tree);
        }
        Ok(Self::Stream(TarStream {
            input: Box::new(input),
            compression,
        }))
    }
}

/// A tar that passes once.
pub(crate) struct TarStream {
    input: Box<dyn Read + Send>,
    compression: Compression,
}

impl TarStream {
    /// Hands every content to `each`, and gives the tree, whose bytes are gone then.
    pub(crate) fn read(
        self,
        each: &mut dyn FnMut(&mut dyn Read) -> io::Result<nd_names::Sha256>,
    ) -> Result<SourceTree, TreeError> {
        let mut each = |bytes: &mut dyn Read| each(bytes).map(|_| ());
        let (input, limits) = (self.input, Limits::default());
        let layer = index_layer_with(input, self.compression, limits, &mut each)?;
        let merged = merge(&[&layer.index], Duplicates::LastWins)?;
        let mut tree = SourceTree::new(merged.index, Box::new(MemoryContents(Vec::new())));
        tree.notes = merged.notes;
        Ok(tree)
    }
}

/// Contents with the folder that they are read from.
struct Kept {
    contents: Box<dyn Contents>,
    _folder: tempfile::TempDir,
}

impl Contents for Kept {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        self.contents.visit(wanted, sink)
    }
}

/// One file as the only blob there is.
struct TarFile(PathBuf);

impl BlobSource for TarFile {
    fn open(&self, _: &nd_names::Sha256) -> Result<File, OciError> {
        let opened = fs_err::File::open(&self.0);
        let file = opened.map_err(|source| OciError::Io {
            path: self.0.clone(),
            source,
        })?;
        Ok(file.into())
    }
}

/// The record of a tree as two small files with their bytes: `tree.json` and `tree.mtree.zst`.
pub(crate) fn record(index: &Index) -> Result<Vec<(Entry, Vec<u8>)>, TreeError> {
    let (record, list) = TreeRecord::of(index);
    let json = serde_json::json!({
        "version": 1,
        "tree": record.digests.tree.to_string(),
        "tree_full": record.digests.full.to_string(),
        "tree_rest": record.digests.rest.to_string(),
        "entries": record.entries,
        "bytes": record.bytes,
        "list": record.list.oci(),
    });
    let io = |source| TreeError::Io {
        path: RECORD_LIST.into(),
        source,
    };
    let list = zstd::encode_all(&list[..], 19).map_err(io)?;
    let mut json = json.to_string().into_bytes();
    json.push(b'\n');
    entries(vec![(RECORD, json), (RECORD_LIST, list)])
}

/// Small files with their names as entries.
fn entries(files: Vec<(&str, Vec<u8>)>) -> Result<Vec<(Entry, Vec<u8>)>, TreeError> {
    let entries = files.into_iter().zip(0..).map(|((name, bytes), number)| {
        let entry = Entry {
            path: TreePath::new(name).map_err(|_| invalid(name))?,
            attr: Attr::new(0o644),
            kind: Kind::File {
                size: bytes.len() as u64,
                content: nd_names::Sha256::of(&bytes),
                at: Location::Host(number),
            },
            group: None,
        };
        Ok((entry, bytes))
    });
    entries.collect()
}

fn invalid(name: &str) -> TreeError {
    TreeError::Io {
        path: name.into(),
        source: io::ErrorKind::InvalidInput.into(),
    }
}

/// Small files as a tree.
pub(crate) fn files_tree(files: Vec<(&str, Vec<u8>)>) -> Result<SourceTree, TreeError> {
    of_entries(entries(files)?)
}

/// The record of a tree as a tree.
pub(crate) fn record_tree(index: &Index) -> Result<SourceTree, TreeError> {
    of_entries(record(index)?)
}

fn of_entries(entries: Vec<(Entry, Vec<u8>)>) -> Result<SourceTree, TreeError> {
    let (entries, bytes) = entries.into_iter().unzip();
    let index = Index::from_entries(entries).map_err(|_| invalid(RECORD))?;
    Ok(SourceTree::new(index, Box::new(MemoryContents(bytes))))
}
