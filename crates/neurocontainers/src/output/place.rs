//! Places of images, as people name them: `oci:DIR`, `registry:REF` and so on.

use std::{fmt, path::PathBuf, str::FromStr};

/// A place that holds an image, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePlace {
    /// An OCI layout.
    Oci(PathBuf),
    /// An OCI layout in a tar.
    OciArchive(PathBuf),
    /// What `docker save` writes and `docker load` reads.
    DockerArchive(PathBuf),
    /// A folder of `manifest.json` and blobs.
    Folder(PathBuf),
    /// A SIF.
    Sif(PathBuf),
    /// A registry.
    Registry(String),
}

/// A text that names no place of an image.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no place of an image; write `oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`, `sif:FILE`, \
     `dir:DIR` or `registry:REF`"
)]
pub struct NoPlace(String);

impl FromStr for ImagePlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let wrong = || NoPlace(text.to_owned());
        let (kind, place) = text.split_once(':').ok_or_else(wrong)?;
        if place.is_empty() {
            return Err(wrong());
        }
        Ok(match kind {
            "oci" => Self::Oci(place.into()),
            "oci-archive" => Self::OciArchive(place.into()),
            "docker-archive" => Self::DockerArchive(place.into()),
            "dir" => Self::Folder(place.into()),
            "sif" => Self::Sif(place.into()),
            "registry" => Self::Registry(place.to_owned()),
            _ => return Err(wrong()),
        })
    }
}

impl fmt::Display for ImagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match (self.path(), self) {
            (Some(path), _) => write!(f, "{kind}:{}", path.display()),
            (None, Self::Registry(name)) => write!(f, "{kind}:{name}"),
            (None, _) => f.write_str(kind),
        }
    }
}

impl ImagePlace {
    /// The word before the colon.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Oci(_) => "oci",
            Self::OciArchive(_) => "oci-archive",
            Self::DockerArchive(_) => "docker-archive",
            Self::Folder(_) => "dir",
            Self::Sif(_) => "sif",
            Self::Registry(_) => "registry",
        }
    }

    /// Its path, unless it is in a registry.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Oci(path)
            | Self::OciArchive(path)
            | Self::DockerArchive(path)
            | Self::Folder(path)
            | Self::Sif(path) => Some(path),
            Self::Registry(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ImagePlace;

    #[test]
    fn places_are_read_as_they_are_shown() {
        for text in [
            "oci:a/b",
            "oci-archive:/a b.tar",
            "docker-archive:x:y",
            "dir:.",
            "sif:a.simg",
            "registry:localhost:5000/a:1",
        ] {
            assert_eq!(text.parse::<ImagePlace>().unwrap().to_string(), text);
        }
        for text in ["docker:x", "oci:", "x", ""] {
            assert!(text.parse::<ImagePlace>().is_err(), "{text}");
        }
    }
}
