//! An OCI image as a SIF file, without a runtime: the tree, and what runtimes expect inside.

use std::{
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nd_host::AtomicFile;
use nd_names::{Architecture, Sha256};
use nd_oci::{Image, RuntimeConfig, RuntimeFiles};
use nd_report::Cancel;
use nd_rootfs::{Contents, Index, IndexError, Kind, WithFiles};
use nd_sif::{ObjectSpec, SifError, SifOptions, SifWriter, id_of};
use nd_squashfs::{WriteError, WriteOptions};

/// Why an image could not be written as a SIF file.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The file cannot be written.
    #[error("failed to write `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file system in it.
    #[error(transparent)]
    Squashfs(#[from] WriteError),
    /// The table of objects.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// The tree.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An image for a machine that containers are not built for.
    #[error("the image is for `{0}`")]
    Architecture(String),
}

/// Writes `image`, whose merged tree is `index` and `contents`, as the SIF file `path`. Gives digest
/// and length. Device nodes are left out, since ordinary users cannot unpack them.
pub fn write_sif(
    image: &Image,
    index: Index,
    contents: &mut dyn Contents,
    path: &Path,
    cancel: &Cancel,
) -> Result<(Sha256, u64), ConvertError> {
    let fail = || {
        let path = path.to_owned();
        move |source| ConvertError::Io { path, source }
    };
    let named = image.config.architecture().to_string();
    let architecture = match named.as_str() {
        "amd64" => Architecture::X86_64,
        "arm64" => Architecture::Aarch64,
        _ => return Err(ConvertError::Architecture(named)),
    };
    let definition = format!("Bootstrap: oci\nFrom: {}\n", image.digest.oci());
    let runtime = RuntimeFiles::of(&RuntimeConfig {
        definition: definition.clone(),
        ..RuntimeConfig::of(&image.config)
    });
    let mut entries = index.into_entries();
    entries.retain(|entry| !matches!(entry.kind, Kind::Device { .. }));
    let times = entries.iter().map(|entry| entry.attr.mtime);
    let time = times.max().unwrap_or(0).max(0);
    let index = Index::from_entries(entries)?;
    let (index, mut contents) = WithFiles::new(index, contents, runtime.added(), time)?;
    let mut file = AtomicFile::create(path).map_err(fail())?;
    let options = SifOptions {
        architecture,
        id: id_of(&image.digest),
        time,
    };
    let mut sif = SifWriter::new(&mut file, options)?;
    let packing = WriteOptions {
        cancel: cancel.clone(),
        ..WriteOptions::default()
    };
    sif.put_with(ObjectSpec::squashfs(architecture), |out| {
        nd_squashfs::write(&index, &mut contents, out, &packing).map_err(ConvertError::from)
    })?;
    sif.put_about(&definition, &runtime.inspect_metadata())?;
    let bytes = sif.finish()?;
    file.flush().map_err(fail())?;
    file.seek(SeekFrom::Start(0)).map_err(fail())?;
    let digest = Sha256::of_rest(&mut file).map_err(fail())?;
    let mode = std::fs::Permissions::from_mode(0o755);
    file.file().set_permissions(mode).map_err(fail())?;
    file.commit().map_err(fail())?;
    Ok((digest, bytes))
}
