//! The bytes of files in a stack of layers.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::Arc,
};

use nd_names::Sha256;
use nd_rootfs::{ContentSink, Contents, ContentsError, Location, Wanted, WantedFile};
use nd_store::Store;

use crate::{
    BlobSource, Compression, Limits, OciError,
    compression::{Digests, unpack_beside},
    digest::Hashing,
    tar::TarReader,
};

/// One layer of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBlob {
    /// SHA-256 of the blob.
    pub digest: Sha256,
    /// How it is compressed.
    pub compression: Compression,
}

/// Gives contents of the layers of an image, lowest layer first, each blob with wanted contents
/// unpacked once.
pub struct LayerContents {
    blobs: Arc<dyn BlobSource>,
    layers: Vec<LayerBlob>,
    /// Layers whose index is certainly that of the blob.
    known: Vec<bool>,
    limits: Limits,
}

impl std::fmt::Debug for LayerContents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerContents")
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}

impl LayerContents {
    /// Reads `layers`, lowest first, from `blobs`.
    pub fn new(blobs: Arc<dyn BlobSource>, layers: Vec<LayerBlob>, limits: Limits) -> Self {
        Self {
            blobs,
            known: vec![false; layers.len()],
            layers,
            limits,
        }
    }

    /// Learns from `store` which blobs are for certain the layers of these diff ids, one for each
    /// layer. The indexes then belong to the blobs, and where most of a layer is wanted the digest of
    /// the blob, which is shorter, stands for those of all its contents.
    pub fn known_to(mut self, store: &Store, diff_ids: &[Sha256]) -> Result<Self, OciError> {
        for ((known, layer), diff_id) in self.known.iter_mut().zip(&self.layers).zip(diff_ids) {
            *known = store.is_layer(&layer.digest, diff_id)?;
        }
        Ok(self)
    }
}

impl Contents for LayerContents {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        let mut seen = 0;
        for ((number, layer), known) in (0..).zip(&self.layers).zip(&self.known) {
            let mut files: BTreeMap<u64, WantedFile> = wanted.of_layer(number).collect();
            if files.is_empty() {
                continue;
            }
            seen += files.len();
            let read = |source| ContentsError::Read {
                what: layer.digest.oci(),
                source,
            };
            let blob = self
                .blobs
                .open(&layer.digest)
                .map_err(|e| read(io::Error::other(e)))?;
            let limits = self.limits;
            let bytes: u64 = files.values().map(|file| file.size).sum();
            let digests = if *known && bytes > blob.metadata().map_err(read)?.len() {
                Digests::Blob
            } else {
                Digests::Skip
            };
            let each = digests == Digests::Skip;
            let (result, taken) = unpack_beside(blob, layer.compression, digests, |tar| {
                visit_layer(tar, limits, number, &mut files, sink, each)
            });
            let taken = match result {
                Ok(()) => taken.map_err(read)?,
                Err(Stop::Contents(error)) => return Err(error),
                Err(Stop::Tar(error)) => return Err(read(io::Error::other(error))),
            };
            if let Some((found, _)) = taken.blob
                && found != layer.digest
            {
                let expected = layer.digest;
                let other = OciError::Digest { expected, found };
                return Err(read(io::Error::other(other)));
            }
            if let Some((offset, _)) = files.first_key_value() {
                let at = Location::Layer {
                    layer: number,
                    offset: *offset,
                };
                return Err(ContentsError::Missing { at });
            }
        }
        if seen < wanted.len() {
            let ours = |at: &Location| matches!(at, Location::Layer { layer, .. } if (*layer as usize) < self.layers.len());
            if let Some((at, _)) = wanted.iter().find(|(at, _)| !ours(at)) {
                return Err(ContentsError::Missing { at });
            }
        }
        Ok(())
    }
}

enum Stop {
    Contents(ContentsError),
    Tar(OciError),
}

/// Hands over `files`; `each` of them is checked by its digest, unless that of the blob is taken.
fn visit_layer(
    tar: &mut dyn Read,
    limits: Limits,
    layer: u32,
    files: &mut BTreeMap<u64, WantedFile>,
    sink: &mut dyn ContentSink,
    each: bool,
) -> Result<(), Stop> {
    let mut reader = TarReader::new(tar, limits);
    while !files.is_empty() {
        let Some(header) = reader.next().map_err(|error| Stop::Tar(error.into()))? else {
            break;
        };
        if header.kind != crate::tar::HeaderKind::File {
            continue;
        }
        let Some(file) = files.remove(&header.offset) else {
            continue;
        };
        let at = Location::Layer {
            layer,
            offset: header.offset,
        };
        let changed = || {
            Stop::Contents(ContentsError::Changed {
                at,
                expected: file.content,
            })
        };
        if header.size != file.size {
            return Err(changed());
        }
        let refused = |source| {
            Stop::Contents(ContentsError::Sink {
                at,
                content: file.content,
                source,
            })
        };
        let mut bytes = reader.contents(&header);
        if !each {
            sink.file(at, file.size, &file.content, &mut bytes)
                .map_err(refused)?;
            continue;
        }
        let mut bytes = Hashing::new(bytes);
        sink.file(at, file.size, &file.content, &mut bytes)
            .map_err(refused)?;
        let (_, content, read) = bytes.finish();
        if read == file.size && content != file.content {
            return Err(changed());
        }
    }
    Ok(())
}
