//! The lock of a site: which containers, of which build, with which bytes and modules.

use nd_modulefile::Dialect;
use nd_names::{AppName, AppVersion, BuildDate, ImageName, Sha256};
use serde::{Deserialize, Serialize};
use transparent_singularity::{InstallRecord, Placement, WrapperStyle};

/// Version of the form.
const VERSION: u32 = 1;
/// First line of locks that are written.
const HEAD: &str =
    "# Written by `neurocommand lock`; `neurocommand sync FILE` makes a site equal to it.\n";

/// A set of containers, sorted by name, version and date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteLock {
    version: u32,
    #[serde(default, rename = "container")]
    containers: Vec<Pinned>,
}

/// One container of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Its name.
    pub name: AppName,
    /// Its version.
    pub version: AppVersion,
    /// The date of its build.
    pub date: BuildDate,
    /// SHA-256 of the image file; images that are folders or links into CVMFS have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Its module files, paths below the folder of modules; those of the settings when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// Default options of the runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// How commands are wrapped.
    #[serde(default)]
    pub wrappers: WrapperStyle,
    /// Whether the image is unpacked into a folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpacked: bool,
}

/// Why a text is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// It is no TOML, or not of the form of a lock.
    #[error("the text is no lock of a site")]
    Toml(#[from] toml::de::Error),
    /// It is of a version that this program does not know.
    #[error("the lock is of version {0}, and this program knows version {VERSION}")]
    Version(u32),
    /// One tool has one version twice, and only one of them can have the module.
    #[error("`{name}/{version}` stands twice in the lock")]
    Twice {
        /// The tool.
        name: AppName,
        /// Its version.
        version: AppVersion,
    },
    /// A module file that no installation of this container writes.
    #[error("`{module}` is no module file of `{image}`; these are `{name}/{version}` and `{name}/{version}.lua`", name = image.app, version = image.version)]
    Module {
        /// The file.
        module: String,
        /// The container.
        image: ImageName,
    },
}

impl Pinned {
    /// The full name of the image.
    pub fn image(&self) -> ImageName {
        ImageName {
            app: self.name.clone(),
            version: self.version.clone(),
            date: self.date.clone(),
        }
    }

    /// Languages of the module files; `None` when the settings decide.
    pub fn dialects(&self) -> Option<Vec<Dialect>> {
        let of_file = |path: &String| Dialect::of_file(path);
        (!self.modules.is_empty()).then(|| self.modules.iter().map(of_file).collect())
    }

    /// Whether `there`, which is installed, is what is wanted here.
    pub fn is_met_by(&self, there: &Self) -> bool {
        let modules = |of: &Self| {
            let mut modules = of.modules.clone();
            modules.sort();
            modules
        };
        self.image() == there.image()
            && (self.sha256.is_none() || self.sha256 == there.sha256)
            && (self.modules.is_empty() || modules(self) == modules(there))
            && (&self.options, self.wrappers, self.unpacked)
                == (&there.options, there.wrappers, there.unpacked)
    }

    fn of(record: &InstallRecord) -> Self {
        let ImageName { app, version, date } = record.name();
        Self {
            name: app,
            version,
            date,
            sha256: record
                .sha256()
                .filter(|_| record.placement == Placement::File),
            modules: record
                .modules
                .iter()
                .map(|file| file.path.clone())
                .collect(),
            options: record.options.clone(),
            wrappers: record.style,
            unpacked: record.placement == Placement::Folder,
        }
    }
}

impl SiteLock {
    /// The lock of what is installed.
    pub fn of(records: &[InstallRecord]) -> Self {
        let mut containers: Vec<Pinned> = records.iter().map(Pinned::of).collect();
        containers.sort_by_key(Pinned::image);
        Self {
            version: VERSION,
            containers,
        }
    }

    /// Reads a lock.
    ///
    /// # Errors
    ///
    /// See [`LockError`].
    pub fn parse(text: &str) -> Result<Self, LockError> {
        let mut lock: Self = toml::from_str(text)?;
        if lock.version != VERSION {
            return Err(LockError::Version(lock.version));
        }
        lock.containers.sort_by_key(Pinned::image);
        for pair in lock.containers.windows(2) {
            if (&pair[0].name, &pair[0].version) == (&pair[1].name, &pair[1].version) {
                return Err(LockError::Twice {
                    name: pair[0].name.clone(),
                    version: pair[0].version.clone(),
                });
            }
        }
        for pinned in &lock.containers {
            let lua = format!("{}/{}.lua", pinned.name, pinned.version);
            let tcl = format!("{}/{}", pinned.name, pinned.version);
            for module in &pinned.modules {
                if *module != lua && *module != tcl {
                    return Err(LockError::Module {
                        module: module.clone(),
                        image: pinned.image(),
                    });
                }
            }
        }
        Ok(lock)
    }

    /// The lock as it is written.
    pub fn render(&self) -> String {
        // Every value is text, a list of text or a flag, which TOML has words for.
        let body = toml::to_string(self).unwrap_or_default();
        format!("{HEAD}{body}")
    }

    /// The containers.
    pub fn containers(&self) -> &[Pinned] {
        &self.containers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version = 1\n[[container]]\nname = \"b\"\nversion = \"1.10\"\ndate = \"20240101\"\n\
        sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
        modules = [\"b/1.10.lua\"]\n[[container]]\nname = \"a\"\nversion = \"2\"\ndate = \"20240102\"\n\
        wrappers = \"script\"\noptions = [\"--nv\"]\n";

    #[test]
    fn what_is_written_reads_back() {
        let lock = SiteLock::parse(TEXT).unwrap();
        let names: Vec<&str> = lock
            .containers()
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(SiteLock::parse(&lock.render()).unwrap(), lock);
        assert!(SiteLock::of(&[]).containers().is_empty());
        let empty = SiteLock::of(&[]);
        assert_eq!(SiteLock::parse(&empty.render()).unwrap(), empty);
    }

    #[test]
    fn what_cannot_be_a_lock_is_none() {
        for (from, to) in [
            ("version = 1\n", "version = 2\n"),
            ("version = 1\n", ""),
            ("\"20240101\"", "\"20241301\""),
            ("name = \"b\"", "name = \"../b\""),
            (
                "name = \"a\"\nversion = \"2\"",
                "name = \"b\"\nversion = \"1.10\"",
            ),
            ("b/1.10.lua", "b/../../x.lua"),
            ("ba7816bf", "ba78"),
            ("options", "optoins"),
            ("\"script\"", "\"skript\""),
        ] {
            assert!(TEXT.contains(from), "{from}");
            let bad = TEXT.replacen(from, to, 1);
            assert!(SiteLock::parse(&bad).is_err(), "{from} -> {to}");
        }
    }
}
