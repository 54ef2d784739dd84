//! Settings: sources, site and exposing, from one file.

use std::path::{Path, PathBuf};

use nd_host::Environment;
use nd_modulefile::Dialect;
use serde::Deserialize;

use crate::Excludes;

/// What stands when no file says otherwise.
const BUILT_IN: &str = include_str!("../data/settings.toml");
/// Name of the file in folders of settings.
const FILE: &str = "transparent-singularity.toml";

/// Settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the list of published images is.
    pub list_url: String,
    /// Sources of images, in the order in which they are tried.
    pub sources: Vec<SourceSetting>,
    /// What the site decides.
    pub site: SiteSetting,
    /// Patience with sources.
    pub network: NetworkSetting,
    /// Programs that are not exposed.
    pub excludes: Excludes,
    /// The file they come from; `None` for those of this program alone.
    pub file: Option<PathBuf>,
}

/// One source of images.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SourceSetting {
    /// What `--storage` calls it.
    pub name: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: SourceKind,
}

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SourceKind {
    /// Unpacked images at `PATH/STEM/STEM.simg`.
    Cvmfs {
        /// The folder of containers.
        path: PathBuf,
    },
    /// SIF files that refer to images of a registry, `REGISTRY/TOOL:VERSION_DATE`.
    Referrer {
        /// Registry and namespace.
        registry: String,
        /// Spoken to without encryption.
        #[serde(default)]
        plain_http: bool,
    },
    /// SIF files at `URL/STEM.simg`.
    Objects {
        /// Where.
        url: String,
        /// Where else, after that.
        #[serde(default)]
        also: Vec<String>,
        /// Address of the file with the SHA-256 of an image, in which `{stem}` stands for the image.
        #[serde(default)]
        checksum: Option<String>,
    },
    /// Images of a registry, `REGISTRY/TOOL:VERSION_DATE`, which are converted.
    Registry {
        /// Registry and namespace.
        registry: String,
        /// Spoken to without encryption.
        #[serde(default)]
        plain_http: bool,
    },
}

/// What the site decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteSetting {
    /// Where images are installed when nobody says.
    pub prefix: Option<PathBuf>,
    /// Prefixes that are looked at besides, read-only.
    pub stack: Vec<PathBuf>,
    /// Languages of module files, `lua` and `tcl`.
    pub modules: Option<Vec<String>>,
    /// Group that owns what is installed: a name or a number. Folders then have its set-gid bit and
    /// are writable for it.
    pub group: Option<String>,
    /// Folder of lines added to modules: `TOOL.lua` and `TOOL.tcl`, in which `toolVersion` stands for
    /// the version.
    pub additions: Option<PathBuf>,
    /// Bytes that stay free in the prefix.
    pub keep_free: Option<u64>,
}

/// Patience with sources: a source that stalls should not keep the next one from being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSetting {
    /// Seconds until a connection stands.
    pub connect: u64,
    /// Seconds without a byte after which a connection is given up.
    pub idle: u64,
    /// Failures in a row after which a source is given up.
    pub attempts: u32,
}

