//! The result: what stays, as an OCI layout or a SIF file.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
};

use nd_host::{AtomicFile, AtomicFolder, make_executable, make_room};
use nd_names::{Architecture, Sha256};
use nd_oci::{Compression, Image, ImageSpec, LayerOptions, Layout, RuntimeFiles};
use nd_report::Cancel;
use nd_rootfs::{Contents, Index, Kind, LayerEntry, WithFiles};
use nd_sif::{DataType, Link, ObjectSpec, SifOptions, SifWriter, id_of};
use nd_squashfs::{Compressor, WriteOptions};
use nd_store::Store;
use serde_json::json;

use super::{
    error::MinifyError,
    image::{Origin, SifOrigin, Source, digest_of},
    spool::{Spool, copy_range},
    usage::Removal,
};

/// The annotation that says which image another one was made from.
const BASE: &str = "org.opencontainers.image.base.digest";

/// Where the result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A folder, and the name of the image in its index.
    Oci(PathBuf, Option<String>),
    Sif(PathBuf),
}

impl Target {
    /// `sif:FILE`, or a file that ends with `.sif` or `.simg`; else `[oci:]FOLDER[:NAME]`.
    pub(super) fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("sif:") {
            return Self::Sif(path.into());
        }
        let is_sif = Path::new(text)
            .extension()
            .is_some_and(|ending| ending == "sif" || ending == "simg");
        if is_sif && !text.starts_with("oci:") {
            return Self::Sif(text.into());
        }
        let text = text.strip_prefix("oci:").unwrap_or(text);
        match text.rsplit_once(':') {
            Some((path, name)) if !name.contains('/') && !name.is_empty() => {
                Self::Oci(path.into(), Some(name.to_owned()))
            }
            _ => Self::Oci(text.into(), None),
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Oci(path, _) | Self::Sif(path) => path,
        }
    }

    /// Whether the result can be written there, as far as that can be known before the work.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), MinifyError> {
        if matches!((self, origin), (Self::Oci(..), Origin::Sif(_))) {
            return Err(MinifyError::SifToOci);
        }
        if fs_err::symlink_metadata(self.path()).is_ok() {
            return Err(MinifyError::Exists {
                path: self.path().into(),
            });
        }
        Ok(())
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    /// Digest of the manifest, for a layout.
    pub(super) manifest: Option<Sha256>,
    /// Bytes of layers, or of the file.
    pub(super) bytes: u64,
}

/// What stays of the tree.
pub(super) fn what_stays(index: &Index, removal: &Removal) -> Result<Index, MinifyError> {
    let entries = index
        .iter()
        .enumerate()
        .filter(|(number, _)| !removal.has(*number))
        .map(|(_, entry)| entry.clone())
        .collect();
    Ok(Index::from_entries(entries)?)
}

/// Writes the result and gives it its name when it is complete.
pub(super) fn write(
    target: &Target,
    source: &mut Source,
    removal: &Removal,
    how: &str,
    store: &Store,
    cancel: &Cancel,
) -> Result<Written, MinifyError> {
    let index = what_stays(&source.index, removal)?;
    match (target, &source.origin) {
        (Target::Oci(path, name), Origin::Oci(image)) => {
            let spool = Spool::fill(&index, &mut *source.contents, store.temporary(), cancel)?;
            write_layout(path, name.as_deref(), image, &index, &spool, how)
        }
        (Target::Sif(path), Origin::Sif(sif)) => {
            rewrite_sif(path, sif, &index, &mut *source.contents, how, cancel)
        }
        (Target::Sif(path), Origin::Oci(image)) => {
            let image = image.clone();
            write_sif(path, &image, source, index, how, cancel)
        }
        (Target::Oci(..), Origin::Sif(_)) => Err(MinifyError::SifToOci),
    }
}

fn write_layout(
    path: &Path,
    name: Option<&str>,
    image: &Image,
    index: &Index,
    spool: &Spool,
    how: &str,
) -> Result<Written, MinifyError> {
    make_room(path).map_err(MinifyError::io(path))?;
    let folder = AtomicFolder::create(path).map_err(MinifyError::io(path))?;
    let layout = Layout::create(folder.path())?;
    let entries: Vec<_> = index
        .iter()
        .filter(|entry| !matches!(entry.kind, Kind::Socket))
        .cloned()
        .map(LayerEntry::Entry)
        .collect();
    let options = LayerOptions {
        compression: like(image),
        clamp: None,
    };
    let layer = layout.write_layer(&entries, &mut |entry| spool.open(entry), options)?;
    let mut config = serde_json::to_value(&image.config)?;
    config["rootfs"] = json!({ "type": "layers", "diff_ids": [layer.diff_id.oci()] });
    // What was done before is still true, but no layer of it is left.
    let mut history = config["history"].as_array().cloned().unwrap_or_default();
    for step in &mut history {
        step["empty_layer"] = true.into();
    }
    let mut step = json!({ "created_by": how });
    if let Some(created) = image.config.created() {
        step["created"] = json!(created);
    }
    history.push(step);
    config["history"] = history.into();
    let written = layout.write_image(&ImageSpec {
        config: serde_json::from_value(config)?,
        layers: vec![layer.descriptor()],
        annotations: BTreeMap::from([(BASE.to_owned(), image.digest.oci())]),
        reference: name.map(str::to_owned),
    })?;
    // An empty folder of that name is replaced, anything else that came meanwhile is not.
    folder.rename().map_err(MinifyError::io(path))?;
    Ok(Written {
        manifest: Some(written.digest),
        bytes: layer.size,
    })
}

