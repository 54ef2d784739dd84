//! A layer of an image, as plans, records and results name it.

use nd_names::Sha256;
use nd_oci::{Compression, LayerBlob, layer_descriptor};
use oci_spec::image::Descriptor;
use serde::{Deserialize, Serialize};

/// A layer whose blob lies in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayer {
    /// SHA-256 of the uncompressed tar.
    pub diff_id: Sha256,
    /// SHA-256 of the blob.
    pub digest: Sha256,
    /// Bytes of the blob.
    pub size: u64,
    /// How the blob is compressed: `none`, `gzip` or `zstd`.
    #[serde(with = "word")]
    pub compression: Compression,
}

/// A word that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression `{word}`, expected `none`, `gzip` or `zstd`")]
pub struct UnknownCompression {
    /// The word.
    pub word: String,
}

impl ImageLayer {
    /// What a manifest says of it.
    pub fn descriptor(&self) -> Descriptor {
        layer_descriptor(self.compression, self.digest, self.size)
    }

    /// Its blob.
    pub fn blob(&self) -> LayerBlob {
        LayerBlob {
            digest: self.digest,
            compression: self.compression,
        }
    }
}

/// The word for a compression, also part of names of records.
pub(crate) fn compression_word(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}

/// The compression of that word.
pub(crate) fn compression_of_word(word: &str) -> Option<Compression> {
    let all = [Compression::None, Compression::Gzip, Compression::Zstd];
    all.into_iter().find(|c| compression_word(*c) == word)
}

mod word {
    //! Compressions as words.

    use super::{Compression, UnknownCompression, compression_of_word, compression_word};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde asks for this form"
    )]
    pub(super) fn serialize<S: Serializer>(
        compression: &Compression,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.serialize_str(compression_word(*compression))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Compression, D::Error> {
        let word = String::deserialize(input)?;
        compression_of_word(&word).ok_or_else(|| D::Error::custom(UnknownCompression { word }))
    }
}
