//! OCI image layouts: a folder of blobs with an index of images.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_names::Sha256;
use nd_rootfs::{Entry, LayerEntry};
use nd_store::Store;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    Compression, LayerBlob, LayerOptions, Limits, OciError, WrittenLayer,
    digest::Hashing,
    platforms::chosen,
    tar::{HeaderKind, TarReader},
    write_layer::{descriptor, write_layer},
};

/// The annotation that names an image in a layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Documents above this size are refused, as registries do.
pub(crate) const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Something that holds blobs.
pub trait BlobSource: Send + Sync {
    /// Opens a blob for reading from its start.
    fn open(&self, digest: &Sha256) -> Result<std::fs::File, OciError>;
}

/// An OCI image layout on disk.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// What an image is made of.
#[derive(Debug, Clone)]
pub struct ImageSpec {
    /// The configuration; its `rootfs` must name one diff id per layer.
    pub config: ImageConfiguration,
    /// The layers, lowest first; their blobs must be in the layout.
    pub layers: Vec<Descriptor>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The name in the layout's index (`latest`); an image of that name is replaced.
    pub reference: Option<String>,
}

/// An image in a layout or store: its documents, verified against their digests and each other.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: Sha256,
    /// The manifest.
    pub manifest: ImageManifest,
    /// Digest of the configuration, the image id.
    pub config_digest: Sha256,
    /// The configuration.
    pub config: ImageConfiguration,
    /// The layers, lowest first.
    pub layers: Vec<LayerBlob>,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Sha256>,
}

impl Layout {
    /// Opens the layout at `path`, making it if need be.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, OciError> {
        let layout = Self { root: path.into() };
        let blobs = layout.root.join("blobs/sha256");
        fs_err::create_dir_all(&blobs).map_err(OciError::io(&blobs))?;
        if !layout.root.join("index.json").exists() {
            let index = json!({"schemaVersion": 2, "mediaType": MediaType::ImageIndex.to_string(), "manifests": []});
            layout.replace("index.json", &canonical("index.json", &index)?)?;
        }
        // Last: what has no `oci-layout` is no layout yet.
        layout.replace("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(layout)
    }

