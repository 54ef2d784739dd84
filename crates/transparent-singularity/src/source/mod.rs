//! Where an image comes from: candidates in order, each with its own reason when it has nothing.

mod convert;
mod fetch;
mod list;
mod unpack;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use nd_names::{ImageName, Sha256};

pub(crate) use self::fetch::room;
pub use self::{
    convert::{ConvertError, write_sif},
    fetch::{FetchContext, Obtained, obtain},
    list::{ListedImage, Published},
    unpack::{UnpackError, unpack_tree},
};
use crate::{ImageError, Settings, SourceKind};

/// A local image that is given by `--from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// A SIF file, squashfs image, folder or OCI layout.
    Path(PathBuf),
    /// `oci:DIR[:TAG]`.
    Oci {
        /// The layout.
        path: PathBuf,
        /// The image in it.
        reference: Option<String>,
    },
    /// `docker-archive:FILE`.
    DockerArchive(PathBuf),
    /// `oci-archive:FILE`.
    OciArchive(PathBuf),
}

impl FromStr for Given {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if let Some(rest) = text.strip_prefix("oci:") {
            let (path, reference) = match rest.rsplit_once(':') {
                Some((path, tag)) if !tag.contains('/') && !path.is_empty() => {
                    (path, Some(tag.to_owned()))
                }
                _ => (rest, None),
            };
            Self::Oci {
                path: path.into(),
                reference,
            }
        } else if let Some(rest) = text.strip_prefix("docker-archive:") {
            Self::DockerArchive(rest.into())
        } else if let Some(rest) = text.strip_prefix("oci-archive:") {
            Self::OciArchive(rest.into())
        } else {
            Self::Path(text.strip_prefix("file:").unwrap_or(text).into())
        })
    }
}

impl Given {
    /// The path it names.
    pub fn path(&self) -> &Path {
        match self {
            Self::Path(path)
            | Self::Oci { path, .. }
            | Self::DockerArchive(path)
            | Self::OciArchive(path) => path,
        }
    }

    /// The image name that the path tells, if it tells one.
    pub fn name(&self) -> Option<ImageName> {
        self.path().file_name()?.to_str()?.parse().ok()
    }
}

/// One place to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What `--storage` calls it.
    pub name: String,
    /// What it is.
    pub source: ImageSource,
}

/// What a candidate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// An unpacked image on CVMFS.
    Cvmfs(PathBuf),
    /// A SIF file that refers to an image of a registry.
    Referrer {
        /// `REGISTRY/NAMESPACE/TOOL:VERSION_DATE`.
        reference: String,
        /// Spoken to without encryption.
        plain_http: bool,
    },
    /// A SIF file at one of these addresses, which are mirrors of each other when there is a
    /// checksum.
    Objects {
        /// Addresses.
        urls: Vec<String>,
        /// Address of the checksum.
        checksum: Option<String>,
    },
    /// An image of a registry.
    Registry {
        /// `REGISTRY/NAMESPACE/TOOL:VERSION_DATE`.
        reference: String,
        /// Spoken to without encryption.
        plain_http: bool,
    },
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cvmfs(path) => write!(f, "{}", path.display()),
            Self::Referrer { reference, .. } => write!(f, "oras://{reference}"),
            Self::Objects { urls, .. } => f.write_str(urls.first().map_or("", String::as_str)),
            Self::Registry { reference, .. } => write!(f, "docker://{reference}"),
        }
    }
}

/// The candidates for an image, in order. Pure: nothing is opened.
///
/// `storage` keeps those of one name or kind; `auto` keeps all. What is recorded as verified or not is
/// decided when one of them gives the image.
pub fn candidates(
    image: &ImageName,
    settings: &Settings,
    storage: &str,
    cvmfs: bool,
) -> Result<Vec<Candidate>, UnknownStorage> {
    let stem = image.stem();
    let reference = |registry: &str| {
        format!(
            "{}/{}:{}_{}",
            registry.trim_end_matches('/'),
            image.app,
            image.version,
            image.date
        )
    };
    let mut known = vec!["auto".to_owned()];
    let mut out = Vec::new();
    for setting in &settings.sources {
        let (kind, source) = match &setting.kind {
            SourceKind::Cvmfs { path } => (
                "cvmfs",
                ImageSource::Cvmfs(path.join(&stem).join(format!("{stem}.simg"))),
            ),
            SourceKind::Referrer {
                registry,
                plain_http,
            } => (
                "oras",
                ImageSource::Referrer {
                    reference: reference(registry),
                    plain_http: *plain_http,
                },
            ),
            SourceKind::Objects {
                url,
                also,
                checksum,
            } => {
                let at = |base: &String| format!("{}/{stem}.simg", base.trim_end_matches('/'));
                let source = ImageSource::Objects {
                    urls: [url].into_iter().chain(also).map(at).collect(),
                    checksum: checksum.as_ref().map(|text| text.replace("{stem}", &stem)),
                };
                ("objects", source)
            }
            SourceKind::Registry {
                registry,
                plain_http,
            } => (
                "docker",
                ImageSource::Registry {
                    reference: reference(registry),
                    plain_http: *plain_http,
                },
            ),
        };
        for word in [kind, setting.name.as_str()] {
            if !known.iter().any(|one| one == word) {
                known.push(word.to_owned());
            }
        }
        let wanted = match storage {
            "" | "auto" => true,
            word => word == setting.name || word == kind,
        };
        if wanted && (cvmfs || kind != "cvmfs") {
            out.push(Candidate {
                name: setting.name.clone(),
                source,
            });
        }
    }
    if !matches!(storage, "" | "auto") && !known.iter().any(|word| word == storage) {
        return Err(UnknownStorage {
            word: storage.to_owned(),
            known,
        });
    }
    Ok(out)
}

