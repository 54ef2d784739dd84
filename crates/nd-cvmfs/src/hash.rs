//! Hashes of stored bytes and the names of objects.

use std::{fmt, str::FromStr};

use md5::Digest as _;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};

/// An algorithm that names objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Algorithm {
    /// SHA-1, what repositories use unless told otherwise.
    #[default]
    Sha1,
    /// RIPEMD-160.
    Rmd160,
    /// SHAKE-128 with 160 bits of output.
    Shake128,
}

impl Algorithm {
    /// What follows the hex digits in text.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Sha1 => "",
            Self::Rmd160 => "-rmd160",
            Self::Shake128 => "-shake128",
        }
    }

    /// The number in bits 8 to 10 of a row's flags.
    pub fn bits(self) -> u32 {
        match self {
            Self::Sha1 => 0,
            Self::Rmd160 => 1,
            Self::Shake128 => 2,
        }
    }

    /// The algorithm of a number in a row's flags.
    pub fn of_bits(bits: u32) -> Option<Self> {
        match bits {
            0 => Some(Self::Sha1),
            1 => Some(Self::Rmd160),
            2 => Some(Self::Shake128),
            _ => None,
        }
    }

    /// The hash of `bytes`.
    pub fn hash(self, bytes: &[u8]) -> ObjectHash {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// A hash of bytes taken piece by piece.
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
}

enum State {
    Sha1(sha1::Sha1),
    Rmd160(ripemd::Ripemd160),
    Shake128(shake::Shake128),
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Hasher {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::default()),
            Algorithm::Rmd160 => State::Rmd160(ripemd::Ripemd160::default()),
            Algorithm::Shake128 => State::Shake128(shake::Shake128::default()),
        };
        Self { algorithm, state }
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha1(state) => sha1::Digest::update(state, bytes),
            State::Rmd160(state) => ripemd::Digest::update(state, bytes),
            State::Shake128(state) => state.update(bytes),
        }
    }

    /// The hash of all bytes taken.
    pub fn finish(self) -> ObjectHash {
        let mut digest = [0; 20];
        match self.state {
            State::Sha1(state) => digest = sha1::Digest::finalize(state).into(),
            State::Rmd160(state) => digest = ripemd::Digest::finalize(state).into(),
            State::Shake128(state) => state.finalize_xof().read(&mut digest),
        }
        ObjectHash {
            algorithm: self.algorithm,
            digest,
        }
    }
}

/// The hash that names an object: 20 bytes and their algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectHash {
    /// Which algorithm.
    pub algorithm: Algorithm,
    /// Its output.
    pub digest: [u8; 20],
}

/// The text names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no hash of 40 hex digits with a known suffix")]
pub struct ParseHashError(pub String);

impl ObjectHash {
    /// Forty zeros, what stands for "no predecessor".
    pub const NONE: Self = Self {
        algorithm: Algorithm::Sha1,
        digest: [0; 20],
    };

    /// The path of the object below the root of the storage.
    pub fn path(&self, kind: ObjectKind) -> String {
        let hex = hex(&self.digest);
        let (folder, rest) = hex.split_at(2);
        format!(
            "data/{folder}/{rest}{}{}",
            self.algorithm.suffix(),
            kind.letter()
        )
    }

    /// The object that a path below the root of the storage names, if it names one.
    pub fn of_path(path: &str) -> Option<(Self, ObjectKind)> {
        let rest = path.strip_prefix("data/")?;
        let (folder, rest) = rest.split_once('/')?;
        let hex_length = 40usize.checked_sub(folder.len())?;
        if folder.len() != 2 || !rest.is_ascii() || rest.len() < hex_length {
            return None;
        }
        let (digits, end) = rest.split_at(hex_length);
        let last = end.chars().last();
        let (suffix, kind) = match last.and_then(ObjectKind::of_letter) {
            Some(kind) => (&end[..end.len() - 1], kind),
            None => (end, ObjectKind::File),
        };
        let hash = format!("{folder}{digits}{suffix}").parse().ok()?;
        Some((hash, kind))
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

impl FromStr for ObjectHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseHashError(text.chars().take(80).collect());
        if text.len() < 40 || !text.is_ascii() {
            return Err(fail());
        }
        let (digits, suffix) = text.split_at(40);
        let algorithm = match suffix {
            "" => Algorithm::Sha1,
            "-rmd160" => Algorithm::Rmd160,
            "-shake128" => Algorithm::Shake128,
            _ => return Err(fail()),
        };
        let mut digest = [0; 20];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let value = |c: u8| match c {
                b'0'..=b'9' => Some(c - b'0'),
                b'a'..=b'f' => Some(c - b'a' + 10),
                _ => None,
            };
            match (value(pair[0]), value(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Err(fail()),
            }
        }
        Ok(Self { algorithm, digest })
    }
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.digest))?;
        f.write_str(self.algorithm.suffix())
    }
}

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectHash({self})")
    }
}

