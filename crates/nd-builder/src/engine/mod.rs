//! What runs inside the user and mount namespace: one piece of work per process.

mod copy;
mod error;
mod flatten;
pub(crate) mod message;
mod run;
mod seal;
mod users;
mod view;

use std::{
    ffi::OsStr,
    fs::File,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::PathBuf,
};

use nd_host::RootDir;
use nd_oci::{Compression, Ids, Limits, OverlayMarks, UnpackOptions, unpack_layer};
use nd_report::Cancel;
use nd_sandbox::{Engine, Role, not_stacked};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::build::LayerBudget;
use crate::plan::{CopyInput, CopySpec, compression_of_word};
use copy::Copier;
use error::EngineError;
use message::{Done, DoneLayer, Ended, Job, Message, Reply, Request, TREE, fd};
use seal::Seal;

/// Name of the builder's role in an engine.
pub(crate) const ROLE: &str = "nd-builder";

/// The role that every program that builds gives to [`nd_sandbox::hook`].
pub fn role() -> Role {
    Role { name: ROLE, main }
}

/// How a piece of work ended, apart from errors.
enum Outcome {
    Done(Done),
    /// The new tree is complete, and no layer.
    Flat,
    Exit(Ended),
}

fn main(engine: Engine) -> u8 {
    // Whatever the caller's is: what we and steps make is readable.
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let work = Work { engine };
    let result = work.run();
    let (reply, code) = match &result {
        Ok(Outcome::Done(done)) => (Reply::Done(done.clone()), 0),
        Ok(Outcome::Flat) => (Reply::Done(Done::default()), 0),
        Ok(Outcome::Exit(exit)) => (Reply::Exit(*exit), 1),
        Err(error) => (Reply::Failed(error.chain()), 1),
    };
    // What did not become a tree goes from here: the caller may not be able to remove it.
    if !matches!(
        result,
        Ok(Outcome::Done(Done { layer: Some(_) }) | Outcome::Flat)
    ) {
        let _ = work.clear();
    }
    work.engine.send(&Message::reply(&reply));
    code
}

struct Work {
    engine: Engine,
}

/// The overlay of a step while it is worked on.
struct Overlay {
    lowers: Vec<OwnedFd>,
    upper: OwnedFd,
    work: OwnedFd,
    empty: OwnedFd,
}

impl Work {
    fn run(&self) -> Result<Outcome, EngineError> {
        let request: Request = serde_json::from_slice(&self.engine.request)?;
        match &request.job {
            Job::Remove => {
                self.clear()?;
                Ok(Outcome::Done(Done::default()))
            }
            Job::Unpack { budget, reserve } => {
                let done = self.unpack(&request, *budget, *reserve);
                done.map(Outcome::Done)
            }
            Job::Flatten => {
                let trees = self.trees(&request.lowers)?;
                let into = self.new_dir(TREE)?;
                let view = view::read_only(&trees, into.as_fd());
                let view = view.map_err(EngineError::io("mount the trees below"))?;
                flatten::flatten(trees, &view, into, request.single)?;
                Ok(Outcome::Flat)
            }
            Job::Run(job) => {
                let overlay = self.overlay(&request)?;
                match self.script(&request, job, &overlay)? {
                    Some(ended) => Ok(Outcome::Exit(ended)),
                    None => self.seal(&request, &overlay).map(Outcome::Done),
                }
            }
            Job::Copy { spec, tar, stages } => {
                let overlay = self.overlay(&request)?;
                self.copy(&request, &overlay, spec, *tar, stages)?;
                self.seal(&request, &overlay).map(Outcome::Done)
            }
            Job::Directory { path } => {
                let overlay = self.overlay(&request)?;
                Self::in_image(&request, &overlay, (0, 0), |copier| {
                    copier.directory(path.as_bytes(), (0, 0))
                })?;
                self.seal(&request, &overlay).map(Outcome::Done)
            }
        }
    }

    fn note(&self, text: String) {
        self.engine.send(&Message::reply(&Reply::Note(text)));
    }

