//! What has to lie in the build folder before a build.

use indexmap::IndexMap;
use nd_instructions::Origin;
use nd_names::Sha256;

/// Everything a build reads besides its instructions.
///
/// Two contexts hold it. The build context holds `README.md`, `build.yaml`, the copy sources and
/// the generated files; the context `neurocontainer-cache` holds one folder per cache id with the
/// files that one `run` asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Staging {
    /// Declared files in order.
    pub files: Vec<DeclaredFile>,
    /// Sources of `copy` in order.
    pub copy_sources: Vec<CopySource>,
    /// By cache id: names of declared files, and what they are called inside the mount.
    pub cache_mounts: IndexMap<String, IndexMap<String, String>>,
    /// By cache id: the text whose digest it is.
    pub cache_texts: IndexMap<String, String>,
    /// Files that the recipe makes up.
    pub generated: Vec<GeneratedFile>,
    /// Keys of local contexts that some `run` mounts, in order of first use.
    pub local_contexts: Vec<String>,
}

impl Staging {
    /// The declared file of this name.
    pub fn file(&self, name: &str) -> Option<&DeclaredFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// A declared file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredFile {
    /// Name that the recipe uses.
    pub name: String,
    /// Name in mounts and in the build context.
    pub guest_name: String,
    /// Text of the file, if given.
    pub contents: Option<String>,
    /// Path below the recipe's folder, if given.
    pub filename: Option<String>,
    /// Where to fetch it, if given.
    pub url: Option<String>,
    /// Digest that it has to have.
    pub sha256: Option<Sha256>,
    /// Whether it is made executable.
    pub executable: bool,
    /// Further attempts of a download; 2 when the recipe is silent.
    pub retry: Option<i64>,
    /// Whether plain `http` is accepted.
    pub insecure: bool,
    /// Whether a cached copy is checked for changes.
    pub refresh: bool,
    /// Where it was declared.
    pub origin: Origin,
}

/// Where a declared file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSource<'a> {
    /// This text.
    Contents(&'a str),
    /// A file below the recipe's folder.
    Filename(&'a str),
    /// A download.
    Url(&'a str),
    /// Nowhere; only upstream's mode lets that pass.
    Missing,
}

impl DeclaredFile {
    /// Where the file comes from: contents before file name before URL.
    pub fn source(&self) -> FileSource<'_> {
        if let Some(contents) = &self.contents {
            FileSource::Contents(contents)
        } else if let Some(filename) = &self.filename {
            FileSource::Filename(filename)
        } else if let Some(url) = &self.url {
            FileSource::Url(url)
        } else {
            FileSource::Missing
        }
    }

    /// How often a download is attempted.
    pub fn attempts(&self) -> u32 {
        u32::try_from(self.retry.unwrap_or(2).max(0))
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }
}

/// A source of a `copy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Path in the build context, as the `Copy` instruction has it.
    pub source: String,
    /// The declared file that lies there; `None` for the file or folder of the same path below
    /// the recipe's folder.
    pub declared_name: Option<String>,
    /// Where it was asked for.
    pub origin: Origin,
}

/// A file that the recipe makes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Path in the build context.
    pub path: String,
    /// Its text.
    pub contents: String,
}
