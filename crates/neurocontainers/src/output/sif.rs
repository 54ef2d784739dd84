//! The SIF file: written straight from the layers, without an unpacked copy.

use std::{
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use nd_host::{AtomicFile, make_room};
use nd_names::Sha256;
use nd_oci::RuntimeFiles;
use nd_report::{Cancel, Reporter, StepId};
use nd_rootfs::{TreeDigests, WithFiles};
use nd_sif::{DataType, INSPECT_METADATA, ObjectSpec, SifOptions, SifWriter, id_of};
use nd_squashfs::{Progress, WriteOptions};
use nd_store::Store;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

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
    let definition = ObjectSpec::new(DataType::DefFile, "");
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
        let written = {
            let mut buffered = io::BufWriter::with_capacity(1 << 20, &mut *out);
            nd_squashfs::write(&index, &mut contents, &mut buffered, &packing)?
        };
        // The superblock is written last, so the bytes are complete only now.
        out.seek(SeekFrom::Start(start)).map_err(fail())?;
        hash(out, written.bytes).map_err(fail())
    })?;
    sif.put(definition, inputs.definition.as_bytes())?;
    let inspect = ObjectSpec::new(DataType::GenericJson, INSPECT_METADATA);
    sif.put(inspect, runtime.inspect_metadata().as_bytes())?;
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
    let digest = hash(&mut file, bytes).map_err(fail())?;
    make_executable(&file).map_err(fail())?;
    file.rename().map_err(fail())?;
    Ok(WrittenSif { digest, bytes })
}

/// Like any image that Apptainer writes: it can be run by its name.
fn make_executable(file: &AtomicFile) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.file().metadata()?.permissions().mode();
    let readable = (mode & 0o444) >> 2;
    let permissions = std::fs::Permissions::from_mode(mode | readable);
    file.file().set_permissions(permissions)
}

/// The same for a file that has its name.
pub(super) fn make_executable_at(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs_err::metadata(path)?.permissions().mode();
    let permissions = std::fs::Permissions::from_mode(mode | ((mode & 0o444) >> 2));
    fs_err::set_permissions(path, permissions)
}

fn hash(input: &mut impl Read, length: u64) -> io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        let wanted = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = input.read(&mut buffer[..wanted])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..n]);
        left -= n as u64;
    }
    Ok(Sha256::from_bytes(hasher.finalize().into()))
}
