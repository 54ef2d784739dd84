//! Archives as `docker save` writes them: a tar of layers, a configuration and `manifest.json`.
//!
//! Layers are uncompressed tars, each in a file named by `manifest.json`; older archives have one in
//! place of several equal ones, and symlinks to it. Newer ones are OCI layouts as well.

use std::{
    collections::BTreeMap,
    io::{Read, Seek, SeekFrom},
    path::PathBuf,
};

use nd_names::Sha256;
use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use crate::{
    Compression, ImageSpec, Layout, Limits, OciError, layer_descriptor,
    layout::DOCUMENT_LIMIT,
    tar::{HeaderKind, TarReader},
};

/// More files than an archive of one image has.
const MOST: usize = 4096;

/// One image of an archive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    layers: Vec<String>,
}

impl Layout {
    /// Unpacks an archive of one image, OCI's or Docker's, into a new layout at `path`. One that is
    /// both is taken as OCI's, whose digests it keeps.
    pub fn unpack_any_archive(
        archive: impl Read + Seek,
        path: impl Into<PathBuf>,
    ) -> Result<Self, OciError> {
        let (mut archive, path) = (archive, path.into());
        match Self::unpack_archive(&mut archive, &path) {
            Err(OciError::NoIndex) => {}
            done => return done,
        }
        archive
            .seek(SeekFrom::Start(0))
            .map_err(OciError::io("archive"))?;
        match Self::unpack_docker_archive(archive, path) {
            Err(OciError::NoDockerArchive) => Err(OciError::NoIndex),
            done => done,
        }
    }

    /// Unpacks an archive of Docker into a new layout at `path`: the image, if it is the only one,
    /// without a name. Layers keep their bytes and digests; manifest and configuration are written
    /// anew.
    ///
    /// [`OciError::NoDockerArchive`] if there is no `manifest.json`.
    pub fn unpack_docker_archive(
        archive: impl Read + Seek,
        path: impl Into<PathBuf>,
    ) -> Result<Self, OciError> {
        let layout = Self::create(path)?;
        let mut archive = archive;
        let wrong = |problem: &str| OciError::Invalid {
            what: "archive".into(),
            problem: problem.into(),
        };
        // `manifest.json` is often last, and says which of the files are documents.
        let (listed, links) = contents(&mut archive)?;
        let [listed] = &listed[..] else {
            return Err(wrong("it does not hold exactly one image"));
        };
        archive
            .seek(SeekFrom::Start(0))
            .map_err(OciError::io("archive"))?;
        let target = |name: &String| links.get(name).unwrap_or(name).clone();
        let wanted: Vec<String> = listed.layers.iter().map(target).collect();
        let mut config: Option<ImageConfiguration> = None;
        let mut blobs: BTreeMap<String, (Sha256, u64)> = BTreeMap::new();
        let mut reader = TarReader::new(&mut archive, Limits::default());
        while let Some(header) = reader.next()? {
            let name = clean(&header.name);
            if header.kind != HeaderKind::File {
                continue;
            }
            if name == listed.config {
                let bytes = document(reader.contents(&header), &name)?;
                config = Some(json(&name, &bytes)?);
            } else if wanted.contains(&name) {
                blobs.insert(name, layout.put_blob(reader.contents(&header))?);
            }
        }
        let config = config.ok_or_else(|| wrong("its configuration is missing"))?;
        let mut layers = Vec::with_capacity(wanted.len());
        for name in &wanted {
            let (digest, size) = blobs
                .get(name)
                .ok_or_else(|| wrong("one of its layers is missing"))?;
            let compression = compression(&layout, digest)?;
            layers.push(layer_descriptor(compression, *digest, *size));
        }
        if config.rootfs().diff_ids().len() != layers.len() {
            return Err(wrong("layers and configuration do not fit"));
        }
        layout.write_image(&ImageSpec {
            config,
            layers,
            annotations: BTreeMap::new(),
            reference: None,
        })?;
        Ok(layout)
    }
}

/// The list of images, and where symlinks lead, each from the root of the archive.
fn contents(archive: impl Read) -> Result<(Vec<Listed>, BTreeMap<String, String>), OciError> {
    let mut reader = TarReader::new(archive, Limits::default());
    let mut links = BTreeMap::new();
    let mut listed = None;
    while let Some(header) = reader.next()? {
        let name = clean(&header.name);
        match header.kind {
            HeaderKind::File if name == "manifest.json" => {
                let bytes = document(reader.contents(&header), &name)?;
                listed = Some(json(&name, &bytes)?);
            }
            HeaderKind::Symlink if links.len() < MOST => {
                let target = String::from_utf8_lossy(&header.link).into_owned();
                links.insert(name.clone(), beside(&name, &target));
            }
            _ => {}
        }
    }
    Ok((listed.ok_or(OciError::NoDockerArchive)?, links))
}

/// The path of `target` as seen from beside `name`.
fn beside(name: &str, target: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn clean(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    name.strip_prefix("./").unwrap_or(&name).to_owned()
}

fn document(input: impl Read, name: &str) -> Result<Vec<u8>, OciError> {
    let mut bytes = Vec::new();
    input
        .take(DOCUMENT_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(OciError::io(name))?;
    Ok(bytes)
}

fn json<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, OciError> {
    serde_json::from_slice(bytes).map_err(|source| OciError::Json {
        what: what.into(),
        source,
    })
}

/// Some tools compress the layers all the same.
fn compression(layout: &Layout, digest: &Sha256) -> Result<Compression, OciError> {
    let path = layout.blob_path(digest);
    let mut head = Vec::new();
    fs_err::File::open(&path)
        .map_err(OciError::io(&path))?
        .take(4)
        .read_to_end(&mut head)
        .map_err(OciError::io(&path))?;
    Ok(match head[..] {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        _ => Compression::None,
    })
}
