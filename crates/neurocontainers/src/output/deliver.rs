//! Delivering an image that exists to further places.

use std::{
    io::{self, BufWriter, Write as _},
    path::Path,
    sync::Arc,
};

use nd_fetch::registry::{Artifact, RegistryError, RegistryOptions, parse_reference};
use nd_host::{AtomicFile, AtomicFolder, make_executable, make_room};
use nd_names::Sha256;
use nd_oci::{BlobSource, Image, Layout, PlatformIndex};
use nd_store::Store;

use super::{ImagePlace, OutputError};
use crate::{downloads::with_registries, pipeline::Workshop};

/// What a SIF is as an artifact of a registry.
pub const SIF_ARTIFACT: &str = "application/vnd.sylabs.sif.layer.v1.sif";

/// An image to deliver.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// Its blobs.
    pub blobs: &'a dyn BlobSource,
    /// The image.
    pub image: &'a Image,
    /// What it is called where places name images, `NAME:TAG`.
    pub name: &'a str,
    /// Its SIF with the digest of that; attached to the image in a registry, and copied.
    pub sif: Option<(&'a Path, Sha256)>,
}

impl std::fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An image that was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Bytes of the file, or of the image's layers.
    pub bytes: u64,
    /// Digest of the file for archives and SIF files, of the manifest elsewhere.
    pub digest: Sha256,
}

/// The image in OCI's media types: itself, or with a manifest that is added to the store.
pub fn in_oci_types(store: &Store, image: Image) -> Result<Image, OutputError> {
    match image.oci_manifest()? {
        None => Ok(image),
        Some(manifest) => {
            let (digest, _) = store.put_blob(&manifest[..], None)?;
            Ok(Image::load(store, digest)?)
        }
    }
}

/// Writes the image to `place`, of which paths are absolute, in place of an image of the same kind.
///
/// Files and folders get their names when they are complete. A place that holds something else than
/// an image is left alone.
pub fn deliver(
    workshop: &Workshop<'_>,
    place: &ImagePlace,
    delivery: &Delivery<'_>,
) -> Result<Delivered, OutputError> {
    let Delivery {
        blobs, image, name, ..
    } = *delivery;
    let tag = name.split_once(':').map_or("latest", |(_, tag)| tag);
    match place {
        ImagePlace::OciArchive(path) => file(path, |out| {
            image.write_oci_archive(blobs, Some(tag), out).map(drop)
        }),
        ImagePlace::DockerArchive(path) => {
            let tags = [name.to_owned()];
            file(path, |out| {
                image.write_docker_archive(blobs, &tags, out).map(drop)
            })
        }
        ImagePlace::Sif(path) => {
            let (sif, _) = delivery.sif.ok_or(OutputError::NoSif)?;
            let delivered = file(path, |out| {
                let fail = || OutputError::io(sif);
                let mut from = fs_err::File::open(sif).map_err(fail())?;
                io::copy(&mut from, out).map_err(fail()).map(drop)
            })?;
            fs_err::File::open(path)
                .and_then(|written| make_executable(written.file()))
                .map_err(OutputError::io(path))?;
            Ok(delivered)
        }
        ImagePlace::Oci(path) => {
            let is_ours = |path: &Path| path.join("oci-layout").is_file();
            folder(path, &is_ours, |new| {
                let layout = Layout::create(new)?;
                layout.take_image(blobs, image, Some(tag))?;
                Ok(())
            })?;
            of_image(blobs, image)
        }
        ImagePlace::Folder(path) => {
            folder(path, &Layout::is_plain_folder, |new| {
                Ok(image.write_folder(blobs, new)?)
            })?;
            of_image(blobs, image)
        }
        ImagePlace::Registry(to) => {
            push(workshop, to, delivery)?;
            of_image(blobs, image)
        }
    }
}

