//! What an installation wrote, kept so that exactly that can be verified, repaired and removed.

use std::{collections::BTreeMap, io, path::Path};

use nd_names::{ImageName, Sha256};
use serde::{Deserialize, Serialize};

use crate::{EnvironmentSource, ModuleFile, Placement, WrapperStyle};

/// Version of the form.
const VERSION: u32 = 1;
/// Longer records are none.
const LONGEST: u64 = 64 << 20;

/// What an installation wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallRecord {
    /// Version of the form, 1.
    pub version: u32,
    /// The image's full name.
    pub image: String,
    /// Name of the container's folder below the prefix.
    pub folder: String,
    /// When, RFC 3339.
    pub installed: String,
    /// Version of the program that wrote it; `upstream` for a folder of upstream's script.
    pub by: String,
    /// What the image is on disk.
    pub placement: Placement,
    /// How commands are wrapped.
    pub style: WrapperStyle,
    /// Where the image came from.
    pub source: SourceRecord,
    /// The tree digest that the image names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// What an image is that was unpacked, as it was read back from the disk; of files and links nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<Unpacked>,
    /// Labels of the image.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Default options of the runtime.
    #[serde(default)]
    pub options: Vec<String>,
    /// What the variables were read from.
    pub environment: EnvironmentSource,
    /// Variables that `env -0` told and the files did not.
    #[serde(default)]
    pub difference: BTreeMap<String, String>,
    /// Commands.
    pub commands: Vec<String>,
    /// Files in the container's folder, the image excepted.
    pub files: Vec<RecordedFile>,
    /// Module files, in the order of writing.
    pub modules: Vec<ModuleFile>,
}

/// What an unpacked image is: digests of all that is in its folder. Modes but for being executable, owners and times are in
/// none of them, so that a folder can be copied and handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unpacked {
    /// The tree digest.
    pub tree: String,
    /// The digest of what that leaves out.
    pub rest: String,
}

impl Unpacked {
    /// Reads every byte of a folder.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or changes meanwhile.
    pub fn of(folder: &Path) -> Result<Self, nd_oci::DirectoryError> {
        let digests = nd_rootfs::digests(&nd_oci::read_directory(folder)?.0);
        Ok(Self {
            tree: digests.tree.to_string(),
            rest: digests.rest.to_string(),
        })
    }
}

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The source, without anything secret.
    pub from: String,
    /// SHA-256 of the image file; of folders and links nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Bytes of the image file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What vouches for the bytes; `None` when only their number was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Path in the container's folder.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Permission bits.
    pub mode: u32,
}

/// Why a record cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read or written.
    #[error("failed to access the record of `{image}`")]
    Io {
        /// Of which image.
        image: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no record.
    #[error("the record of `{image}` cannot be read")]
    Json {
        /// Of which image.
        image: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is of a newer version, or names what no installation writes.
    #[error("the record of `{image}` is not of this program: {problem}")]
    Form {
        /// Of which image.
        image: String,
        /// What is wrong.
        problem: String,
    },
}

impl InstallRecord {
    /// Version of the form of new records.
    pub const VERSION: u32 = VERSION;

    /// Reads the record of `image` from the file `path`; `None` when there is none.
    pub fn load(path: &Path, image: &str) -> Result<Option<Self>, RecordError> {
        let io = |source| RecordError::Io {
            image: image.to_owned(),
            source,
        };
        let length = match fs_err::metadata(path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        let form = |problem: &str| RecordError::Form {
            image: image.to_owned(),
            problem: problem.to_owned(),
        };
        if length > LONGEST {
            return Err(form("it is too long"));
        }
        let bytes = fs_err::read(path).map_err(io)?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|source| RecordError::Json {
            image: image.to_owned(),
            source,
        })?;
        record.check().map_err(|problem| form(&problem))?;
        Ok(Some(record))
    }

    /// A record decides what is removed: nothing in it leads out of its folders.
    fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("version {}", self.version));
        }
        if self.image.parse::<ImageName>().is_err() {
            return Err(format!("`{}` is no image name", self.image));
        }
        if !is_name(&self.folder) {
            return Err(format!("`{}` is no name of a folder", self.folder));
        }
        let files = self.files.iter().map(|file| &file.path);
        let modules = self.modules.iter().map(|module| &module.path);
        for path in files.chain(modules) {
            if path.split('/').any(|part| !is_name(part)) {
                return Err(format!("path `{path}` leaves its folder"));
            }
        }
        Ok(())
    }

    /// The image's name as its parts.
    ///
    /// # Panics
    ///
    /// Never: what was loaded was checked, and what is made is made from a name.
    #[expect(clippy::expect_used, reason = "checked when it was made or loaded")]
    pub fn name(&self) -> ImageName {
        self.image.parse().expect("a checked name")
    }

    /// The digest of the image file, if there is one.
    pub fn sha256(&self) -> Option<Sha256> {
        self.source.sha256.as_deref()?.parse().ok()
    }

    /// The record as it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

fn is_name(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains(['/', '\0'])
}
