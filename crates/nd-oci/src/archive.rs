//! Images in one file or one plain folder: OCI archives, archives of Docker, the folders that the
//! containers tools call `dir:`.

use std::{
    io::{self, Read, Write},
    path::Path,
};

use nd_names::Sha256;
use nd_rootfs::Attr;
use oci_spec::image::MediaType;
use serde_json::{Value, json};

use crate::{
    BlobSource, Image, Layout, OciError,
    digest::Hashing,
    layout::{DOCUMENT_LIMIT, REF_NAME, canonical, load_image, own_architecture},
    tar::{Record, TarWriter},
};

/// The file that says what a plain folder is, and what it says.
const VERSION: (&str, &str) = ("version", "Directory Transport Version: 1.1\n");

impl Image {
    /// The manifest in OCI's own media types, for an image that has Docker's; layers and
    /// configuration stay as they are. `None` when it is in OCI's already.
    pub fn oci_manifest(&self) -> Result<Option<Vec<u8>>, OciError> {
        let kinds = std::iter::once(self.manifest.config()).chain(self.manifest.layers());
        let is_oci = |kind: &MediaType| kind.as_ref().starts_with("application/vnd.oci.");
        let own = self.manifest.media_type().as_ref().is_none_or(is_oci);
        if own && kinds.clone().all(|one| is_oci(one.media_type())) {
            return Ok(None);
        }
        let fail = |source| OciError::Json {
            what: "manifest".into(),
            source,
        };
        let mut document = serde_json::to_value(&self.manifest).map_err(fail)?;
        document["mediaType"] = MediaType::ImageManifest.to_string().into();
        document["config"]["mediaType"] = MediaType::ImageConfig.to_string().into();
        if let Some(layers) = document["layers"].as_array_mut() {
            for (layer, blob) in layers.iter_mut().zip(&self.layers) {
                layer["mediaType"] = blob.compression.media_type().to_string().into();
            }
        }
        canonical("manifest", &document).map(Some)
    }

    /// Writes the image as an OCI archive: a tar of a layout that holds it alone. The same image
    /// gives the same bytes.
    pub fn write_oci_archive<W: Write>(
        &self,
        blobs: &dyn BlobSource,
        reference: Option<&str>,
        out: W,
    ) -> Result<W, OciError> {
        let kind = self.manifest.media_type().clone();
        let kind = kind.unwrap_or(MediaType::ImageManifest);
        let size = length(blobs, &self.digest)?;
        let mut entry = json!(crate::write_layer::descriptor(kind, self.digest, size));
        entry["platform"] = json!({
            "architecture": self.config.architecture(),
            "os": self.config.os(),
        });
        if let Some(reference) = reference {
            entry["annotations"] = json!({ REF_NAME: reference });
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::ImageIndex.to_string(),
            "manifests": [entry],
        });
        let mut tar = Tar(TarWriter::new(out));
        tar.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        tar.bytes("index.json", &canonical("index.json", &index)?)?;
        for folder in ["blobs", "blobs/sha256"] {
            tar.folder(folder)?;
        }
        for digest in self.blobs() {
            let file = blobs.open(&digest)?;
            let size = length(blobs, &digest)?;
            let name = format!("blobs/sha256/{}", digest.hex());
            tar.stream(&name, size, file, &digest)?;
        }
        tar.0.finish().map_err(OciError::Output)
    }

    /// Writes the image as `docker load` reads it: uncompressed layers, configuration,
    /// `manifest.json`. `tags` are names of the form `NAME:TAG`. The same image gives the same bytes.
    pub fn write_docker_archive<W: Write>(
        &self,
        blobs: &dyn BlobSource,
        tags: &[String],
        out: W,
    ) -> Result<W, OciError> {
        let layer = |diff_id: &Sha256| format!("{}.tar", diff_id.hex());
        let config = format!("{}.json", self.config_digest.hex());
        let list = json!([{
            "Config": config,
            "RepoTags": tags,
            "Layers": self.diff_ids.iter().map(layer).collect::<Vec<_>>(),
        }]);
        let mut tar = Tar(TarWriter::new(out));
        tar.bytes("manifest.json", &canonical("manifest.json", &list)?)?;
        let size = length(blobs, &self.config_digest)?;
        let file = blobs.open(&self.config_digest)?;
        tar.stream(&config, size, file, &self.config_digest)?;
        let mut done: Vec<Sha256> = Vec::new();
        for (blob, diff_id) in self.layers.iter().zip(&self.diff_ids) {
            if done.contains(diff_id) {
                continue;
            }
            done.push(*diff_id);
            // A tar says how long a file is before the file; the layer does not.
            let fail = || OciError::io(blob.digest.oci());
            let mut plain = blob
                .compression
                .decoder(blobs.open(&blob.digest)?)
                .map_err(fail())?;
            let size = io::copy(&mut plain, &mut io::sink()).map_err(fail())?;
            let plain = blob
                .compression
                .decoder(blobs.open(&blob.digest)?)
                .map_err(fail())?;
            tar.stream(&layer(diff_id), size, plain, diff_id)?;
        }
        tar.0.finish().map_err(OciError::Output)
    }

    /// Writes the image as a plain folder, which must be there and empty: `manifest.json` and blobs
    /// by their digests.
    pub fn write_folder(&self, blobs: &dyn BlobSource, folder: &Path) -> Result<(), OciError> {
        let copy = |digest: Sha256, name: &str| {
            let path = folder.join(name);
            let fail = || OciError::io(&path);
            let mut to = Hashing::new(fs_err::File::create_new(&path).map_err(fail())?);
            io::copy(&mut blobs.open(&digest)?, &mut to).map_err(fail())?;
            let (_, found, _) = to.finish();
            same(digest, found)
        };
        for digest in self.blobs().into_iter().skip(1) {
            copy(digest, &digest.hex())?;
        }
        let (name, text) = VERSION;
        let path = folder.join(name);
        fs_err::write(&path, text).map_err(OciError::io(&path))?;
        // Last: without it, the folder is no image.
        copy(self.digest, "manifest.json")
    }

    /// Manifest, configuration and layers, each once.
    fn blobs(&self) -> Vec<Sha256> {
        let mut out = vec![self.digest, self.config_digest];
        for layer in &self.layers {
            if !out.contains(&layer.digest) {
                out.push(layer.digest);
            }
        }
        out
    }
}

