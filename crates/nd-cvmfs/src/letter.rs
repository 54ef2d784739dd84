//! The form that manifest and whitelist share: lines, their hash, a signature of the hash's text.

use crate::hash::{Algorithm, ObjectHash};

/// A parsed letter. Nothing is proved until its payload's hash and its signature were compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter<'a> {
    /// The lines, with the newline of the last one.
    pub(crate) payload: &'a [u8],
    /// The text of the hash, which is what the signature signs.
    pub(crate) hash_text: &'a [u8],
    /// The hash.
    pub(crate) hash: ObjectHash,
    /// The signature.
    pub(crate) signature: &'a [u8],
}

/// Why bytes are no letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LetterError {
    /// There is no line `--`.
    #[error("it is not signed")]
    Unsigned,
    /// No hash stands below the line `--`.
    #[error("its hash is missing or malformed")]
    Hash,
    /// The hash is not that of the lines.
    #[error("its hash is not that of its text")]
    Changed,
}

impl<'a> Letter<'a> {
    /// Takes a letter apart; the hash of the payload is compared.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, LetterError> {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\n--\n")
            .ok_or(LetterError::Unsigned)?;
        let (payload, rest) = (&bytes[..=end], &bytes[end + 4..]);
        let length = rest
            .iter()
            .take(100)
            .position(|&b| b == b'\n')
            .ok_or(LetterError::Hash)?;
        let (hash_text, signature) = (&rest[..length], &rest[length + 1..]);
        let hash: ObjectHash = std::str::from_utf8(hash_text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(LetterError::Hash)?;
        if hash.algorithm.hash(payload) != hash {
            return Err(LetterError::Changed);
        }
        Ok(Self {
            payload,
            hash_text,
            hash,
            signature,
        })
    }
}

/// The text that the signature of a letter with this payload signs.
pub(crate) fn hash_text(payload: &[u8], algorithm: Algorithm) -> String {
    algorithm.hash(payload).to_string()
}

/// Puts a letter together.
pub(crate) fn seal(payload: &[u8], hash_text: &str, signature: &[u8]) -> Vec<u8> {
    [payload, b"--\n", hash_text.as_bytes(), b"\n", signature].concat()
}