    fn fd(&self, at: usize) -> Result<BorrowedFd<'_>, EngineError> {
        let fd = self.engine.fds.get(at).map(OwnedFd::as_fd);
        fd.ok_or(EngineError::Descriptor(at))
    }

    fn file(&self, at: usize) -> Result<File, EngineError> {
        let fd = self.fd(at)?.try_clone_to_owned();
        fd.map(File::from)
            .map_err(EngineError::io("copy a descriptor"))
    }

    /// Opens trees of the store by name, the lowest first.
    fn trees(&self, names: &[String]) -> Result<Vec<OwnedFd>, EngineError> {
        let trees = self.fd(fd::TREES)?;
        let open = |name: &String| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(trees, format!("{name}/{TREE}"), flags, Mode::empty()).map_err(
                EngineError::io(format!("open the tree `{name}` of the store")),
            )
        };
        names.iter().map(open).collect()
    }

    /// A new directory in the folder of the new tree.
    fn new_dir(&self, name: &str) -> Result<OwnedFd, EngineError> {
        let new = self.fd(fd::NEW)?;
        let fail = || EngineError::io("make a directory in the store");
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        rustix::fs::mkdirat(new, name, mode).map_err(fail())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(new, name, flags, Mode::empty()).map_err(fail())
    }

    fn overlay(&self, request: &Request) -> Result<Overlay, EngineError> {
        let empty = self.new_dir("empty")?;
        let mut lowers = self.trees(&request.lowers)?;
        if lowers.is_empty() {
            // An overlay stands on something.
            lowers.push(
                empty
                    .try_clone()
                    .map_err(EngineError::io("copy a descriptor"))?,
            );
        }
        Ok(Overlay {
            lowers,
            upper: self.new_dir(TREE)?,
            work: self.new_dir("work")?,
            empty,
        })
    }

    fn ids(request: &Request) -> Ids {
        if request.single { Ids::Root } else { Ids::Same }
    }

    fn compression(request: &Request) -> Compression {
        compression_of_word(&request.compression).unwrap_or(Compression::Zstd)
    }

    fn unpack(
        &self,
        request: &Request,
        budget: LayerBudget,
        reserve: Option<u64>,
    ) -> Result<Done, EngineError> {
        let lowers = self.trees(&request.lowers)?;
        let into = self.new_dir(TREE)?;
        let lower = match &lowers[..] {
            [] => None,
            some => {
                let view = view::read_only(some, into.as_fd());
                Some(view.map_err(EngineError::io("mount the trees below"))?)
            }
        };
        let options = UnpackOptions {
            limits: Limits {
                entries: budget.entries,
                file: budget.bytes,
                total: budget.bytes,
                ..Limits::default()
            },
            ids: Self::ids(request),
            marks: OverlayMarks::User,
        };
        let blob = Cancellable {
            file: self.file(fd::BLOB)?,
            cancel: self.engine.cancel().clone(),
            disk: into.as_fd(),
            reserve: reserve.unwrap_or(0),
        };
        let unpacked = unpack_layer(
            blob,
            Self::compression(request),
            into.as_fd(),
            lower.as_ref().map(OwnedFd::as_fd),
            options,
        );
        self.check()?;
        let unpacked = unpacked?;
        for note in unpacked.notes {
            self.note(note);
        }
        let layer = unpacked.layer;
        let mut index = self.file(fd::INDEX)?;
        std::io::Write::write_all(&mut index, &nd_store::encode_layer_index(&layer.index))
            .map_err(EngineError::io("write the index of the layer"))?;
        Ok(Done {
            layer: Some(DoneLayer {
                diff_id: layer.diff_id,
                digest: layer.digest,
                size: layer.size,
                uncompressed: layer.uncompressed,
                entries: layer.index.entries.len() as u64,
            }),
        })
    }

    fn check(&self) -> Result<(), EngineError> {
        if self.engine.cancelled() {
            Err(EngineError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Does something in the image with everything below it in place, then takes the mount away.
    fn in_image<T>(
        request: &Request,
        overlay: &Overlay,
        owner: (u32, u32),
        work: impl FnOnce(&Copier<'_>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let mount = view::writable(&overlay.lowers, overlay.upper.as_fd(), overlay.work.as_fd());
        let mount = mount.map_err(|error| not_stacked(error, Some(overlay.upper.as_fd())));
        let image = RootDir::from_fd(mount?);
        work(&Copier {
            image: &image,
            owner,
            single: request.single,
        })
    }

    fn copy(
        &self,
        request: &Request,
        overlay: &Overlay,
        spec: &CopySpec,
        tar: usize,
        stages: &[(usize, Vec<String>)],
    ) -> Result<(), EngineError> {
        let staged = self.new_dir("staged")?;
        let options = UnpackOptions {
            limits: Limits::default(),
            ids: Ids::Root,
            marks: OverlayMarks::User,
        };
        unpack_layer(
            self.file(tar)?,
            Compression::None,
            staged.as_fd(),
            None,
            options,
        )?;
        let staged = RootDir::from_fd(staged);
        let owner = match &spec.owner {
            None => (0, 0),
            Some(name) => {
                let below = view::read_only(&overlay.lowers, overlay.empty.as_fd());
                let below = below.map_err(EngineError::io("mount the trees below"))?;
                users::owner(&RootDir::from_fd(below), name)?
            }
        };
        let mut notes = Vec::new();
        Self::in_image(request, overlay, owner, |copier| {
            for (number, source) in spec.sources.iter().enumerate() {
                self.check()?;
                match source {
                    CopyInput::Context { path, .. } => {
                        let name = path.trim_end_matches('/').rsplit('/').next();
                        let name = name.unwrap_or_default().as_bytes();
                        let at = number.to_string();
                        copier.copy(&staged, at.as_bytes(), name, &spec.dest, &mut notes)?;
                    }
                    CopyInput::Stage { stage, path, .. } => {
                        let names = stages.iter().find(|(number, _)| number == stage);
                        let names = names.map(|(_, names)| &names[..]).unwrap_or_default();
                        let view = view::read_only(&self.trees(names)?, overlay.empty.as_fd());
                        let view = view.map_err(EngineError::io("mount the other stage"))?;
                        let name = path.trim_end_matches('/').rsplit('/').next();
                        let name = name.unwrap_or_default().as_bytes();
                        let from = RootDir::from_fd(view);
                        copier.copy(&from, path.as_bytes(), name, &spec.dest, &mut notes)?;
                    }
                }
            }
            Ok(())
        })?;
        for note in notes {
            self.note(note);
        }
        Ok(())
    }

    fn seal(&self, request: &Request, overlay: &Overlay) -> Result<Done, EngineError> {
        self.check()?;
        let lower = view::read_only(&overlay.lowers, overlay.empty.as_fd());
        let lower = lower.map_err(EngineError::io("mount the trees below"))?;
        let (blob, index) = (self.file(fd::BLOB)?, self.file(fd::INDEX)?);
        let seal = Seal {
            upper: overlay.upper.as_fd(),
            lower: lower.as_fd(),
            ids: Self::ids(request),
            epoch: request.epoch,
            compression: Self::compression(request),
            blob: &blob,
            index: &index,
        };
        let layer = seal.seal()?;
        for name in ["work", "empty", "staged"] {
            self.remove(name)?;
        }
        Ok(Done { layer })
    }

    /// Removes everything in the folder of the new tree.
    fn clear(&self) -> Result<(), EngineError> {
        let new = self.fd(fd::NEW)?;
        let fail = || EngineError::io("list a folder of the store");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let new = rustix::fs::openat(new, ".", flags, Mode::empty()).map_err(fail())?;
        for entry in rustix::fs::Dir::read_from(&new).map_err(fail())? {
            let entry = entry.map_err(fail())?;
            match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => self.remove(OsStr::from_bytes(name))?,
            }
        }
        Ok(())
    }

    /// Removes a file or a folder, if it is there.
    fn remove(&self, name: impl AsRef<OsStr>) -> Result<(), EngineError> {
        let name = name.as_ref();
        let new = self.fd(fd::NEW)?;
        let found = match rustix::fs::statat(new, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => {
                let what = format!("look at `{}`", name.display());
                return Err(EngineError::io(what)(error));
            }
            Ok(found) => found,
        };
        let path = PathBuf::from(format!("/proc/self/fd/{}", new.as_raw_fd())).join(name);
        // A killed build leaves unfinished blobs beside its folders.
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => fs_err::remove_dir_all(path),
            _ => fs_err::remove_file(path),
        }
        .map_err(EngineError::io("remove what is left in the store"))
    }
}

/// A blob whose reading ends when the caller wants to stop, and before what comes of it fills the disk.
struct Cancellable<'a> {
    file: File,
    cancel: Cancel,
    disk: BorrowedFd<'a>,
    reserve: u64,
}

impl std::io::Read for Cancellable<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(std::io::Error::other("cancelled"));
        }
        let free = rustix::fs::fstatvfs(self.disk)
            .map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        if free < self.reserve {
            let reserve = self.reserve;
            let text = format!("less than {reserve} bytes are free on the disk of the store");
            return Err(std::io::Error::other(text));
        }
        self.file.read(buf)
    }
}