    /// Opens an existing layout.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OciError> {
        let root = path.into();
        let file = root.join("oci-layout");
        let text = fs_err::read(&file).map_err(OciError::io(&file))?;
        let header: serde_json::Value = parse("oci-layout", &text)?;
        let version = header["imageLayoutVersion"].as_str().unwrap_or_default();
        if version.starts_with("1.") {
            Ok(Self { root })
        } else {
            let problem = format!("unknown layout version `{version}`");
            Err(OciError::Invalid {
                what: file.display().to_string(),
                problem,
            })
        }
    }

    /// Unpacks an OCI archive (a tar of a layout) into a new layout at `path`. Only the files of a
    /// layout are taken, and blobs are verified. [`OciError::NoIndex`] if it is no such archive.
    pub fn unpack_archive(archive: impl Read, path: impl Into<PathBuf>) -> Result<Self, OciError> {
        let layout = Self::create(path)?;
        let mut reader = TarReader::new(archive, Limits::default());
        let mut index = None;
        while let Some(header) = reader.next()? {
            if header.kind != HeaderKind::File {
                continue;
            }
            let name = header
                .name
                .strip_prefix(b"./")
                .unwrap_or(&header.name)
                .to_vec();
            if let Some(hex) = name.strip_prefix(b"blobs/sha256/") {
                let expected = std::str::from_utf8(hex)
                    .ok()
                    .and_then(|hex| hex.parse().ok());
                let expected: Sha256 = expected.ok_or_else(|| OciError::Invalid {
                    what: nd_rootfs::show(&name),
                    problem: "its name is no digest".into(),
                })?;
                layout.put(reader.contents(&header), Some(expected))?;
            } else if name == b"index.json" {
                let mut bytes = Vec::new();
                reader
                    .contents(&header)
                    .take(DOCUMENT_LIMIT)
                    .read_to_end(&mut bytes)
                    .map_err(OciError::io("index.json"))?;
                index = Some(bytes);
            }
        }
        let index = index.ok_or(OciError::NoIndex)?;
        parse::<ImageIndex>("index.json", &index)?;
        layout.replace("index.json", &index)?;
        Ok(layout)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where a blob is or would be.
    pub fn blob_path(&self, digest: &Sha256) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// Stores a blob. Gives its digest and size.
    pub fn put_blob(&self, input: impl Read) -> Result<(Sha256, u64), OciError> {
        self.put(input, None)
    }

    /// Makes a blob of the store part of the layout: linked where the file systems allow it, else
    /// copied and verified.
    pub fn put_from_store(&self, store: &Store, digest: &Sha256) -> Result<u64, OciError> {
        let (from, to) = (store.blob_path(digest), self.blob_path(digest));
        if let Ok(meta) = fs_err::metadata(&to) {
            return Ok(meta.len());
        }
        if let Some(file) = store.blob(digest)? {
            if fs_err::hard_link(&from, &to).is_ok() {
                return fs_err::metadata(&to)
                    .map(|m| m.len())
                    .map_err(OciError::io(to));
            }
            return self.put(file, Some(*digest)).map(|(_, size)| size);
        }
        Err(OciError::Io {
            path: from,
            source: io::ErrorKind::NotFound.into(),
        })
    }

    /// Starts a blob that is written piece by piece; [`Self::finish_blob`] names it.
    pub fn new_blob(&self) -> Result<tempfile::NamedTempFile, OciError> {
        tempfile::Builder::new()
            .prefix(".nd-")
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(&self.root)
            .map_err(OciError::io(&self.root))
    }

    /// Names a blob that was written, whose digest the writer has taken while writing.
    pub fn finish_blob(
        &self,
        file: tempfile::NamedTempFile,
        digest: &Sha256,
    ) -> Result<(), OciError> {
        let path = self.blob_path(digest);
        file.persist(&path)
            .map_err(|e| OciError::io(&path)(e.error))?;
        Ok(())
    }

    /// Writes a layer as a blob of the layout; see [`crate::write_layer`].
    pub fn write_layer(
        &self,
        entries: &[LayerEntry],
        source: &mut dyn FnMut(&Entry) -> io::Result<Box<dyn Read>>,
        options: LayerOptions,
    ) -> Result<WrittenLayer, OciError> {
        let mut blob = self.new_blob()?;
        let layer = write_layer(entries, source, options, &mut blob)?;
        self.finish_blob(blob, &layer.digest)?;
        Ok(layer)
    }

    pub(crate) fn put(
        &self,
        mut input: impl Read,
        expected: Option<Sha256>,
    ) -> Result<(Sha256, u64), OciError> {
        let mut file = Hashing::new(self.new_blob()?);
        io::copy(&mut input, &mut file).map_err(OciError::io(&self.root))?;
        file.flush().map_err(OciError::io(&self.root))?;
        let (file, found, size) = file.finish();
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(OciError::Digest { expected, found });
        }
        self.finish_blob(file, &found)?;
        Ok((found, size))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), OciError> {
        let path = self.root.join(name);
        let mut file = self.new_blob()?;
        file.write_all(bytes).map_err(OciError::io(&path))?;
        file.persist(&path)
            .map_err(|e| OciError::io(&path)(e.error))?;
        Ok(())
    }

    /// Writes configuration, manifest and index entry of an image. Equal images are equal bytes:
    /// keys are sorted.
    pub fn write_image(&self, spec: &ImageSpec) -> Result<Image, OciError> {
        let config = canonical("configuration", &spec.config)?;
        let (config_digest, config_size) = self.put_blob(&config[..])?;
        let config_descriptor = descriptor(MediaType::ImageConfig, config_digest, config_size);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageManifest.to_string(),
            "config": config_descriptor,
            "layers": spec.layers,
        });
        if !spec.annotations.is_empty() {
            manifest["annotations"] = json!(spec.annotations);
        }
        let manifest = canonical("manifest", &manifest)?;
        let digest = Sha256::of(&manifest);
        for layer in &spec.layers {
            let digest = digest_of(layer)?;
            let path = self.blob_path(&digest);
            let found = fs_err::metadata(&path).map_err(OciError::io(&path))?.len();
            if found != layer.size() {
                return Err(OciError::Size {
                    digest,
                    expected: layer.size(),
                    found,
                });
            }
        }
        let (_, size) = self.put_blob(&manifest[..])?;
        let image = load_image(self, digest, own_architecture())?;
        self.list(&image, size, spec.reference.as_deref())?;
        Ok(image)
    }

    /// Makes an image of the store part of the layout, byte for byte: manifest, configuration and
    /// layers keep their digests. An image of the same name is replaced. One with Docker's media
    /// types keeps them, and tools that look for OCI's alone do not find it.
    pub fn put_image(
        &self,
        store: &Store,
        digest: &Sha256,
        reference: Option<&str>,
    ) -> Result<Image, OciError> {
        let image = load_image(store, *digest, own_architecture())?;
        let blobs = image.layers.iter().map(|layer| layer.digest);
        for blob in blobs.chain([image.config_digest]) {
            self.put_from_store(store, &blob)?;
        }
        let size = self.put_from_store(store, &image.digest)?;
        self.list(&image, size, reference)?;
        Ok(image)
    }

    /// The same from anything that holds blobs; they are copied, and verified.
    pub fn take_image(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
        reference: Option<&str>,
    ) -> Result<(), OciError> {
        let size = self.take_blobs(blobs, image)?;
        self.list(image, size, reference)
    }

    /// Copies what an image is made of, and gives the length of its manifest.
    pub(crate) fn take_blobs(
        &self,
        blobs: &dyn BlobSource,
        image: &Image,
    ) -> Result<u64, OciError> {
        let layers = image.layers.iter().map(|layer| layer.digest);
        for digest in layers.chain([image.config_digest]) {
            if !self.blob_path(&digest).is_file() {
                self.put(blobs.open(&digest)?, Some(digest))?;
            }
        }
        let (_, size) = self.put(blobs.open(&image.digest)?, Some(image.digest))?;
        Ok(size)
    }

    /// Names an image, whose blobs are there, in `index.json`.
    pub(crate) fn list(
        &self,
        image: &Image,
        size: u64,
        reference: Option<&str>,
    ) -> Result<(), OciError> {
        let kind = image.manifest.media_type().clone();
        let kind = kind.unwrap_or(MediaType::ImageManifest);
        let mut entry = json!(descriptor(kind, image.digest, size));
        entry["platform"] = json!({
            "architecture": image.config.architecture(),
            "os": image.config.os(),
        });
        self.list_entry(entry, reference)
    }

    /// Adds a descriptor to `index.json`, in place of the one of that name.
    pub(crate) fn list_entry(
        &self,
        mut entry: serde_json::Value,
        reference: Option<&str>,
    ) -> Result<(), OciError> {
        if let Some(reference) = reference {
            entry["annotations"] = json!({ REF_NAME: reference });
        }
        let mut index: serde_json::Value = self.index_document()?;
        let others = index["manifests"].as_array().cloned().unwrap_or_default();
        let mut manifests: Vec<_> = others
            .into_iter()
            .filter(|other| match reference {
                Some(name) => other["annotations"][REF_NAME].as_str() != Some(name),
                None => other["digest"] != entry["digest"],
            })
            .collect();
        manifests.push(entry);
        index["manifests"] = manifests.into();
        self.replace("index.json", &canonical("index.json", &index)?)
    }

    /// Names of all images, with the digests of their manifests.
    pub fn images(&self) -> Result<Vec<(Option<String>, Sha256)>, OciError> {
        let index: ImageIndex = self.index_document()?;
        let name = |d: &Descriptor| {
            d.annotations()
                .as_ref()
                .and_then(|a| a.get(REF_NAME).cloned())
        };
        index
            .manifests()
            .iter()
            .map(|d| Ok((name(d), digest_of(d)?)))
            .collect()
    }

    /// The image of that name, or the only one. An index of several platforms is followed if it
    /// holds one image of this machine's architecture.
    pub fn image(&self, reference: Option<&str>) -> Result<Image, OciError> {
        let Some(name) = reference else {
            return load_image(self, self.only()?, own_architecture());
        };
        let images = self.images()?;
        let found = images.iter().find(|(n, _)| n.as_deref() == Some(name));
        let (_, digest) = found.ok_or_else(|| self.no_image(name))?;
        load_image(self, *digest, own_architecture())
    }

    /// The digest of the only image.
    pub(crate) fn only(&self) -> Result<Sha256, OciError> {
        match self.images()?[..] {
            [(_, digest)] => Ok(digest),
            _ => Err(self.no_image("(exactly one)")),
        }
    }

    fn no_image(&self, reference: &str) -> OciError {
        OciError::NoImage {
            layout: self.root.clone(),
            reference: reference.into(),
        }
    }

    fn index_document<T: DeserializeOwned>(&self) -> Result<T, OciError> {
        let path = self.root.join("index.json");
        parse(
            "index.json",
            &fs_err::read(&path).map_err(OciError::io(path))?,
        )
    }
}

