//! Images that stay when their containers go, so that an earlier state of the prefix can come back
//! without a download.

use std::{
    io::{self, Read},
    path::PathBuf,
};

use nd_host::AtomicFile;
use nd_names::Sha256;

use super::{InstallRecord, Site, SiteError, apply::remove_if_there, place_image};
use crate::Placement;

impl Site {
    fn kept_folder(&self) -> PathBuf {
        self.state().join("kept")
    }

    fn kept_path(&self, sha256: &Sha256) -> PathBuf {
        self.kept_folder().join(sha256.hex())
    }

    /// Keeps the image of a container under its digest: a second name of the file, which costs no
    /// room while the container is there. `false` for images that are folders or links, which have no
    /// digest.
    ///
    /// # Errors
    ///
    /// When the file cannot be linked or copied.
    pub fn keep(&self, record: &InstallRecord) -> Result<bool, SiteError> {
        let (Placement::File, Some(sha256)) = (record.placement, record.sha256()) else {
            return Ok(false);
        };
        let target = self.kept_path(&sha256);
        if target.is_file() {
            return Ok(true);
        }
        let folder = self.kept_folder();
        fs_err::create_dir_all(&folder).map_err(SiteError::io("make", &folder))?;
        // A copy may be cut short; the name says that the file is whole.
        let new = folder.join(format!(".{}.new", record.image));
        remove_if_there(&new).map_err(SiteError::io("remove", &new))?;
        place_image(&self.image(record), &new).map_err(SiteError::io("keep", &target))?;
        fs_err::rename(&new, &target).map_err(SiteError::io("name", &target))?;
        Ok(true)
    }

    /// Keeps the bytes that `input` gives; `false`, and nothing is kept, when their digest is another.
    ///
    /// # Errors
    ///
    /// When the bytes cannot be read or written.
    pub fn keep_bytes(&self, mut input: impl Read, sha256: &Sha256) -> Result<bool, SiteError> {
        let folder = self.kept_folder();
        fs_err::create_dir_all(&folder).map_err(SiteError::io("make", &folder))?;
        let target = self.kept_path(sha256);
        let write = SiteError::io("write", &target);
        let copied = (|| {
            let mut file = AtomicFile::create(&target)?;
            io::copy(&mut input, &mut file)?;
            let mut written = fs_err::File::open(file.path())?;
            if Sha256::of_rest(&mut written)? != *sha256 {
                return Ok(false);
            }
            file.commit()?;
            Ok(true)
        })();
        copied.map_err(write)
    }

    /// The image that is kept under a digest. Its bytes are read and compared; a file that has
    /// others is removed.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn kept(&self, sha256: &Sha256) -> Result<Option<PathBuf>, SiteError> {
        let path = self.kept_path(sha256);
        let found = match fs_err::File::open(&path) {
            Ok(mut file) => Sha256::of_rest(&mut file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        if found.map_err(SiteError::io("read", &path))? == *sha256 {
            return Ok(Some(path));
        }
        self.forget(sha256)?;
        Ok(None)
    }

    /// Every digest that an image is kept under, with the bytes of the image.
    ///
    /// # Errors
    ///
    /// When the folder cannot be listed.
    pub fn all_kept(&self) -> Result<Vec<(Sha256, u64)>, SiteError> {
        let folder = self.kept_folder();
        let entries = match fs_err::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(SiteError::io("list", folder)(error)),
        };
        let mut kept = Vec::new();
        for entry in entries {
            let entry = entry.map_err(SiteError::io("list", &folder))?;
            let name = entry.file_name();
            let Some(sha256) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let bytes = entry
                .metadata()
                .map_err(SiteError::io("look at", entry.path()))?;
            kept.push((sha256, bytes.len()));
        }
        kept.sort_by_key(|(sha256, _)| *sha256);
        Ok(kept)
    }

    /// Keeps an image no longer. A container that is installed from it stays as it is.
    ///
    /// # Errors
    ///
    /// When the file cannot be removed.
    pub fn forget(&self, sha256: &Sha256) -> Result<(), SiteError> {
        let path = self.kept_path(sha256);
        remove_if_there(&path).map_err(SiteError::io("remove", path))
    }
}