/// Writes `images`, each for a platform of its own, as one to a layout or a registry, and gives the
/// digest of their index.
pub fn deliver_together(
    workshop: &Workshop<'_>,
    place: &ImagePlace,
    images: &[Image],
) -> Result<Sha256, OutputError> {
    let blobs = workshop.store;
    match place {
        ImagePlace::Oci(path) => {
            let is_ours = |path: &Path| path.join("oci-layout").is_file();
            let index = PlatformIndex::of(blobs, images)?;
            folder(path, &is_ours, |new| {
                Layout::create(new)?.take_index(blobs, images, "latest")?;
                Ok(())
            })?;
            Ok(index.digest)
        }
        ImagePlace::Registry(to) => {
            let failed = |source: RegistryError| OutputError::Registry {
                reference: to.to_owned(),
                source: Box::new(source),
            };
            let reference = parse_reference(to).map_err(failed)?;
            let options =
                RegistryOptions::from_environment(workshop.environment).map_err(failed)?;
            let result = with_registries(workshop, workshop.offline, options, |registries| {
                registries.push_index_blocking(blobs, images, &reference, workshop.cancel)
            })?;
            Ok(result.map_err(failed)?.digest)
        }
        _ => Err(OutputError::OneImage { kind: place.kind() }),
    }
}

fn of_image(blobs: &dyn BlobSource, image: &Image) -> Result<Delivered, OutputError> {
    let mut bytes = 0;
    for layer in &image.layers {
        let name = layer.digest.oci();
        let file = blobs.open(&layer.digest)?;
        bytes += file.metadata().map_err(OutputError::io(name))?.len();
    }
    let digest = image.digest;
    Ok(Delivered { bytes, digest })
}

/// A file that is written as a whole.
fn file<E: Into<OutputError>>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut AtomicFile>) -> Result<(), E>,
) -> Result<Delivered, OutputError> {
    let fail = || OutputError::io(path);
    make_room(path).map_err(fail())?;
    let mut file = AtomicFile::create(path).map_err(fail())?;
    let mut out = BufWriter::with_capacity(1 << 20, &mut file);
    write(&mut out).map_err(Into::into)?;
    out.flush().map_err(fail())?;
    drop(out);
    file.rename().map_err(fail())?;
    let (digest, bytes) = file_digest(path).map_err(fail())?;
    Ok(Delivered { bytes, digest })
}

/// SHA-256 and length of a file.
pub(crate) fn file_digest(path: &Path) -> io::Result<(Sha256, u64)> {
    let file = fs_err::File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok((Sha256::of_rest(file)?, bytes))
}

/// A folder that is written beside its place, which holds nothing, or what `is_ours` knows.
fn folder(
    path: &Path,
    is_ours: &dyn Fn(&Path) -> bool,
    write: impl FnOnce(&Path) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    let fail = || OutputError::io(path);
    let there = match fs_err::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(fail()(error)),
    };
    if there && !is_ours(path) {
        return Err(OutputError::Occupied { path: path.into() });
    }
    make_room(path).map_err(fail())?;
    let folder = AtomicFolder::create(path).map_err(fail())?;
    write(folder.path())?;
    folder.replace().map_err(fail())
}

fn push(workshop: &Workshop<'_>, to: &str, delivery: &Delivery<'_>) -> Result<(), OutputError> {
    let failed = |source: RegistryError| OutputError::Registry {
        reference: to.to_owned(),
        source: Box::new(source),
    };
    let reference = parse_reference(to).map_err(failed)?;
    let options = RegistryOptions::from_environment(workshop.environment).map_err(failed)?;
    let artifact = match delivery.sif {
        None => None,
        Some((path, digest)) => {
            let file = fs_err::File::open(path).map_err(OutputError::io(path))?;
            let title = path.file_name().unwrap_or_default().to_string_lossy();
            let created = delivery.image.config.created().clone();
            Some(Artifact {
                kind: SIF_ARTIFACT.into(),
                file: Arc::new(file.into_file()),
                digest,
                title: title.into_owned(),
                created: created.unwrap_or_else(|| "1970-01-01T00:00:00Z".into()),
            })
        }
    };
    let Delivery { blobs, image, .. } = *delivery;
    let cancel = workshop.cancel;
    let result = with_registries(workshop, workshop.offline, options, |registries| {
        registries.push_blocking(blobs, image, &reference, None, cancel)?;
        if let Some(artifact) = &artifact {
            registries.attach_blocking(blobs, image, artifact, &reference, cancel)?;
        }
        Ok(())
    })?;
    result.map_err(failed)
}