/// A word of `--storage` that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no source; use one of {}", known.join(", "))]
pub struct UnknownStorage {
    /// The word.
    pub word: String,
    /// What is known.
    pub known: Vec<String>,
}

/// What an image is, once there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A SIF file or squashfs image of these bytes; it may be linked, never written to.
    File {
        /// Where it is.
        path: PathBuf,
        /// Its digest.
        sha256: Sha256,
        /// Its bytes.
        bytes: u64,
    },
    /// A root file system in a folder, linked to.
    Link(PathBuf),
    /// A root file system in a folder, copied.
    Folder(PathBuf),
}

/// Why no image could be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Every source failed.
    #[error("no source has `{image}`{}", Tries(tried))]
    None {
        /// Which image.
        image: String,
        /// Each source with its reason.
        tried: Vec<(String, String)>,
    },
    /// The image that is given is none.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It could not be converted.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// It could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// An archive or layout.
    #[error(transparent)]
    Oci(#[from] nd_oci::OciError),
    /// A file of this machine.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Connections cannot be set up.
    #[error(transparent)]
    Fetch(#[from] nd_fetch::FetchError),
    /// The caller asked to stop.
    #[error(transparent)]
    Cancelled(#[from] nd_report::Cancelled),
    /// Not enough room.
    #[error("`{}` has {free} bytes left and the image needs {needed}", path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed.
        needed: u64,
    },
}

struct Tries<'a>(&'a [(String, String)]);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (source, why) in self.0 {
            write!(f, "\n  {source}: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Candidates and what `--from` means.

    use super::*;

    #[test]
    fn candidates_keep_the_order_and_the_choice() {
        let image = "demo_arm64_1.0_20260629".parse().unwrap();
        let settings = Settings::built_in();
        let all = candidates(&image, &settings, "auto", true).unwrap();
        let texts: Vec<String> = all.iter().map(|one| one.source.to_string()).collect();
        assert_eq!(
            texts[0],
            "/cvmfs/neurodesk.ardc.edu.au/containers/demo_arm64_1.0_20260629/demo_arm64_1.0_20260629.simg"
        );
        assert_eq!(texts[2], "oras://ghcr.io/neurodesk/demo_arm64:1.0_20260629");
        assert_eq!(
            texts[3],
            "https://neurocontainers.s3.us-east-2.amazonaws.com/demo_arm64_1.0_20260629.simg"
        );
        assert_eq!(
            candidates(&image, &settings, "auto", false).unwrap().len(),
            all.len() - 1
        );
        let docker = candidates(&image, &settings, "docker", true).unwrap();
        assert!(
            docker
                .iter()
                .all(|one| matches!(one.source, ImageSource::Registry { .. }))
        );
        assert_eq!(
            candidates(&image, &settings, "nectar", true).unwrap().len(),
            1
        );
        let error = candidates(&image, &settings, "nectr", true).unwrap_err();
        assert!(error.to_string().contains("nectar"), "{error}");
    }

    #[test]
    fn from_reads_transports() {
        let read = |text: &str| text.parse::<Given>().unwrap_or_else(|never| match never {});
        assert_eq!(
            read("/x/a_1_20260101.simg").name().unwrap().stem(),
            "a_1_20260101"
        );
        let oci = Given::Oci {
            path: "/x/y".into(),
            reference: Some("latest".into()),
        };
        assert_eq!(read("oci:/x/y:latest"), oci);
        assert!(matches!(
            read("oci:/x/y"),
            Given::Oci {
                reference: None,
                ..
            }
        ));
        assert!(matches!(
            read("docker-archive:/a.tar"),
            Given::DockerArchive(_)
        ));
    }
}