impl BlobSource for Layout {
    fn open(&self, digest: &Sha256) -> Result<std::fs::File, OciError> {
        let path = self.blob_path(digest);
        Ok(fs_err::File::open(&path)
            .map_err(OciError::io(&path))?
            .into())
    }
}

impl BlobSource for Store {
    fn open(&self, digest: &Sha256) -> Result<std::fs::File, OciError> {
        let missing = || OciError::Io {
            path: self.blob_path(digest),
            source: io::ErrorKind::NotFound.into(),
        };
        self.blob(digest)?.ok_or_else(missing)
    }
}

impl<T: BlobSource + ?Sized> BlobSource for Arc<T> {
    fn open(&self, digest: &Sha256) -> Result<std::fs::File, OciError> {
        (**self).open(digest)
    }
}

/// This machine's architecture, as OCI calls it.
pub(crate) fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Reads and checks the documents of the image whose manifest has this digest, or of the one in an
/// index that is for `architecture`.
pub(crate) fn load_image(
    blobs: &dyn BlobSource,
    digest: Sha256,
    architecture: &str,
) -> Result<Image, OciError> {
    let bytes = document(blobs, digest)?;
    let kind: serde_json::Value = parse("manifest", &bytes)?;
    if kind["manifests"].is_array() {
        let inner = chosen(blobs, digest, &bytes, architecture)?;
        return load_image(blobs, inner, architecture);
    }
    let manifest: ImageManifest = parse("manifest", &bytes)?;
    let config_digest = digest_of(manifest.config())?;
    let config: ImageConfiguration = parse("configuration", &document(blobs, config_digest)?)?;
    let invalid = |problem: String| OciError::Invalid {
        what: digest.oci(),
        problem,
    };
    let layers = manifest.layers().iter().map(|layer| {
        let compression = Compression::of_media_type(layer.media_type());
        let compression = compression.ok_or_else(|| {
            invalid(format!(
                "unknown media type `{}` of a layer",
                layer.media_type()
            ))
        })?;
        Ok(LayerBlob {
            digest: digest_of(layer)?,
            compression,
        })
    });
    let layers: Vec<LayerBlob> = layers.collect::<Result<_, OciError>>()?;
    let diff_ids = config.rootfs().diff_ids().iter().map(|id| {
        let digest = id.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        digest.ok_or_else(|| invalid(format!("bad diff id `{id}`")))
    });
    let diff_ids: Vec<Sha256> = diff_ids.collect::<Result<_, OciError>>()?;
    if diff_ids.len() != layers.len() {
        return Err(invalid(format!(
            "{} layers, but {} diff ids",
            layers.len(),
            diff_ids.len()
        )));
    }
    Ok(Image {
        digest,
        manifest,
        config_digest,
        config,
        layers,
        diff_ids,
    })
}

