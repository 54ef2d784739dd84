//! `recipe.lock`: what the builds of a recipe took from elsewhere, in lines that a reviewer can read.
//!
//! Pure: text to values and back, and what differs between two of them.

mod diff;
mod print;

use nd_names::Sha256;
use serde::Deserialize;

pub use diff::{Change, changes};

/// Version of the form of the file.
pub const LOCK_VERSION: u32 = 1;

/// Name of the file in the recipe's folder.
pub const LOCK_FILE: &str = "recipe.lock";

/// A lock file: one part for each container that was locked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockFile {
    /// [`LOCK_VERSION`].
    version: u32,
    /// The containers, by name.
    #[serde(default, rename = "container")]
    pub containers: Vec<LockedContainer>,
}

/// Everything one container took from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedContainer {
    /// Its name, with variant and architecture.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// Base images, in the order in which they are first used.
    #[serde(default, rename = "base")]
    pub bases: Vec<LockedBase>,
    /// States of package archives.
    #[serde(default, rename = "archive")]
    pub archives: Vec<LockedArchive>,
    /// Downloads that the recipe names.
    #[serde(default, rename = "url")]
    pub urls: Vec<LockedUrl>,
    /// Steps that installed something.
    #[serde(default, rename = "step")]
    pub steps: Vec<LockedStep>,
}

/// A base image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedBase {
    /// As the recipe writes it.
    pub reference: String,
    /// Digest of its manifest when it was locked, `sha256:…`; another compression gives another one.
    pub image: String,
    /// Digests of its uncompressed layers, the lowest first: its identity.
    pub layers: Vec<Sha256>,
    /// Ids that it was bootstrapped with, `range` or `single`; owners depend on them, and so the
    /// layers.
    pub ids: Option<String>,
    /// What it is bootstrapped from, `debian:bookworm`.
    pub bootstrap: Option<String>,
    /// Digest over what the archives stated when it was bootstrapped.
    pub archive_state: Option<String>,
    /// The newest date that they stated, RFC 3339.
    pub archive_date: Option<String>,
    /// Packages in it.
    #[serde(default)]
    pub packages: Vec<LockedPackage>,
}

/// The state of one suite of a package archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedArchive {
    /// Its public address, without a final slash.
    pub uri: String,
    /// The suite.
    pub suite: String,
    /// The components.
    pub components: Vec<String>,
    /// The date that it states.
    pub date: String,
    /// The signed statement and the lists of packages, by path below `dists/SUITE`.
    pub files: Vec<LockedFile>,
}

/// A file of a known content.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedFile {
    /// Where it is.
    pub path: String,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

/// A download.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedUrl {
    /// The address, as the recipe has it.
    pub url: String,
    /// Name of the declared file; `README` for the README.
    pub name: String,
    /// Its digest.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// File and line that ask for it.
    pub line: String,
}

/// What one step installed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedStep {
    /// What the step does.
    pub title: String,
    /// File and line that ask for it.
    pub line: String,
    /// Packages of `dpkg`.
    #[serde(default)]
    pub apt: Vec<LockedPackage>,
    /// Distributions of Python.
    #[serde(default)]
    pub pip: Vec<LockedPackage>,
    /// Modules of Node.js.
    #[serde(default)]
    pub npm: Vec<LockedPackage>,
    /// Packages of conda.
    #[serde(default)]
    pub conda: Vec<LockedPackage>,
    /// What was changed and cannot be read: databases of `rpm`.
    #[serde(default)]
    pub unread: Vec<String>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version; for conda with the build.
    pub version: String,
    /// Its architecture, where packages have one.
    pub architecture: Option<String>,
    /// Where it can be had: the public address, or the place in the image it was found at.
    pub url: Option<String>,
    /// Digest of the package file.
    pub sha256: Option<Sha256>,
    /// Size of the package file in bytes.
    pub size: Option<u64>,
}

/// A lock file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is not of the form.
    #[error("{0}")]
    Form(#[source] Box<toml::de::Error>),
    /// It was written by a newer version.
    #[error("it has version {0}, and this program reads version {LOCK_VERSION}")]
    Version(u32),
}

impl LockFile {
    /// A file of these containers.
    pub fn new(containers: Vec<LockedContainer>) -> Self {
        Self {
            version: LOCK_VERSION,
            containers,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it is not of the form, or of a newer version.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let form = |error| LockError::Form(Box::new(error));
        let head: Head = toml::from_str(text).map_err(form)?;
        if head.version != LOCK_VERSION {
            return Err(LockError::Version(head.version));
        }
        toml::from_str(text).map_err(form)
    }

    /// The part about the container of this name.
    pub fn container(&self, name: &str) -> Option<&LockedContainer> {
        self.containers.iter().find(|locked| locked.name == name)
    }

    /// Puts a container in, in place of an earlier one of its name.
    pub fn set(&mut self, container: LockedContainer) {
        self.version = LOCK_VERSION;
        self.containers.retain(|known| known.name != container.name);
        self.containers.push(container);
        self.containers.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

impl LockedContainer {
    /// All packages of `dpkg`, those of bases first.
    pub fn debs(&self) -> impl Iterator<Item = &LockedPackage> {
        let bases = self.bases.iter().flat_map(|base| &base.packages);
        bases.chain(self.steps.iter().flat_map(|step| &step.apt))
    }

    /// What nobody can fetch by a digest: one line each, with the step that installed it.
    pub fn unfetchable(&self) -> Vec<String> {
        let mut out = Vec::new();
        for base in &self.bases {
            if base.bootstrap.is_some() {
                let missing = base.packages.iter().filter(|one| one.sha256.is_none());
                out.extend(missing.map(|one| format!("{}: apt {one}", base.reference)));
            }
        }
        for step in &self.steps {
            let kinds = [
                ("apt", &step.apt, true),
                ("pip", &step.pip, false),
                ("npm", &step.npm, false),
                ("conda", &step.conda, false),
            ];
            for (kind, packages, can) in kinds {
                let missing = packages.iter().filter(|one| !can || one.sha256.is_none());
                out.extend(missing.map(|one| format!("{}: {kind} {one}", step.line)));
            }
            out.extend(
                step.unread
                    .iter()
                    .map(|what| format!("{}: {what}", step.line)),
            );
        }
        out
    }
}

impl std::fmt::Display for LockedPackage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}
