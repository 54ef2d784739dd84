//! Telling what a path is, and opening it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_host::RootDir;
use nd_names::Architecture;
use nd_oci::{Image, ImageTree, Layout};
use nd_sif::{Extra, FsType, Sif, SifError};
use nd_squashfs::{FileRange, Limits, ReadError, Reader};
use nd_store::Store;

use super::{ImageFiles, Metadata};
use crate::ImageError;

/// What kind of image stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// A SIF file with a squashfs partition.
    Sif,
    /// A bare squashfs image.
    Squashfs,
    /// A directory that holds a root file system.
    Directory,
    /// An OCI layout.
    Oci,
}

impl ImageKind {
    /// How messages and records call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sif => "sif",
            Self::Squashfs => "squashfs",
            Self::Directory => "directory",
            Self::Oci => "oci",
        }
    }
}

/// An image that can be looked at.
#[derive(Debug)]
pub struct OpenImage {
    /// What it is.
    pub kind: ImageKind,
    /// Its files.
    pub files: ImageFiles,
    /// What it says about itself outside of its files.
    pub metadata: Metadata,
    /// Where it is.
    pub path: PathBuf,
}

impl OpenImage {
    /// Opens what stands at `path`: a SIF file, a squashfs image, an OCI layout (its only image) or
    /// a directory with a root file system. Links to the image itself are followed.
    ///
    /// # Errors
    ///
    /// When nothing is there, or what is there is none of these or damaged.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let found = fs_err::metadata(path).map_err(ImageError::Open)?;
        if found.is_dir() {
            if path.join("oci-layout").is_file() {
                return Self::of_layout(path, None, None);
            }
            return Self::of_directory(path);
        }
        if !found.is_file() {
            return Err(ImageError::NoImage { path: path.into() });
        }
        let file: std::fs::File = fs_err::File::open(path).map_err(ImageError::Open)?.into();
        match Sif::open(file) {
            Ok(sif) => Self::of_sif(path, sif),
            Err(SifError::NotSif) => Self::of_squashfs(path),
            Err(error) => Err(error.into()),
        }
    }

    /// An image of an OCI layout: the one of that name, or the only one.
    pub fn of_layout(
        path: &Path,
        reference: Option<&str>,
        store: Option<&Store>,
    ) -> Result<Self, ImageError> {
        let layout = Layout::open(path)?;
        let image = layout.image(reference)?;
        Self::of_oci(path, &image, Arc::new(layout), store)
    }

    /// An image whose blobs are in `blobs`.
    pub fn of_oci(
        path: &Path,
        image: &Image,
        blobs: Arc<dyn nd_oci::BlobSource>,
        store: Option<&Store>,
    ) -> Result<Self, ImageError> {
        let metadata = Metadata::of_configuration(image);
        let tree = ImageTree::open(image, blobs, store, nd_oci::Limits::default())?;
        Ok(Self {
            kind: ImageKind::Oci,
            files: ImageFiles::of_tree(tree),
            metadata,
            path: path.into(),
        })
    }

    fn of_directory(path: &Path) -> Result<Self, ImageError> {
        let root = RootDir::open(path).map_err(|source| ImageError::host(b"/", source))?;
        let mut files = ImageFiles::of_directory(root);
        // A folder of anything else would give a module without a single command.
        let looks = [&b"bin"[..], b"usr", b".singularity.d", b"opt"];
        let mut is_root = false;
        for name in looks {
            is_root |= files.stat(name)?.is_some();
        }
        if !is_root {
            return Err(ImageError::NoImage { path: path.into() });
        }
        let metadata = Metadata::of_files(&mut files)?;
        Ok(Self {
            kind: ImageKind::Directory,
            files,
            metadata,
            path: path.into(),
        })
    }

    fn of_sif(path: &Path, sif: Sif) -> Result<Self, ImageError> {
        let damaged = |problem: &str| ImageError::Sif(SifError::Damaged(problem.into()));
        let Some(partition) = sif.primary_partition() else {
            return Err(damaged("it has no partition with a system"));
        };
        let Extra::Partition {
            fs, architecture, ..
        } = partition.extra
        else {
            return Err(damaged("its system is no partition"));
        };
        if fs != FsType::Squashfs {
            return Err(ImageError::FileSystem { path: path.into() });
        }
        let (offset, size) = (partition.offset, partition.size);
        let architecture = architecture.or(sif.header().architecture);
        let inspect = Metadata::of_sif(&sif)?;
        let range = FileRange::new(sif.into_file(), offset, size);
        let mut files = ImageFiles::of_squashfs(Reader::open(range, Limits::default())?);
        let mut metadata = Metadata::of_files(&mut files)?;
        metadata.add(inspect);
        metadata.architecture = architecture;
        Ok(Self {
            kind: ImageKind::Sif,
            files,
            metadata,
            path: path.into(),
        })
    }

    fn of_squashfs(path: &Path) -> Result<Self, ImageError> {
        let file = fs_err::File::open(path).map_err(ImageError::Open)?;
        let range = FileRange::whole(file.into()).map_err(ImageError::Open)?;
        let reader = match Reader::open(range, Limits::default()) {
            Ok(reader) => reader,
            Err(ReadError::NotSquashfs) => {
                return Err(ImageError::NoImage { path: path.into() });
            }
            Err(error) => return Err(error.into()),
        };
        let mut files = ImageFiles::of_squashfs(reader);
        let metadata = Metadata::of_files(&mut files)?;
        Ok(Self {
            kind: ImageKind::Squashfs,
            files,
            metadata,
            path: path.into(),
        })
    }

    /// The architecture of the image's programs: what it says, else what the ELF header of one of
    /// its shells says.
    pub fn architecture(&mut self) -> Result<Option<Architecture>, ImageError> {
        if let Some(known) = self.metadata.architecture {
            return Ok(Some(known));
        }
        for path in [
            &b"/bin/sh"[..],
            b"/bin/bash",
            b"/usr/bin/env",
            b"/bin/ls",
            b"/bin/busybox",
        ] {
            let Some(bytes) = self.files.read(path, 64 << 20)? else {
                continue;
            };
            if bytes.starts_with(b"\x7fELF") && bytes.len() > 20 {
                return Ok(match u16::from_le_bytes([bytes[18], bytes[19]]) {
                    62 => Some(Architecture::X86_64),
                    183 => Some(Architecture::Aarch64),
                    _ => None,
                });
            }
        }
        Ok(None)
    }
}