pub(crate) fn document(blobs: &dyn BlobSource, digest: Sha256) -> Result<Vec<u8>, OciError> {
    let mut bytes = Vec::new();
    let file = blobs.open(&digest)?;
    let read = file.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(OciError::io(digest.oci()))?;
    if bytes.len() as u64 > DOCUMENT_LIMIT {
        return Err(OciError::Size {
            digest,
            expected: DOCUMENT_LIMIT,
            found: bytes.len() as u64,
        });
    }
    let found = Sha256::of(&bytes);
    if found == digest {
        Ok(bytes)
    } else {
        Err(OciError::Digest {
            expected: digest,
            found,
        })
    }
}

pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Sha256, OciError> {
    let digest = descriptor
        .as_digest_sha256()
        .and_then(|hex| hex.parse().ok());
    digest.ok_or_else(|| OciError::Invalid {
        what: descriptor.digest().to_string(),
        problem: "only sha256 digests are used".into(),
    })
}

pub(crate) fn parse<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|source| OciError::Json {
        what: what.into(),
        source,
    })
}

/// JSON with sorted keys, so that maps without an order give equal bytes.
pub(crate) fn canonical(what: &str, value: &impl Serialize) -> Result<Vec<u8>, OciError> {
    let fail = |source| OciError::Json {
        what: what.into(),
        source,
    };
    let mut value = serde_json::to_value(value).map_err(fail)?;
    value.sort_all_objects();
    serde_json::to_vec(&value).map_err(fail)
}
