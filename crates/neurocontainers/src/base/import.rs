//! Base images from disk: an OCI layout, a plain folder, an archive of OCI's or Docker's kind, a SIF.

use std::{io::Read as _, os::unix::fs::MetadataExt as _, path::Path, sync::Arc};

use nd_host::Programs;
use nd_names::{Architecture, Sha256};
use nd_oci::{BlobSource as _, Image, ImageTree, Layout, Limits};
use nd_store::Store;

use super::{Base, BaseArchives, BaseError, BaseKind, BaseOrigin, archive, facts::Facts, sif};

/// Kind of the records that remember which image an archive holds.
const ARCHIVES: &str = "base-archive";

/// Takes the image at `path` into the store, where it is verified layer by layer. Without an
/// `architecture` it may be of any; of an index, the machine's is taken.
pub fn import(
    path: &Path,
    reference: &str,
    architecture: impl Into<Option<Architecture>>,
    store: &Store,
) -> Result<Base, BaseError> {
    let meta = fs_err::metadata(path).map_err(BaseError::io(path))?;
    let architecture: Option<Architecture> = architecture.into();
    let (image, kind, cached) = if meta.is_dir() && Layout::is_plain_folder(path) {
        let (image, cached) = folder_image(path, store)?;
        (image, BaseKind::Folder, cached)
    } else if meta.is_dir() {
        let layout = Layout::open(path)?;
        let image = only_image(&layout, path, architecture)?;
        let cached = take(&layout, &image, store)?;
        (image, BaseKind::Layout, cached)
    } else if is_sif(path)? {
        let (image, cached) = remembered(path, &meta, store, || sif::image(path, store))?;
        (image, BaseKind::Sif, cached)
    } else {
        let (image, cached) = remembered(path, &meta, store, || archive_image(path, store))?;
        (image, BaseKind::Archive, cached)
    };
    let found = image.config.architecture().to_string();
    if let Some(architecture) = architecture
        && found != architecture.oci()
    {
        return Err(BaseError::Architecture {
            path: path.into(),
            found,
            wanted: architecture.oci(),
        });
    }
    Ok(described(image, reference, kind, cached))
}

/// An image that came from somewhere else.
pub(super) fn described(image: Image, reference: &str, kind: BaseKind, cached: bool) -> Base {
    Base {
        origin: BaseOrigin {
            name: reference.into(),
            digest: image.digest.oci(),
            how: kind,
        },
        image,
        cached,
        made_from: None,
    }
}

/// The archives that the files of an image in the store tell of.
pub(super) fn archives_of(
    image: &Image,
    store: &Store,
    programs: &dyn Programs,
) -> Result<BaseArchives, BaseError> {
    let facts = Facts::of(store, image)?;
    // Without the tool nobody knows the public archives; the image's own lists stay as they are.
    let public = match &facts.suite {
        Some(suite) if !facts.lists.is_empty() => {
            archive::default_sources(programs, suite).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    Ok(BaseArchives {
        public,
        lists: facts.lists,
    })
}

fn only_image(
    layout: &Layout,
    path: &Path,
    architecture: Option<Architecture>,
) -> Result<Image, BaseError> {
    match &layout.images()?[..] {
        [_] => Ok(match architecture {
            Some(architecture) => layout.image_for(architecture)?,
            None => layout.image(None)?,
        }),
        [] => Err(BaseError::NoImage {
            path: path.into(),
            problem: "the layout is empty",
        }),
        _ => Err(BaseError::NoImage {
            path: path.into(),
            problem: "the layout holds several images",
        }),
    }
}

/// Copies what the store lacks. Says whether it lacked nothing.
fn take(layout: &Layout, image: &Image, store: &Store) -> Result<bool, BaseError> {
    let documents = [image.digest, image.config_digest];
    let layers = image.layers.iter().map(|layer| layer.digest);
    let mut lacking = false;
    for digest in documents.into_iter().chain(layers) {
        if store.blob(&digest)?.is_none() {
            lacking = true;
            store.put_blob(layout.open(&digest)?, Some(&digest))?;
        }
    }
    // Checks diff ids and makes the indexes that are missing.
    ImageTree::open(
        image,
        Arc::new(store.clone()),
        Some(store),
        Limits::default(),
    )?;
    Ok(!lacking)
}

/// Whether a file begins as a SIF does.
fn is_sif(path: &Path) -> Result<bool, BaseError> {
    let mut start = [0; 64];
    let mut file = fs_err::File::open(path).map_err(BaseError::io(path))?;
    let read = file.read(&mut start).map_err(BaseError::io(path))?;
    Ok(start[..read].windows(8).any(|bytes| bytes == b"SIF_MAGI"))
}

/// A file that has not changed since it was last taken is not read again.
fn remembered(
    path: &Path,
    meta: &std::fs::Metadata,
    store: &Store,
    take: impl FnOnce() -> Result<Image, BaseError>,
) -> Result<(Image, bool), BaseError> {
    let identity = format!(
        "{} {} {} {} {}",
        path.display(),
        meta.dev(),
        meta.ino(),
        meta.len(),
        i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
    );
    let key = Sha256::of(identity);
    if let Some(known) = store.record(ARCHIVES, &key)?
        && let Some(digest) = String::from_utf8(known)
            .ok()
            .and_then(|hex| hex.parse().ok())
        && let Ok(image) = Image::load(store, digest)
        && image
            .layers
            .iter()
            .all(|layer| store.blob_path(&layer.digest).is_file())
    {
        return Ok((image, true));
    }
    let image = take()?;
    store.put_record(ARCHIVES, &key, image.digest.hex().as_bytes())?;
    Ok((image, false))
}

fn archive_image(path: &Path, store: &Store) -> Result<Image, BaseError> {
    let temporary = store.temporary();
    let folder = tempfile::tempdir_in(temporary).map_err(BaseError::io(temporary))?;
    let file = fs_err::File::open(path).map_err(BaseError::io(path))?;
    let layout = Layout::unpack_any_archive(file, folder.path().join("layout"))?;
    let image = only_image(&layout, path, None)?;
    take(&layout, &image, store)?;
    Ok(image)
}

fn folder_image(path: &Path, store: &Store) -> Result<(Image, bool), BaseError> {
    let temporary = store.temporary();
    let folder = tempfile::tempdir_in(temporary).map_err(BaseError::io(temporary))?;
    let layout = Layout::take_folder(path, folder.path().join("layout"))?;
    let image = only_image(&layout, path, None)?;
    let cached = take(&layout, &image, store)?;
    Ok((image, cached))
}
