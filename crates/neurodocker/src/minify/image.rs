//! The image as it is given: opened, read once, never changed.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_builder::{ImageLayer, ImageState, import_base, layer_trees};
use nd_fetch::registry::parse_reference;
use nd_names::{Sha256, Sha256Hasher};
use nd_oci::{
    BlobSource, Compression, Image, ImageTree, LayerOptions, Layout, Limits, write_layer,
};
use nd_report::Cancel;
use nd_rootfs::{Attr, Contents, Index, Kind, LayerEntry};
use nd_runtime::IdMode;
use nd_sif::{Descriptor, Sif};
use nd_squashfs::{Compressor, Digests, FileRange, Reader};
use nd_store::Store;

use super::{error::MinifyError, pull::Registry, spool::Spool};

/// First bytes of a SIF file after its launch line.
const SIF_MAGIC: &[u8] = b"SIF_MAGIC";

/// An image whose layers are in the store.
pub(super) struct Source {
    /// Its tree.
    pub(super) index: Index,
    /// Its bytes.
    pub(super) contents: Box<dyn Contents>,
    /// Its layers, the lowest first.
    pub(super) layers: Vec<ImageLayer>,
    /// What its configuration says.
    pub(super) state: ImageState,
    /// What it came as.
    pub(super) origin: Origin,
    /// What was odd about it.
    pub(super) notes: Vec<String>,
}

/// What an image came as, with what its packaging says besides the tree.
pub(super) enum Origin {
    Oci(Box<Image>),
    Sif(Box<SifOrigin>),
}

/// A SIF file.
pub(super) struct SifOrigin {
    pub(super) sif: Sif,
    pub(super) partition: Descriptor,
    pub(super) compressor: Compressor,
    pub(super) root: Attr,
}

impl Source {
    /// `registry` is asked when `image` is the name of one there.
    pub(super) fn open(
        image: &str,
        registry: &dyn Registry,
        store: &Store,
        ids: IdMode,
        cancel: &Cancel,
    ) -> Result<Self, MinifyError> {
        let (kind, path, reference) = match name(image)? {
            Name::File(kind, path, reference) => (kind, path, reference),
            Name::Remote(reference) => {
                let image = registry.pull(&reference, store, cancel)?;
                return Self::of_image(image, store, store, ids, cancel);
            }
        };
        let elsewhere = || MinifyError::UnknownFormat {
            image: image.to_owned(),
        };
        let meta = fs_err::metadata(&path).map_err(|error| missing(image, &path, error))?;
        if meta.is_dir() {
            if !path.join("oci-layout").is_file() {
                return Err(elsewhere());
            }
            let layout = Layout::open(&path)?;
            return Self::of_layout(&layout, reference.as_deref(), store, ids, cancel);
        }
        let mut file: File = fs_err::File::open(&path)
            .map_err(MinifyError::io(&path))?
            .into();
        let mut head = Vec::new();
        io::Read::by_ref(&mut file)
            .take(64)
            .read_to_end(&mut head)
            .map_err(MinifyError::io(&path))?;
        if kind != Kinds::Archive && head.get(32..).is_some_and(|at| at.starts_with(SIF_MAGIC)) {
            let file = fs_err::File::open(&path).map_err(MinifyError::io(&path))?;
            return Self::of_sif(&path, file.into(), store, cancel);
        }
        if kind == Kinds::Sif {
            return Err(elsewhere());
        }
        // Blobs of an archive are verified on the way into a layout of our own, which goes afterwards.
        let folder =
            tempfile::tempdir_in(store.temporary()).map_err(MinifyError::io(store.temporary()))?;
        let open = || fs_err::File::open(&path).map_err(MinifyError::io(&path));
        let layout = match Layout::unpack_archive(open()?, folder.path().join("oci")) {
            Ok(layout) => layout,
            Err(error) => Layout::unpack_docker_archive(open()?, folder.path().join("docker"))
                .map_err(|second| match second {
                    nd_oci::OciError::NoDockerArchive => MinifyError::Oci(error),
                    other => MinifyError::Oci(other),
                })?,
        };
        Self::of_layout(&layout, reference.as_deref(), store, ids, cancel)
    }

    fn of_layout(
        layout: &Layout,
        reference: Option<&str>,
        store: &Store,
        ids: IdMode,
        cancel: &Cancel,
    ) -> Result<Self, MinifyError> {
        Self::of_image(layout.image(reference)?, layout, store, ids, cancel)
    }

    fn of_image(
        image: Image,
        blobs: &dyn BlobSource,
        store: &Store,
        ids: IdMode,
        cancel: &Cancel,
    ) -> Result<Self, MinifyError> {
        let base = import_base(store, blobs, &image)?;
        // Unpacking makes the indexes as well, which would cost another pass over the layers.
        layer_trees(store, &base.layers, ids, cancel, &mut |_| {})?;
        let blobs = Arc::new(store.clone());
        let tree = ImageTree::open(&image, blobs, Some(store), Limits::default())?;
        Ok(Self {
            index: tree.index,
            contents: Box::new(tree.contents),
            layers: base.layers,
            state: base.state,
            origin: Origin::Oci(Box::new(image)),
            notes: tree.notes,
        })
    }