impl Default for NetworkSetting {
    fn default() -> Self {
        Self {
            connect: 10,
            idle: 30,
            attempts: 3,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    network: Option<NetworkSetting>,
    list: Option<ListSetting>,
    source: Option<Vec<SourceSetting>>,
    site: Option<SiteSetting>,
    expose: Option<ExposeSetting>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListSetting {
    url: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ExposeSetting {
    hide: Vec<String>,
    show: Vec<String>,
}

/// Why settings cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("failed to read the settings")]
    Io(#[source] std::io::Error),
    /// The file does not say what settings say.
    #[error("the settings in `{}` cannot be read", path.display())]
    Toml {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A language of module files that is none.
    #[error("`{0}` is no language of module files; use `lua` or `tcl`")]
    Dialect(String),
}

impl Settings {
    /// The settings of `given`, else of the user, else of the machine, over those of this program.
    pub fn load(environment: &Environment, given: Option<&Path>) -> Result<Self, SettingsError> {
        let user = environment
            .config_dir()
            .ok()
            .map(|folder| folder.join(FILE));
        let machine = environment.system_config_dir().join(FILE);
        let places = user.into_iter().chain([machine]);
        let file = match given {
            Some(path) => Some(environment.absolute(path)),
            None => places.into_iter().find(|path| path.is_file()),
        };
        let mut settings = Self::built_in();
        if let Some(path) = file {
            let text = fs_err::read_to_string(&path).map_err(SettingsError::Io)?;
            settings.add(&text, &path)?;
            settings.file = Some(path);
        }
        settings.dialects()?;
        Ok(settings)
    }

    /// The settings of this program.
    ///
    /// # Panics
    ///
    /// Never: a test reads them.
    #[expect(clippy::expect_used, reason = "the settings are part of this program")]
    pub fn built_in() -> Self {
        let mut settings = Self {
            list_url: String::new(),
            sources: Vec::new(),
            site: SiteSetting::default(),
            network: NetworkSetting::default(),
            excludes: Excludes::built_in(),
            file: None,
        };
        let read = settings.add(BUILT_IN, Path::new("settings.toml"));
        read.expect("settings that a test has read");
        settings
    }

    fn add(&mut self, text: &str, path: &Path) -> Result<(), SettingsError> {
        let file: File = toml::from_str(text).map_err(|source| SettingsError::Toml {
            path: path.into(),
            source: Box::new(source),
        })?;
        if let Some(list) = file.list {
            self.list_url = list.url;
        }
        if let Some(sources) = file.source {
            self.sources = sources;
        }
        if let Some(site) = file.site {
            self.site = site;
        }
        if let Some(network) = file.network {
            self.network = network;
        }
        if let Some(expose) = file.expose {
            self.excludes.hide = expose.hide;
            self.excludes.show = expose.show;
        }
        Ok(())
    }

    /// Languages of module files: both, unless the site says otherwise.
    pub fn dialects(&self) -> Result<Vec<Dialect>, SettingsError> {
        let Some(words) = &self.site.modules else {
            return Ok(Dialect::ALL.to_vec());
        };
        let dialect = |word: &String| match word.as_str() {
            "lua" => Ok(Dialect::Lua),
            "tcl" => Ok(Dialect::Tcl),
            _ => Err(SettingsError::Dialect(word.clone())),
        };
        words.iter().map(dialect).collect()
    }

    /// Where images are installed when no option says: what the settings say, else
    /// `~/.local/share/neurodesk/containers`.
    pub fn prefix(&self, environment: &Environment) -> Result<PathBuf, nd_host::NoHome> {
        match &self.site.prefix {
            Some(prefix) => Ok(environment.absolute(prefix)),
            None => Ok(environment.data_dir()?.join("containers")),
        }
    }
}

/// Whether `CVMFS_DISABLE` says that CVMFS is not used: nothing, `0`, `false`, `no` and `off` keep
/// it; `1`, `true`, `yes` and `on` disable it. Anything else disables it too, and is said to be odd.
pub fn cvmfs_disabled(value: Option<&str>) -> (bool, Option<String>) {
    let word = value.unwrap_or_default().trim().to_ascii_lowercase();
    match word.as_str() {
        "" | "0" | "false" | "no" | "off" => (false, None),
        "1" | "true" | "yes" | "on" => (true, None),
        _ => (
            true,
            Some(format!(
                "`CVMFS_DISABLE={word}` is neither yes nor no; CVMFS is not used"
            )),
        ),
    }
}

#[cfg(test)]
mod tests {
    //! What comes with the program, and what a file changes.

    use super::*;

    #[test]
    fn the_sources_stand_in_the_order_of_the_specification() {
        let settings = Settings::built_in();
        let names: Vec<&str> = settings
            .sources
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "cvmfs",
                "quay",
                "ghcr",
                "s3",
                "nectar",
                "quay-docker",
                "ghcr-docker"
            ]
        );
    }

    #[test]
    fn a_file_replaces_what_it_names() {
        let mut settings = Settings::built_in();
        let text = "[site]\nmodules = [\"lua\"]\n[expose]\nshow = [\"pandoc\"]\n\
            [[source]]\nname = \"mine\"\nkind = \"objects\"\nurl = \"https://example.org/\"\n";
        settings.add(text, Path::new("x.toml")).unwrap();
        assert_eq!(settings.sources.len(), 1);
        assert_eq!(settings.dialects().unwrap(), [Dialect::Lua]);
        assert!(settings.list_url.starts_with("https://"));
        for bad in [
            "[site]\nprefx = \"/x\"\n",
            "[[source]]\nname = \"a\"\nkind = \"ftp\"\n",
        ] {
            assert!(settings.add(bad, Path::new("x.toml")).is_err(), "{bad}");
        }
    }

    #[test]
    fn cvmfs_has_one_truth() {
        for keeps in [None, Some(""), Some("false"), Some("0"), Some("NO")] {
            assert_eq!(cvmfs_disabled(keeps), (false, None), "{keeps:?}");
        }
        for disables in ["1", "true", "Yes"] {
            assert_eq!(cvmfs_disabled(Some(disables)), (true, None));
        }
        assert!(cvmfs_disabled(Some("maybe")).1.is_some());
    }
}
