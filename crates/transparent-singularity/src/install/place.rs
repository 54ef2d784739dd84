//! The image in the staging folder: copied, linked, converted or unpacked.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use nd_names::Sha256;
use nd_oci::Layout;
use nd_rootfs::{Contents, Index, Wanted};

use super::{InstallError, InstallWish, Means};
use crate::{
    Content, Given, ImageError, Obtained, OpenImage, Placement, SiteError, SourceError,
    SourceRecord, Staged, obtain, place_image, unpack_tree, write_sif,
};

/// The image, from where the wish says.
pub(super) fn source(
    wish: &InstallWish,
    means: &Means<'_>,
    staged: &Staged,
) -> Result<Obtained, InstallError> {
    let Some(given) = &wish.from else {
        if let Some(sha256) = wish.sha256
            && let Some(path) = means.site.kept(&sha256)?
        {
            let mut kept = local(&path, means)?;
            kept.source.from = format!("sha256:{sha256}");
            kept.source.verified = Some("its digest, kept here".into());
            return Ok(kept);
        }
        let (candidates, sha256) = (&wish.candidates, wish.sha256);
        return Ok(obtain(&wish.image, candidates, sha256, means.fetch)?);
    };
    let path = means.environment.absolute(given.path());
    let layout = staged.path().join(".layout");
    let open = |path: &Path| {
        fs_err::File::open(path).map_err(|source| SourceError::Io {
            path: path.into(),
            source,
        })
    };
    let (layout, reference) = match given {
        Given::Path(_) => {
            if path.join("oci-layout").is_file() {
                (Layout::open(&path).map_err(SourceError::from)?, None)
            } else {
                return local(&path, means);
            }
        }
        Given::Oci { reference, .. } => (
            Layout::open(&path).map_err(SourceError::from)?,
            reference.as_deref(),
        ),
        Given::DockerArchive(_) => {
            let unpacked = Layout::unpack_docker_archive(open(&path)?, &layout);
            (unpacked.map_err(SourceError::from)?, None)
        }
        Given::OciArchive(_) => {
            let unpacked = Layout::unpack_archive(open(&path)?, &layout);
            (unpacked.map_err(SourceError::from)?, None)
        }
    };
    let image = layout.image(reference).map_err(SourceError::from)?;
    let mut tree =
        nd_oci::ImageTree::open(&image, Arc::new(layout), None, nd_oci::Limits::default())
            .map_err(SourceError::from)?;
    let target = staged.path().join(".converted");
    let (sha256, bytes) = write_sif(
        &image,
        tree.index,
        &mut tree.contents,
        &target,
        &means.fetch.cancel,
    )
    .map_err(SourceError::from)?;
    crate::remove_tree(&staged.path().join(".layout"))
        .map_err(SiteError::io("remove", staged.path()))?;
    Ok(Obtained {
        content: Content::File {
            path: target,
            sha256,
            bytes,
        },
        source: SourceRecord {
            from: format!("{}@{}", path.display(), image.digest.oci()),
            sha256: Some(sha256.to_string()),
            bytes: Some(bytes),
            verified: Some("digests of the layout, converted here".into()),
        },
    })
}

fn local(path: &Path, means: &Means<'_>) -> Result<Obtained, InstallError> {
    // Errors before anything is copied.
    OpenImage::open(path)?;
    if path.is_dir() {
        return Ok(Obtained {
            content: Content::Folder(path.into()),
            source: SourceRecord {
                from: path.display().to_string(),
                sha256: None,
                bytes: None,
                verified: None,
            },
        });
    }
    let io = |source| SourceError::Io {
        path: path.into(),
        source,
    };
    let mut file = fs_err::File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    crate::room(means.fetch, bytes)?;
    let sha256 = Sha256::of_rest(&mut file).map_err(io)?;
    Ok(Obtained {
        content: Content::File {
            path: path.into(),
            sha256,
            bytes,
        },
        source: SourceRecord {
            from: path.display().to_string(),
            sha256: Some(sha256.to_string()),
            bytes: Some(bytes),
            verified: Some("read here".into()),
        },
    })
}