impl Layout {
    /// Whether a folder is one that [`Image::write_folder`] or a containers tool wrote.
    pub fn is_plain_folder(folder: &Path) -> bool {
        folder.join("manifest.json").is_file() && folder.join(VERSION.0).is_file()
    }

    /// Takes the image of a plain folder into a new layout at `path`. Blobs are verified.
    pub fn take_folder(
        folder: &Path,
        path: impl Into<std::path::PathBuf>,
    ) -> Result<Self, OciError> {
        let layout = Self::create(path)?;
        let at = folder.join("manifest.json");
        let mut bytes = Vec::new();
        let file = fs_err::File::open(&at).map_err(OciError::io(&at))?;
        file.take(DOCUMENT_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(OciError::io(&at))?;
        let fail = |source| OciError::Json {
            what: "manifest.json".into(),
            source,
        };
        let manifest: Value = serde_json::from_slice(&bytes).map_err(fail)?;
        let invalid = |problem: &str| OciError::Invalid {
            what: "manifest.json".into(),
            problem: problem.into(),
        };
        let layers = manifest["layers"].as_array();
        let layers = layers.ok_or_else(|| invalid("it is no manifest of one image"))?;
        for blob in std::iter::once(&manifest["config"]).chain(layers) {
            let digest = blob["digest"].as_str().unwrap_or_default();
            let hex = digest.strip_prefix("sha256:");
            let digest: Sha256 = hex
                .and_then(|hex| hex.parse().ok())
                .ok_or_else(|| invalid("it names a blob by no sha256 digest"))?;
            let at = folder.join(digest.hex());
            let file = fs_err::File::open(&at).map_err(OciError::io(&at))?;
            layout.put(file, Some(digest))?;
        }
        let (digest, size) = layout.put_blob(&bytes[..])?;
        let image = load_image(&layout, digest, own_architecture())?;
        layout.list(&image, size, None)?;
        Ok(layout)
    }
}

fn length(blobs: &dyn BlobSource, digest: &Sha256) -> Result<u64, OciError> {
    let file = blobs.open(digest)?;
    Ok(file.metadata().map_err(OciError::io(digest.oci()))?.len())
}

fn same(expected: Sha256, found: Sha256) -> Result<(), OciError> {
    if found == expected {
        Ok(())
    } else {
        Err(OciError::Digest { expected, found })
    }
}

/// Files of root, of time 0.
struct Tar<W>(TarWriter<W>);

impl<W: Write> Tar<W> {
    fn header(&mut self, name: &str, mode: u16, type_flag: u8, size: u64) -> Result<(), OciError> {
        let record = Record {
            name: name.as_bytes(),
            type_flag,
            link: b"",
            attr: &Attr::new(mode),
            size,
            device: (0, 0),
        };
        self.0.header(&record).map_err(OciError::Output)?;
        Ok(())
    }

    fn folder(&mut self, name: &str) -> Result<(), OciError> {
        self.header(&format!("{name}/"), 0o755, b'5', 0)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), OciError> {
        self.stream(name, bytes.len() as u64, bytes, &Sha256::of(bytes))
    }

    /// A file that must have exactly this length and digest.
    fn stream(
        &mut self,
        name: &str,
        size: u64,
        input: impl Read,
        digest: &Sha256,
    ) -> Result<(), OciError> {
        self.header(name, 0o644, b'0', size)?;
        let mut input = Hashing::new(input.take(size));
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = input.read(&mut buffer).map_err(OciError::io(name))?;
            if n == 0 {
                break;
            }
            self.0.data(&buffer[..n]).map_err(OciError::Output)?;
        }
        self.0.end_data().map_err(OciError::Output)?;
        let (_, found, bytes) = input.finish();
        if bytes != size {
            return Err(OciError::Size {
                digest: *digest,
                expected: size,
                found: bytes,
            });
        }
        same(*digest, found)
    }
}
