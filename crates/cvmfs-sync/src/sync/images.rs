//! Where images come from.

use std::{io, path::PathBuf};

use nd_names::Sha256;
use transparent_singularity::{
    Content, FetchContext, Settings, SourceError, UnknownStorage, candidates, obtain,
};

use super::desired::DesiredImage;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The folder has none of that name.
    #[error("`{}` has no image `{image}`", folder.display())]
    Absent {
        /// The folder.
        folder: PathBuf,
        /// Which image.
        image: String,
    },
    /// A file cannot be read.
    #[error("failed to read `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those of the release.
    #[error("`{}` has SHA-256 {found}, and its release record says {recorded}", path.display())]
    Digest {
        /// Which file.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What is recorded.
        recorded: String,
    },
    /// No source has it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The settings name no source.
    #[error(transparent)]
    Settings(#[from] UnknownStorage),
}

/// An image that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenImage {
    /// A SIF file, squashfs image, OCI layout, or a folder with a root file system.
    pub path: PathBuf,
    /// Bytes of the file; 0 for a folder.
    pub bytes: u64,
}

/// Gives images, each verified as far as anything is known about it.
pub trait Images {
    /// The image of that name.
    fn get(&self, image: &DesiredImage) -> Result<GivenImage, ImagesError>;
}

/// Images in a folder: `STEM.simg`, `STEM.sif` or `STEM`.
#[derive(Debug)]
pub struct ImageFolder(pub PathBuf);

impl Images for ImageFolder {
    fn get(&self, image: &DesiredImage) -> Result<GivenImage, ImagesError> {
        let stem = image.name.stem();
        let names = [format!("{stem}.simg"), format!("{stem}.sif"), stem.clone()];
        let found = names.iter().map(|name| self.0.join(name));
        let path = found
            .into_iter()
            .find(|path| path.exists())
            .ok_or_else(|| ImagesError::Absent {
                folder: self.0.clone(),
                image: stem,
            })?;
        given(path, image)
    }
}

/// Images from the sources that the settings of `transparent-singularity` name, but for CVMFS: what is
/// published there must not vouch for itself.
#[derive(Debug)]
pub struct ImageSources {
    /// The sources.
    pub settings: Settings,
    /// How they are asked.
    pub context: FetchContext,
}

impl Images for ImageSources {
    fn get(&self, image: &DesiredImage) -> Result<GivenImage, ImagesError> {
        let sources = candidates(&image.name, &self.settings, "auto", false)?;
        let obtained = obtain(&image.name, &sources, None, &self.context)?;
        let (Content::File { path, .. } | Content::Link(path) | Content::Folder(path)) =
            obtained.content;
        given(path, image)
    }
}

fn given(path: PathBuf, image: &DesiredImage) -> Result<GivenImage, ImagesError> {
    let io = |source| ImagesError::Io {
        path: path.clone(),
        source,
    };
    let data = fs_err::metadata(&path).map_err(io)?;
    if !data.is_file() {
        return Ok(GivenImage { path, bytes: 0 });
    }
    if let Some(recorded) = &image.recorded.sha256 {
        let found = fs_err::File::open(&path).and_then(|mut file| Sha256::of_rest(&mut file));
        let found = found.map_err(io)?.hex();
        if found != *recorded {
            return Err(ImagesError::Digest {
                path,
                found,
                recorded: recorded.clone(),
            });
        }
    }
    Ok(GivenImage {
        bytes: data.len(),
        path,
    })
}
