//! The SIF file: written straight from the layers, without an unpacked copy.

use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use nd_host::{AtomicFile, make_executable, make_room};
use nd_names::Sha256;
use nd_oci::RuntimeFiles;
use nd_report::{Cancel, Reporter, StepId};
use nd_rootfs::{TreeDigests, WithFiles};
use nd_sif::{DataType, ObjectSpec, SifOptions, SifWriter, id_of};
use nd_squashfs::{Progress, WriteOptions};
use nd_store::Store;
use serde::{Deserialize, Serialize};

use super::{ImageDescription, OutputError, TreeFacts, tree::merged};

/// How an output is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// zstd level 3: small and quick. Every supported Apptainer reads it in a SIF; of the tools for
    /// layers, older ones do not.
    Zstd,
    /// gzip level 6: the oldest tools and runtimes read it.
    Gzip,
}

impl Compression {
    /// The same for layers.
    pub fn of_layers(self) -> nd_oci::Compression {
        match self {
            Self::Zstd => nd_oci::Compression::Zstd,
            Self::Gzip => nd_oci::Compression::Gzip,
        }
    }

    fn squashfs(self) -> nd_squashfs::Compression {
        match self {
            Self::Zstd => nd_squashfs::Compression::Zstd(3),
            Self::Gzip => nd_squashfs::Compression::Gzip(6),
        }
    }
}

/// What a SIF is made from besides the store.
#[derive(Debug, Clone, Copy)]
pub struct SifInputs<'a> {
    /// The image.
    pub image: &'a ImageDescription,
    /// Its identity.
    pub facts: &'a TreeFacts,
    /// The same, parsed.
    pub digests: &'a TreeDigests,
    /// The definition, in Apptainer's language.
    pub definition: &'a str,
    /// How the file system is compressed.
    pub compression: Compression,
}

/// A SIF that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenSif {
    /// SHA-256 of the file.
    pub digest: Sha256,
    /// Its length.
    pub bytes: u64,
}

/// Writes the SIF at `path`, in place of what is there.
///
/// The partition comes first, descriptors next, the header last, and the file gets its name when all
/// of that is on disk.
pub fn write_sif(
    path: &Path,
    store: &Store,
    inputs: &SifInputs<'_>,
    reporter: &dyn Reporter,
    step: StepId,
    cancel: &Cancel,
) -> Result<WrittenSif, OutputError> {
    let image = inputs.image;
    let fail = || OutputError::io(path);
    let state = image.final_state(inputs.digests);
    let built = Some(image.created());
    let architecture = image.architecture.oci();
    let runtime = state.runtime_config(architecture, built, inputs.definition);
    let runtime = RuntimeFiles::of(&runtime);
    let (index, contents) = merged(store, &image.layers)?;
    let (index, mut contents) = WithFiles::new(index, contents, runtime.added(), image.epoch)?;

    make_room(path).map_err(fail())?;
    let mut file = AtomicFile::create(path).map_err(fail())?;
    let options = SifOptions {
        architecture: image.architecture,
        id: id_of(&image.key(&(inputs.compression, inputs.definition))?),
        time: image.epoch,
    };
    let mut sif = SifWriter::new(&mut file, options)?;
    let packing = WriteOptions {
        compression: inputs.compression.squashfs(),
        epoch: Some(image.epoch),
        progress: Some(Progress { reporter, step }),
        cancel: cancel.clone(),
        ..WriteOptions::default()
    };
    let partition = ObjectSpec::squashfs(image.architecture);
    let partition = sif.put_with::<_, OutputError>(partition, |out| {
        let start = out.stream_position().map_err(fail())?;
        let written = nd_squashfs::write(&index, &mut contents, out, &packing)?;
        // The superblock is written last, so the bytes are complete only now.
        out.seek(SeekFrom::Start(start)).map_err(fail())?;
        Sha256::of_rest(out.take(written.bytes)).map_err(fail())
    })?;
    sif.put_about(inputs.definition, &runtime.inspect_metadata())?;
    let config = image.config_digest()?;
    let document = inputs
        .facts
        .document(image.ids, &config, Some(&partition))?;
    sif.put(
        ObjectSpec::new(DataType::GenericJson, "tree.json"),
        &document,
    )?;
    let mut list = Vec::new();
    nd_oci::BlobSource::open(store, &inputs.facts.list_blob)?
        .read_to_end(&mut list)
        .map_err(fail())?;
    sif.put(ObjectSpec::new(DataType::Generic, "tree.mtree.zst"), &list)?;
    let bytes = sif.finish()?;
    file.flush().map_err(fail())?;
    file.seek(SeekFrom::Start(0)).map_err(fail())?;
    let digest = Sha256::of_rest(&mut file).map_err(fail())?;
    make_executable(file.file()).map_err(fail())?;
    file.rename().map_err(fail())?;
    Ok(WrittenSif { digest, bytes })
}