/// The compression of the image, unless its layers have none.
fn like(image: &Image) -> Compression {
    let zstd = |layer: &nd_oci::LayerBlob| layer.compression == Compression::Zstd;
    if image.layers.iter().any(zstd) {
        Compression::Zstd
    } else {
        Compression::Gzip
    }
}

/// A SIF file with the objects of the old one, in their order, but the partition of what stays and
/// without signatures: they would be of something else.
fn rewrite_sif(
    path: &Path,
    old: &SifOrigin,
    index: &Index,
    contents: &mut dyn Contents,
    how: &str,
    cancel: &Cancel,
) -> Result<Written, MinifyError> {
    let fail = || MinifyError::io(path);
    let header = old.sif.header();
    let options = SifOptions {
        architecture: header.architecture.unwrap_or(Architecture::X86_64),
        id: id_of(&digest_of(&[header.id.as_bytes(), how.as_bytes()])),
        time: header.modified,
    };
    let packing = WriteOptions {
        compression: match old.compressor {
            Compressor::Zstd => nd_squashfs::Compression::Zstd(3),
            Compressor::Gzip => nd_squashfs::Compression::Gzip(6),
        },
        epoch: Some(header.modified),
        root: old.root.clone(),
        cancel: cancel.clone(),
        ..WriteOptions::default()
    };
    let mut file = create(path)?;
    let mut sif = SifWriter::new(&mut file, options)?;
    for one in old.sif.descriptors() {
        if one.data == DataType::Signature {
            continue;
        }
        let spec = ObjectSpec {
            data: one.data,
            name: one.name.clone(),
            group: one.group,
            link: if matches!(one.link, Link::Group(_)) {
                one.link
            } else {
                Link::None
            },
            extra: one.extra,
        };
        if one.id == old.partition.id {
            sif.put_with(spec, |out| {
                nd_squashfs::write(index, contents, out, &packing).map_err(MinifyError::from)
            })?;
        } else {
            sif.put_with::<_, MinifyError>(spec, |out| {
                copy_range(old.sif.file(), one.offset, one.size, out).map_err(fail())
            })?;
        }
    }
    finish(sif.finish()?, file, path)
}

/// A new SIF file of an OCI image.
fn write_sif(
    path: &Path,
    image: &Image,
    source: &mut Source,
    index: Index,
    how: &str,
    cancel: &Cancel,
) -> Result<Written, MinifyError> {
    let architecture = image
        .config
        .architecture()
        .to_string()
        .parse()
        .unwrap_or(Architecture::X86_64);
    let time = index
        .iter()
        .map(|entry| entry.attr.mtime)
        .max()
        .unwrap_or(0);
    let options = SifOptions {
        architecture,
        id: id_of(&digest_of(&[&image.digest.as_bytes()[..], how.as_bytes()])),
        time,
    };
    let definition = format!("Bootstrap: oci\nFrom: {}\n\n# {how}\n", image.digest.oci());
    let built = image.config.created().clone();
    let runtime = source
        .state
        .runtime_config(architecture.oci(), built, &definition);
    let runtime = RuntimeFiles::of(&runtime);
    let (index, mut contents) =
        WithFiles::new(index, &mut *source.contents, runtime.added(), time)?;
    let packing = WriteOptions {
        epoch: Some(time),
        cancel: cancel.clone(),
        ..WriteOptions::default()
    };
    let mut file = create(path)?;
    let mut sif = SifWriter::new(&mut file, options)?;
    sif.put_with(ObjectSpec::squashfs(architecture), |out| {
        nd_squashfs::write(&index, &mut contents, out, &packing).map_err(MinifyError::from)
    })?;
    sif.put_about(&definition, &runtime.inspect_metadata())?;
    finish(sif.finish()?, file, path)
}

fn create(path: &Path) -> Result<AtomicFile, MinifyError> {
    make_room(path).map_err(MinifyError::io(path))?;
    AtomicFile::create(path).map_err(MinifyError::io(path))
}

fn finish(bytes: u64, mut file: AtomicFile, path: &Path) -> Result<Written, MinifyError> {
    let fail = || MinifyError::io(path);
    file.flush().map_err(fail())?;
    make_executable(file.file()).map_err(fail())?;
    file.commit().map_err(fail())?;
    Ok(Written {
        manifest: None,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    //! What an output's name means.

    use super::Target;

    #[test]
    fn endings_and_prefixes_say_what_is_written() {
        for (text, expected) in [
            ("a.sif", Target::Sif("a.sif".into())),
            ("b/a.simg", Target::Sif("b/a.simg".into())),
            ("sif:a", Target::Sif("a".into())),
            ("oci:a.sif", Target::Oci("a.sif".into(), None)),
            ("a", Target::Oci("a".into(), None)),
            ("oci:a:1.0", Target::Oci("a".into(), Some("1.0".into()))),
            ("/x:y/a", Target::Oci("/x:y/a".into(), None)),
        ] {
            assert_eq!(Target::parse(text), expected, "{text}");
        }
    }
}
