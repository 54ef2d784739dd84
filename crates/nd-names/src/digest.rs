//! SHA-256 digests as values.

use std::{
    fmt,
    io::{self, Read, Write},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// A SHA-256 digest: 32 bytes, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

/// The text is no SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a SHA-256 digest of 64 lower-case hex digits")]
pub struct ParseDigestError {
    /// What was given.
    pub text: String,
}

impl Sha256 {
    /// The digest of `bytes`.
    ///
    /// ```
    /// let digest = nd_names::Sha256::of("abc").hex();
    /// assert!(digest.starts_with("ba7816bf8f01cfea") && digest.ends_with("b410ff61f20015ad"));
    /// ```
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of all that `input` still gives.
    ///
    /// # Errors
    ///
    /// Those of `input`.
    pub fn of_rest(mut input: impl Read) -> io::Result<Self> {
        let mut hasher = Sha256Hasher::default();
        let mut buffer = vec![0; PORTION];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Wraps 32 digest bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 digest bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits, without a prefix.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.0
            .iter()
            .flat_map(|b| [b >> 4, b & 15])
            .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
            .collect()
    }

    /// The OCI form `sha256:<hex>`.
    pub fn oci(&self) -> String {
        format!("sha256:{}", self.hex())
    }
}

/// What is read at a time.
const PORTION: usize = 256 << 10;

/// Takes the digest of bytes that come piece by piece, written or handed over.
#[derive(Debug, Clone, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// The digest of all of them.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl Write for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FromStr for Sha256 {
    type Err = ParseDigestError;

    /// Reads 64 lower-case hex digits, with or without the prefix `sha256:`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let err = || ParseDigestError { text: text.into() };
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if hex.len() != 64 {
            return Err(err());
        }
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(err()),
        };
        let mut bytes = [0; 32];
        for (out, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *out = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = ParseDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.oci()
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({})", self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let text = "bfdeaeb08cffb6a36438bcd12dda25417e3cdd36f1e7e482a2849d539225288b";
        let digest: Sha256 = text.parse().unwrap();
        assert_eq!(digest.hex(), text);
        assert_eq!(digest.oci().parse(), Ok(digest));
    }

    #[test]
    fn pieces_and_what_is_read_give_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..=PORTION).map(|n| n as u8).collect();
        let whole = Sha256::of(&bytes);
        assert_eq!(Sha256::of_rest(&bytes[..]).unwrap(), whole);
        let mut hasher = Sha256Hasher::default();
        hasher.update(&bytes[..7]);
        hasher.write_all(&bytes[7..]).unwrap();
        assert_eq!(hasher.finish(), whole);
    }

    #[test]
    fn refuses_other_lengths_cases_and_prefixes() {
        for bad in ["", "sha256:", &"A".repeat(64), &"a".repeat(63), "sha512:00"] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }
}
