//! A prefix: containers, modules and what is known of them.
//!
//! `PREFIX/STEM/` holds a container, `PREFIX/modules/TOOL/VERSION{.lua,}` its modules, and
//! `PREFIX/.state/` records, locks and what is being made.

mod adopt;
mod apply;
mod kept;
mod record;
mod remove;

use std::{
    io,
    path::{Path, PathBuf},
};

use nd_host::FileLock;
use nd_names::ImageName;

pub(crate) use self::{adopt::SCRIPT, apply::remove_tree};
pub use self::{
    apply::{Applied, Staged, place_image},
    record::{InstallRecord, RecordError, RecordedFile, SourceRecord, Unpacked},
    remove::{Leftover, Removed},
};

/// The folder of module files.
pub const MODULES: &str = "modules";
/// The folder of records, locks and unfinished work.
pub const STATE: &str = ".state";

/// Why a prefix cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Something cannot be written or read.
    #[error("failed to {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Nothing of this name is installed.
    #[error("`{name}` is not installed in `{}`", prefix.display())]
    NotInstalled {
        /// What was asked for.
        name: String,
        /// Where.
        prefix: PathBuf,
    },
    /// Something that is not ours stands where a container would.
    #[error("`{}` is there and was not installed by this program", .0.display())]
    Foreign(PathBuf),
    /// Not enough room.
    #[error("`{}` has {free} bytes left and {needed} are needed", path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
}

impl SiteError {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// A prefix.
#[derive(Debug, Clone)]
pub struct Site {
    prefix: PathBuf,
}

impl Site {
    /// The prefix at this absolute path; nothing is read or made yet.
    pub fn new(prefix: impl Into<PathBuf>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The prefix.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The folder that becomes part of `MODULEPATH`.
    pub fn modules(&self) -> PathBuf {
        self.prefix.join(MODULES)
    }

    /// The folder of state.
    pub fn state(&self) -> PathBuf {
        self.prefix.join(STATE)
    }

    /// Where the store of downloads is.
    pub fn store(&self) -> PathBuf {
        self.state().join("store")
    }

    fn records(&self) -> PathBuf {
        self.state().join("images")
    }

    pub(crate) fn staging(&self) -> PathBuf {
        self.state().join("staging")
    }

    pub(crate) fn record_path(&self, stem: &str) -> PathBuf {
        self.records().join(format!("{stem}.json"))
    }

    /// Makes the folders of an empty prefix, and removes what killed runs left behind.
    pub fn prepare(&self) -> Result<(), SiteError> {
        for folder in [
            self.modules(),
            self.records(),
            self.staging(),
            self.state().join("locks"),
        ] {
            fs_err::create_dir_all(&folder).map_err(SiteError::io("make", &folder))?;
        }
        self.recover()
    }

    /// Prepares the prefix and keeps it from being taken away as an empty one, as long as the value
    /// lives.
    pub fn enter(&self) -> Result<FileLock, SiteError> {
        // Whoever removes an empty prefix may be just at it.
        for _ in 0..50 {
            match self.prepare() {
                Err(SiteError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(()) => match FileLock::shared(&self.in_use()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => return other.map_err(SiteError::io("lock", self.in_use())),
                },
            }
        }
        self.prepare()?;
        FileLock::shared(&self.in_use()).map_err(SiteError::io("lock", self.in_use()))
    }

    pub(crate) fn in_use(&self) -> PathBuf {
        self.state().join("in-use")
    }

    /// Waits for the right to change builds of this tool and version; it ends with the value.
    pub fn lock(&self, image: &ImageName) -> Result<FileLock, SiteError> {
        let path = self.lock_path(&format!("{}_{}", image.app, image.version));
        FileLock::exclusive(&path).map_err(SiteError::io("lock", path))
    }

    pub(crate) fn lock_path(&self, name: &str) -> PathBuf {
        self.state().join("locks").join(format!("{name}.lock"))
    }

    /// The record of an image.
    pub fn record(&self, stem: &str) -> Result<Option<InstallRecord>, SiteError> {
        Ok(InstallRecord::load(&self.record_path(stem), stem)?)
    }

    /// All records, by image name; a record that cannot be read is an error of its own.
    pub fn all_records(&self) -> Result<Vec<Result<InstallRecord, RecordError>>, SiteError> {
        let folder = self.records();
        let entries = match fs_err::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SiteError::io("list", folder)(error)),
        };
        let mut stems = Vec::new();
        for entry in entries {
            let name = entry.map_err(SiteError::io("list", &folder))?.file_name();
            if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                stems.push(stem.to_owned());
            }
        }
        stems.sort();
        let load = |stem: String| InstallRecord::load(&self.record_path(&stem), &stem).transpose();
        Ok(stems.into_iter().filter_map(load).collect())
    }

    /// The records that are committed: whose last module file is there and names their image; and
    /// folders of upstream's script.
    pub fn installed(&self) -> Result<Vec<InstallRecord>, SiteError> {
        let mut out = Vec::new();
        for record in self.all_records()?.into_iter().flatten() {
            if self.is_committed(&record) {
                out.push(record);
            }
        }
        out.extend(self.adopted()?);
        out.sort_by(|a, b| a.image.cmp(&b.image));
        Ok(out)
    }

    /// The folder of a container.
    pub fn folder(&self, record: &InstallRecord) -> PathBuf {
        self.prefix.join(&record.folder)
    }

    /// The image of a container.
    pub fn image(&self, record: &InstallRecord) -> PathBuf {
        self.folder(record).join(format!("{}.simg", record.image))
    }

    /// Whether the module file that commits a record names it.
    pub fn is_committed(&self, record: &InstallRecord) -> bool {
        let Some(last) = record.modules.last() else {
            return self.folder(record).join(crate::COMMANDS).is_file();
        };
        let path = self.modules().join(&last.path);
        fs_err::read_to_string(path).is_ok_and(|text| names_image(&text, &record.image))
    }

    /// What `name` means here: a full image name, `TOOL/VERSION` (its newest build) or `TOOL` (its
    /// newest version).
    pub fn find(&self, name: &str) -> Result<InstallRecord, SiteError> {
        let installed = self.installed()?;
        let wanted: Vec<ImageName> = installed.iter().map(InstallRecord::name).collect();
        let found = crate::choose(name, &wanted).map(ImageName::stem);
        let found = found.and_then(|stem| installed.into_iter().find(|one| one.image == stem));
        found.ok_or_else(|| SiteError::NotInstalled {
            name: name.to_owned(),
            prefix: self.prefix.clone(),
        })
    }
}

/// Whether a module file is the one of this image: its first line of `whatis` names it.
pub(crate) fn names_image(text: &str, stem: &str) -> bool {
    let whatis = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("whatis(") || line.starts_with("module-whatis")
    };
    let first = text.lines().find(whatis);
    first.is_some_and(|line| {
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        words
            .into_iter()
            .any(|word| word.strip_suffix(".simg").unwrap_or(word) == stem)
    })
}