/// What an object is; its letter ends the object's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// The content of a whole file.
    File,
    /// One chunk of a file.
    Chunk,
    /// A file catalogue.
    Catalog,
    /// The data base of tags.
    History,
    /// A certificate.
    Certificate,
    /// The JSON that describes the repository.
    MetaInfo,
}

impl ObjectKind {
    /// The letter; none for whole files.
    pub fn letter(self) -> &'static str {
        match self {
            Self::File => "",
            Self::Chunk => "P",
            Self::Catalog => "C",
            Self::History => "H",
            Self::Certificate => "X",
            Self::MetaInfo => "M",
        }
    }

    fn of_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'P' => Self::Chunk,
            'C' => Self::Catalog,
            'H' => Self::History,
            'X' => Self::Certificate,
            'M' => Self::MetaInfo,
            _ => return None,
        })
    }

    /// What it is, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Chunk => "chunk",
            Self::Catalog => "catalogue",
            Self::History => "history",
            Self::Certificate => "certificate",
            Self::MetaInfo => "meta-information",
        }
    }
}

/// The MD5 of a path in two little-endian halves, how catalogues name rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathHash(pub i64, pub i64);

impl PathHash {
    /// What stands for the parent of the root.
    pub const NONE: Self = Self(0, 0);

    /// The hash of an absolute path; the root is the empty path.
    pub fn of(path: &[u8]) -> Self {
        let digest: [u8; 16] = md5::Md5::digest(path).into();
        let half = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&digest[at..at + 8]);
            i64::from_le_bytes(bytes)
        };
        Self(half(0), half(8))
    }
}

#[cfg(test)]
mod tests {
    //! Names and hashes that the format description gives.

    use super::*;

    #[test]
    fn a_path_hash_is_two_halves_of_md5() {
        assert_eq!(
            PathHash::of(b""),
            PathHash(338_333_539_836_370_388, 9_098_107_892_288_553_193)
        );
    }

    #[test]
    fn hashes_have_text_and_paths() {
        let empty = Algorithm::Sha1.hash(&[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]);
        assert_eq!(
            empty.to_string(),
            "e8ec3d88b62ebf526e4e5a4ff6162a3aa48a6b78"
        );
        for algorithm in [Algorithm::Sha1, Algorithm::Rmd160, Algorithm::Shake128] {
            let hash = algorithm.hash(b"abc");
            assert_eq!(hash.to_string().parse::<ObjectHash>().unwrap(), hash);
            for kind in [ObjectKind::File, ObjectKind::Chunk, ObjectKind::Catalog] {
                let path = hash.path(kind);
                assert_eq!(ObjectHash::of_path(&path), Some((hash, kind)), "{path}");
            }
        }
        assert_eq!(
            Algorithm::Shake128.hash(b"abc").to_string(),
            "5881092dd818bf5cf8a3ddb793fbcba74097d5c5-shake128"
        );
        assert_eq!(
            Algorithm::Rmd160.hash(b"abc").to_string(),
            "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc-rmd160"
        );
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in [
            "",
            "E8EC3D88B62EBF526E4E5A4FF6162A3AA48A6B78",
            "../../etc",
            "-rmd160",
        ] {
            text.parse::<ObjectHash>().unwrap_err();
        }
        for path in ["data/ab/cd", "data/txn/x", "data/a/b", "x", "data/éé/0"] {
            assert_eq!(ObjectHash::of_path(path), None);
        }
    }
}
