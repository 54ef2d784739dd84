//! The manifest `.cvmfspublished`: which revision is current.

use std::fmt::Write as _;

use crate::{hash::ObjectHash, letter::LetterError, name::RepositoryName};

/// The constant of the field `R`: the MD5 of the empty path.
const ROOT_PATH: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// The manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `C`, the root catalogue.
    pub root_catalog: ObjectHash,
    /// `B`, bytes of the uncompressed root catalogue; 0 when unknown.
    pub root_size: u64,
    /// `D`, how long clients keep the manifest, in seconds.
    pub ttl: u64,
    /// `S`, the revision.
    pub revision: u64,
    /// `G`, whether unreferenced objects may be deleted.
    pub collectable: bool,
    /// `A`, whether alternative catalogue paths exist.
    pub alternative_paths: bool,
    /// `N`, the repository's name.
    pub name: Option<RepositoryName>,
    /// `X`, the certificate.
    pub certificate: Option<ObjectHash>,
    /// `H`, the tags.
    pub history: Option<ObjectHash>,
    /// `T`, when it was published, in seconds since 1970.
    pub timestamp: Option<i64>,
    /// `M`, the meta-information.
    pub meta_info: Option<ObjectHash>,
    /// `Y`, the hash of the reference log.
    pub reflog: Option<ObjectHash>,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no signed letter, or its text was changed.
    #[error("the manifest cannot be used: {0}")]
    Letter(#[from] LetterError),
    /// A field that every manifest has is missing.
    #[error("the manifest has no field `{0}`")]
    Missing(char),
    /// A field stands twice; which one counts would be a matter of taste.
    #[error("the manifest has two fields `{0}`")]
    Twice(char),
    /// The value of a field makes no sense.
    #[error("the manifest's field `{field}` has the value `{value}`")]
    Value {
        /// The letter.
        field: char,
        /// The value, shortened.
        value: String,
    },
}

impl Manifest {
    /// Reads the lines of a manifest; its signature is not looked at.
    ///
    /// ```
    /// let text = b"C0000000000000000000000000000000000000001\nRd41d8cd98f00b204e9800998ecf8427e\nD240\nS7\n";
    /// assert_eq!(nd_cvmfs::Manifest::parse_lines(text).unwrap().revision, 7);
    /// ```
    pub fn parse_lines(payload: &[u8]) -> Result<Self, ManifestError> {
        let mut fields = std::collections::BTreeMap::new();
        for line in payload.split(|&b| b == b'\n') {
            let Some((&letter, value)) = line.split_first() else {
                continue;
            };
            let field = letter as char;
            let text = std::str::from_utf8(value).map_err(|_| ManifestError::Value {
                field,
                value: nd_rootfs::show(&value[..value.len().min(80)]),
            })?;
            if fields.insert(field, text).is_some() {
                return Err(ManifestError::Twice(field));
            }
        }
        let get = |field: char| fields.get(&field).copied();
        let wrong = |field: char, value: &str| ManifestError::Value {
            field,
            value: value.chars().take(80).collect(),
        };
        let need = |field: char| get(field).ok_or(ManifestError::Missing(field));
        let hash = |field: char| {
            get(field)
                .map(|text| text.parse().map_err(|_| wrong(field, text)))
                .transpose()
        };
        let number = |field: char, text: &str| text.parse().map_err(|_| wrong(field, text));
        let yes = |field: char| match get(field) {
            None | Some("no") => Ok(false),
            Some("yes") => Ok(true),
            Some(other) => Err(wrong(field, other)),
        };
        let root_path = need('R')?;
        if root_path != ROOT_PATH {
            return Err(wrong('R', root_path));
        }
        Ok(Self {
            root_catalog: hash('C')?.ok_or(ManifestError::Missing('C'))?,
            root_size: get('B').map_or(Ok(0), |text| number('B', text))?,
            ttl: number('D', need('D')?)?,
            revision: number('S', need('S')?)?,
            collectable: yes('G')?,
            alternative_paths: yes('A')?,
            name: get('N')
                .map(|text| text.parse().map_err(|_| wrong('N', text)))
                .transpose()?,
            certificate: hash('X')?,
            history: hash('H')?,
            timestamp: get('T')
                .map(|text| text.parse().map_err(|_| wrong('T', text)))
                .transpose()?,
            meta_info: hash('M')?,
            reflog: hash('Y')?,
        })
    }

    /// The lines, in the order in which CVMFS writes them.
    pub fn to_lines(&self) -> Vec<u8> {
        let mut out = String::new();
        let yes = |value| if value { "yes" } else { "no" };
        let _ = writeln!(out, "C{}", self.root_catalog);
        let _ = writeln!(out, "B{}", self.root_size);
        let _ = writeln!(out, "R{ROOT_PATH}");
        let _ = writeln!(out, "D{}", self.ttl);
        let _ = writeln!(out, "S{}", self.revision);
        let _ = writeln!(out, "G{}", yes(self.collectable));
        let _ = writeln!(out, "A{}", yes(self.alternative_paths));
        let mut optional = |letter: char, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(out, "{letter}{value}");
            }
        };
        optional('N', self.name.as_ref().map(ToString::to_string));
        optional('X', self.certificate.map(|hash| hash.to_string()));
        optional('H', self.history.map(|hash| hash.to_string()));
        optional('T', self.timestamp.map(|time| time.to_string()));
        optional('M', self.meta_info.map(|hash| hash.to_string()));
        optional('Y', self.reflog.map(|hash| hash.to_string()));
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    //! Lines come back; what is wrong is named.

    use super::*;
    use crate::hash::Algorithm;

    #[test]
    fn lines_come_back() {
        let hash = |text: &str| Algorithm::Shake128.hash(text.as_bytes());
        let manifest = Manifest {
            root_catalog: hash("c"),
            root_size: 4096,
            ttl: 240,
            revision: 7,
            collectable: true,
            alternative_paths: false,
            name: Some("a.b".parse().unwrap()),
            certificate: Some(hash("x")),
            history: None,
            timestamp: Some(1_700_000_000),
            meta_info: Some(hash("m")),
            reflog: Some(hash("y")),
        };
        assert_eq!(Manifest::parse_lines(&manifest.to_lines()), Ok(manifest));
    }

    #[test]
    fn wrong_lines_are_named() {
        let good = "C0000000000000000000000000000000000000001\nRd41d8cd98f00b204e9800998ecf8427e\nD240\nS7\n";
        let parse = |text: &str| Manifest::parse_lines(text.as_bytes());
        assert!(parse(&format!("{good}Qunknown\n")).is_ok());
        assert_eq!(
            parse(&good.replace("D240\n", "")),
            Err(ManifestError::Missing('D'))
        );
        assert_eq!(
            parse(&format!("{good}S8\n")),
            Err(ManifestError::Twice('S'))
        );
        for (from, to) in [
            ("Rd4", "Rd5"),
            ("S7", "S-7"),
            ("C00", "C../"),
            ("D240", "D"),
        ] {
            assert!(matches!(
                parse(&good.replace(from, to)),
                Err(ManifestError::Value { .. })
            ));
        }
    }
}