/// Puts the image into the staging folder, as `STEM.simg`.
pub(super) fn place(
    wish: &InstallWish,
    means: &Means<'_>,
    staged: &Staged,
    obtained: &mut Obtained,
    stem: &str,
) -> Result<Placement, InstallError> {
    let target = staged.path().join(format!("{stem}.simg"));
    let io = |action| SiteError::io(action, &target);
    match &obtained.content {
        Content::File { path, .. } if wish.unpack => {
            fs_err::create_dir(&target).map_err(io("make"))?;
            unpack_file(path, &target, means)?;
            let _ = fs_err::remove_file(staged.path().join(".converted"));
            obtained.source.sha256 = None;
            Ok(Placement::Folder)
        }
        Content::File { path, .. } if path.starts_with(staged.path()) => {
            fs_err::rename(path, &target).map_err(io("name"))?;
            Ok(Placement::File)
        }
        Content::File { path, .. } => {
            // What the caller owns may be changed by its owner: it is copied. A download is ours, and so is
            // what is kept.
            if path.starts_with(means.fetch.store.root()) || path.starts_with(means.site.state()) {
                place_image(path, &target).map_err(io("link"))?;
            } else {
                copy(path, &target).map_err(io("copy"))?;
                let mode = std::fs::Permissions::from_mode(0o755);
                fs_err::set_permissions(&target, mode).map_err(io("open"))?;
                verify_copy(&target, obtained)?;
            }
            Ok(Placement::File)
        }
        Content::Link(path) if !wish.unpack => {
            fs_err::os::unix::fs::symlink(path, &target).map_err(io("link"))?;
            Ok(Placement::Link)
        }
        Content::Link(path) | Content::Folder(path) => {
            fs_err::create_dir(&target).map_err(io("make"))?;
            let (index, mut contents) =
                nd_oci::read_directory(path).map_err(|source| SourceError::Io {
                    path: path.clone(),
                    source: std::io::Error::other(source),
                })?;
            unpack(&index, &mut contents, &target, means)?;
            Ok(Placement::Folder)
        }
    }
}

/// Copies a file; its whole room is asked for first, so that a full disk or a used-up quota is noticed
/// before anything is written.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = fs_err::File::open(from)?;
    let mut to = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)?;
    nd_host::reserve(to.file(), from.metadata()?.len())?;
    let copied = io::copy(from.file_mut(), to.file_mut())?;
    to.file().set_len(copied)
}

/// A file may change while it is copied.
fn verify_copy(copy: &Path, obtained: &Obtained) -> Result<(), InstallError> {
    let io = |source| SourceError::Io {
        path: copy.into(),
        source,
    };
    let mut file = fs_err::File::open(copy).map_err(io)?;
    let found = Sha256::of_rest(&mut file).map_err(io)?;
    if obtained.source.sha256 != Some(found.to_string()) {
        return Err(io(std::io::Error::other("it changed while it was copied")).into());
    }
    Ok(())
}

fn unpack_file(path: &Path, target: &Path, means: &Means<'_>) -> Result<(), InstallError> {
    let open = fs_err::File::open(path).map_err(ImageError::Open)?;
    let (start, length) = match nd_sif::Sif::open(open.into()) {
        Ok(sif) => {
            let partition = sif.primary_partition();
            let partition = partition.ok_or_else(|| ImageError::NoImage { path: path.into() })?;
            (partition.offset, Some(partition.size))
        }
        Err(nd_sif::SifError::NotSif) => (0, None),
        Err(error) => return Err(ImageError::from(error).into()),
    };
    let file: std::fs::File = fs_err::File::open(path).map_err(ImageError::Open)?.into();
    let range = match length {
        Some(length) => nd_squashfs::FileRange::new(file, start, length),
        None => nd_squashfs::FileRange::whole(file).map_err(ImageError::Open)?,
    };
    let reader = nd_squashfs::Reader::open(range, nd_squashfs::Limits::default());
    let reader = Arc::new(reader.map_err(ImageError::from)?);
    let digests = nd_squashfs::Digests::Read { threads: 0 };
    let tree = reader.tree(digests, &means.fetch.cancel);
    let (index, mut contents) = tree.map_err(ImageError::from)?;
    unpack(&index, &mut contents, target, means)
}

/// Unpacks a tree for which there is room.
fn unpack(
    index: &Index,
    contents: &mut dyn Contents,
    target: &Path,
    means: &Means<'_>,
) -> Result<(), InstallError> {
    let files = Wanted::every_location(index);
    let needed = files.iter().map(|(_, file)| file.size).sum();
    crate::room(means.fetch, needed)?;
    unpack_tree(index, contents, target, &means.fetch.cancel).map_err(SourceError::from)?;
    Ok(())
}
