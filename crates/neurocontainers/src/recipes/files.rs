//! A recipe's files on disk, as the recipe crate asks for them.

use std::{borrow::Cow, io, path::Path};

use nd_host::{NodeKind, RootDir};
use neurocontainers_recipe::{FileKind, Folder, ReadError, RecipeFiles};

/// The recipe's folder and the include folders; links lead nowhere outside of each.
#[derive(Debug)]
pub struct DiskFiles {
    recipe: RootDir,
    includes: Vec<RootDir>,
}

impl DiskFiles {
    /// Opens the folders. Include folders that do not exist are left out.
    pub fn open(recipe: &Path, includes: &[&Path]) -> io::Result<Self> {
        Ok(Self {
            recipe: RootDir::open(recipe)?,
            includes: includes
                .iter()
                .filter_map(|path| RootDir::open(path).ok())
                .collect(),
        })
    }

    fn folders(&self, folder: Folder) -> &[RootDir] {
        match folder {
            Folder::Recipe => std::slice::from_ref(&self.recipe),
            Folder::Include => &self.includes,
        }
    }
}

impl RecipeFiles for DiskFiles {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        for root in self.folders(folder) {
            match root.read(path.as_bytes(), limit as u64) {
                Ok(bytes) => return Ok(Cow::Owned(bytes)),
                Err(error) => match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
                    io::ErrorKind::FileTooLarge => return Err(ReadError::TooLarge { limit }),
                    io::ErrorKind::InvalidInput => return Err(ReadError::Outside),
                    _ => return Err(ReadError::Io(error)),
                },
            }
        }
        Err(ReadError::Absent)
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        self.folders(folder).iter().find_map(|root| {
            let node = root.node(path.as_bytes(), true).ok()??;
            match node.kind {
                NodeKind::File => Some(FileKind::File),
                NodeKind::Directory => Some(FileKind::Directory),
                _ => None,
            }
        })
    }
}