    /// The tree of a SIF becomes a layer of the store, which can be unpacked as layers are.
    fn of_sif(
        path: &Path,
        file: File,
        store: &Store,
        cancel: &Cancel,
    ) -> Result<Self, MinifyError> {
        let sif = Sif::open(file)?;
        let absent = || MinifyError::NoPartition { path: path.into() };
        let partition = sif.primary_partition().ok_or_else(absent)?.clone();
        let copy = sif.file().try_clone().map_err(MinifyError::io(path))?;
        let range = FileRange::new(copy, partition.offset, partition.size);
        let limits = nd_squashfs::Limits::default();
        let reader = match Reader::open(range, limits) {
            Err(nd_squashfs::ReadError::NotSquashfs) => return Err(absent()),
            other => Arc::new(other?),
        };
        let compressor = reader.compressor();
        let root = reader.node(b"")?.attr;
        let (index, mut contents) = reader.tree(Digests::Read { threads: 0 }, cancel)?;
        let spool = Spool::fill(&index, &mut contents, store.temporary(), cancel)?;
        let entries: Vec<_> = index
            .iter()
            .filter(|entry| !matches!(entry.kind, Kind::Socket))
            .cloned()
            .map(LayerEntry::Entry)
            .collect();
        let layer = put_layer(store, &entries, &mut |entry| spool.open(entry))?;
        Ok(Self {
            index,
            contents: Box::new(contents),
            layers: vec![layer],
            state: ImageState::default(),
            origin: Origin::Sif(Box::new(SifOrigin {
                sif,
                partition,
                compressor,
                root,
            })),
            notes: Vec::new(),
        })
    }
}

/// Writes a layer into the store, uncompressed: it is unpacked at once.
pub(super) fn put_layer(
    store: &Store,
    entries: &[LayerEntry],
    source: &mut dyn FnMut(&nd_rootfs::Entry) -> io::Result<Box<dyn io::Read>>,
) -> Result<ImageLayer, MinifyError> {
    let options = LayerOptions {
        compression: Compression::None,
        clamp: None,
    };
    let mut blob = store.new_blob()?;
    let written = write_layer(entries, source, options, &mut blob)?;
    let (digest, size) = blob.finish()?;
    store.put_layer(&digest, &written.diff_id, &written.index)?;
    Ok(ImageLayer {
        diff_id: written.diff_id,
        digest,
        size,
        compression: options.compression,
    })
}

/// What the prefix of a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Any,
    Archive,
    Sif,
}

/// Where a name says that an image is.
enum Name {
    /// What its prefix says, its path, and the name inside a layout.
    File(Kinds, PathBuf, Option<String>),
    /// A reference that a registry knows.
    Remote(String),
}

/// Parts a name of an image.
fn name(image: &str) -> Result<Name, MinifyError> {
    if let Some(reference) = image.strip_prefix("docker://") {
        return Ok(Name::Remote(reference.to_owned()));
    }
    let elsewhere = [
        "oras://",
        "library://",
        "shub://",
        "http://",
        "https://",
        "docker-daemon:",
        "containers-storage:",
    ];
    if elsewhere.iter().any(|prefix| image.starts_with(prefix)) {
        return Err(MinifyError::Elsewhere {
            image: image.to_owned(),
        });
    }
    if let Some(path) = image.strip_prefix("sif:") {
        return Ok(Name::File(Kinds::Sif, path.into(), None));
    }
    let prefixed = ["oci:", "oci-archive:", "docker-archive:"]
        .iter()
        .find_map(|prefix| Some((*prefix, image.strip_prefix(prefix)?)));
    let Some((prefix, rest)) = prefixed else {
        // A folder with a name of an image behind it, or a file that is called so.
        let plain = PathBuf::from(image);
        return Ok(match image.rsplit_once(':') {
            _ if plain.exists() => Name::File(Kinds::Any, plain, None),
            Some((path, reference)) if Path::new(path).is_dir() => {
                Name::File(Kinds::Any, path.into(), Some(reference.to_owned()))
            }
            _ if is_reference(image) => Name::Remote(image.to_owned()),
            _ => Name::File(Kinds::Any, plain, None),
        });
    };
    let kind = if prefix == "oci:" {
        Kinds::Any
    } else {
        Kinds::Archive
    };
    Ok(match rest.rsplit_once(':') {
        Some((path, reference)) if !Path::new(rest).exists() => {
            Name::File(kind, path.into(), Some(reference.to_owned()))
        }
        _ => Name::File(kind, rest.into(), None),
    })
}

/// What a name may have meant that is no file.
fn missing(image: &str, path: &Path, error: io::Error) -> MinifyError {
    if error.kind() != io::ErrorKind::NotFound {
        return MinifyError::io(path)(error);
    }
    let image = image.to_owned();
    if parse_reference(&image).is_ok() && !image.starts_with('.') && !is_file_name(&image) {
        return MinifyError::PerhapsInRegistry { image };
    }
    MinifyError::NoImage { image }
}

/// Endings of files that images are kept in.
const ENDINGS: &[&str] = &[".sif", ".simg", ".tar", ".img", ".gz"];

fn is_file_name(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a name can only be one of a registry, such as `debian:12` or `ghcr.io/owner/name`; a
/// mistyped path must not lead to anybody being asked.
fn is_reference(name: &str) -> bool {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    let host = first.contains('.') && !first.starts_with('.');
    let host = host || first.contains(':') || first == "localhost";
    let version = rest.contains([':', '@']);
    (host || version) && !is_file_name(name) && parse_reference(name).is_ok()
}

/// Digest of what an output is made from, so that equal inputs give equal files.
pub(super) fn digest_of(parts: &[&[u8]]) -> Sha256 {
    let mut hasher = Sha256Hasher::default();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finish()
}
