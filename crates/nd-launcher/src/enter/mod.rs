//! Entering an image without a runtime.
//!
//! Everything that can fail is done by a child in new namespaces, while this process stays where it
//! is and can still become the runtime. Only then does it follow: into the namespaces, out of all
//! privileges, and into the command by `exec`, so that the command is this very process.

mod digest;
mod holder;
mod names;
mod root;
mod sif;
mod target;

use std::{
    ffi::{CString, OsStr, OsString},
    fmt, io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use nd_launcher::{ImageAccess, NativePlan, Unfit};
use nd_namespace::{
    Namespaces, SingleThreaded, drop_capabilities, drop_from_bounding_set, make_slave,
};
use rustix::{
    fs::{Access, Mode, OFlags, Stat, access, open},
    io::Errno,
    process::{
        chdir, getegid, geteuid, getgid, getuid, parent_process_death_signal,
        set_parent_process_death_signal,
    },
    thread::{CapabilitySet, LinkNameSpaceType, move_into_link_name_space, set_no_new_privs},
};

pub(crate) use self::{
    digest::{Checked, check},
    holder::play_role,
    names::ask_names,
};

/// Why this process is where it was before.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// This process is not who started it.
    SetId,
    /// The image wants something that only the runtime does.
    Unfit(Unfit),
    /// The kernel, or what the image is made of, does not allow it.
    Failed {
        /// What was tried.
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no such program in the image.
    NotFound(OsString),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetId => f.write_str("the launcher has the rights of somebody else"),
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Failed { doing, source } => write!(f, "failed to {doing}: {source}"),
            Self::NotFound(program) => {
                write!(f, "found no `{}` in the image", program.display())
            }
        }
    }
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

/// For `map_err`.
fn failed<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Refusal {
    let doing = doing.into();
    move |source| Refusal::Failed {
        doing,
        source: source.into(),
    }
}

/// An image that is ready to be entered.
#[derive(Debug)]
pub(crate) struct Ready {
    /// None for root, who stays in the machine's.
    user: Option<OwnedFd>,
    mounts: OwnedFd,
    /// The root: device and inode.
    root: (u64, u64),
    cwd: PathBuf,
    program: CString,
    argv: Vec<CString>,
    variables: Vec<CString>,
    keeps_privileges: bool,
}

/// Makes the root that a command sees, beside this process; of an image file that was checked, from that very file.
pub(crate) fn prepare(plan: &NativePlan, checked: Option<&Checked>) -> Result<Ready, Refusal> {
    let (uid, gid) = (getuid(), getgid());
    if geteuid() != uid || getegid() != gid {
        return Err(Refusal::SetId);
    }
    let ids = Ids {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
    };
    let single = SingleThreaded::claim().map_err(failed("count threads"))?;
    if plan.account.is_root() {
        return single
            .beside(Namespaces::NEWNS, || {
                let base = Base::of_root()?;
                let folder = match plan.access {
                    ImageAccess::Kernel => sif::mount_by_kernel(&plan.image, checked)?,
                    _ => &plan.image,
                };
                inside(plan, base, folder)
            })
            .map_err(failed("make a mount namespace"))?;
    }
    match &plan.access {
        ImageAccess::Kernel => Err(Unfit::Root)?,
        ImageAccess::Folder => single.beside(Namespaces::NEWUSER | Namespaces::NEWNS, || {
            let base = Base::new(ids)?;
            inside(plan, base, &plan.image)
        }),
        ImageAccess::Sif {
            server,
            keep,
            runtime,
            job,
        } => {
            let settings = sif::Settings {
                server,
                keep: *keep,
                runtime: runtime.as_deref(),
                job,
                file: checked.map(Checked::file),
            };
            let shown = sif::show(&single, ids, &plan.image, &settings)?;
            single.beside(Namespaces::empty(), || {
                let base = shown.join(&single)?;
                inside(plan, base, Path::new(sif::SHOWN))
            })
        }
    }
    .map_err(failed("make a user namespace"))?
}

/// Tries what starts without a runtime need of this machine: what that is, and what came of it.
pub(crate) fn probe() -> Vec<(&'static str, Result<(), Refusal>)> {
    let ids = Ids {
        uid: getuid().as_raw(),
        gid: getgid().as_raw(),
    };
    let tried = SingleThreaded::claim().and_then(|single| {
        single.beside(Namespaces::NEWUSER | Namespaces::NEWNS, || {
            let namespaces = Base::new(ids).and_then(|_| root::probe());
            let (namespaces, overlays) = match namespaces {
                Ok(overlays) => (Ok(()), Some(overlays)),
                Err(refusal) => (Err(refusal), None),
            };
            let mut found = vec![("mounts in user namespaces", namespaces)];
            if let Some(overlays) = overlays {
                found.push(("overlays in user namespaces", overlays));
                found.push(("FUSE in user namespaces", sif::probe(ids)));
            }
            found
        })
    });
    tried.unwrap_or_else(|error| {
        let refusal = failed("make a user namespace")(error);
        vec![("user namespaces", Err(refusal))]
    })
}

/// The caller's numbers.
#[derive(Debug, Clone, Copy)]
struct Ids {
    uid: u32,
    gid: u32,
}

/// What says that a file is the one that it was.
fn file_state(about: &Stat) -> [u64; 7] {
    [
        about.st_dev,
        about.st_ino,
        about.st_size.cast_unsigned(),
        about.st_mtime.cast_unsigned(),
        about.st_mtime_nsec,
        about.st_ctime.cast_unsigned(),
        about.st_ctime_nsec,
    ]
}

/// Namespaces in which a root can be made.
#[derive(Debug)]
struct Base {
    user: Option<OwnedFd>,
    mounts: OwnedFd,
}

impl Base {
    /// Those of this process, which are new: the caller is who it was.
    fn new(Ids { uid, gid }: Ids) -> Result<Self, Refusal> {
        let base = Self {
            user: Some(namespace("user")?),
            mounts: namespace("mnt")?,
        };
        // Without this nobody but root may map a group.
        write_to("/proc/self/setgroups", "deny")?;
        write_to("/proc/self/gid_map", &format!("{gid} {gid} 1"))?;
        write_to("/proc/self/uid_map", &format!("{uid} {uid} 1"))?;
        make_slave().map_err(failed("detach mounts from the host's"))?;
        Ok(base)
    }

    /// The mount namespace of this process, which is new and root's.
    fn of_root() -> Result<Self, Refusal> {
        make_slave().map_err(failed("detach mounts from the host's"))?;
        Ok(Self {
            user: None,
            mounts: namespace("mnt")?,
        })
    }

    /// Enters these, with mounts that are a copy.
    fn join(&self, single: &SingleThreaded) -> Result<Self, Refusal> {
        let user = self
            .user
            .as_ref()
            .map(|user| (user, LinkNameSpaceType::User));
        let mounts = (&self.mounts, LinkNameSpaceType::Mount);
        for (namespace, kind) in user.into_iter().chain([mounts]) {
            move_into_link_name_space(namespace.as_fd(), Some(kind))
                .map_err(failed("enter the image's namespaces"))?;
        }
        single
            .unshare(Namespaces::NEWNS)
            .map_err(failed("copy the image's mounts"))?;
        Ok(Self {
            user: Some(namespace("user")?),
            mounts: namespace("mnt")?,
        })
    }
}

fn namespace(name: &str) -> Result<OwnedFd, Refusal> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    open(format!("/proc/self/ns/{name}"), flags, Mode::empty())
        .map_err(failed("look at the new namespaces"))
}

/// Makes the root of the command from the image's folder, and finds what is executed in it.
fn inside(plan: &NativePlan, base: Base, image: &Path) -> Result<Ready, Refusal> {
    let Base { user, mounts } = base;
    rustix::process::umask(Mode::empty());
    let scripts = root::build(plan, image)?;
    let variables = plan.environment.with_scripts(scripts.as_deref())?;
    chdir(&plan.cwd).map_err(failed(format!("enter `{}`", plan.cwd.display())))?;
    let program = find(&plan.program, &variables)?;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(failed("pass a word with a NUL byte"));
    let words = std::iter::once(&plan.program).chain(&plan.arguments);
    Ok(Ready {
        user,
        mounts,
        root: identity("/").map_err(failed("look at the image's root"))?,
        cwd: plan.cwd.clone(),
        program: text(program.as_os_str().as_bytes())?,
        argv: words
            .map(|word| text(word.as_bytes()))
            .collect::<Result<_, _>>()?,
        variables: variables
            .iter()
            .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?,
        keeps_privileges: plan.keeps_privileges,
    })
}

fn identity(path: &str) -> Result<(u64, u64), Errno> {
    let about = rustix::fs::stat(path)?;
    Ok((about.st_dev, about.st_ino))
}

fn write_to(path: &str, text: &str) -> Result<(), Refusal> {
    open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::io::write(file, text.as_bytes()))
        .map_err(failed(format!("write `{path}`")))?;
    Ok(())
}

/// The program, as the command's own `PATH` finds it.
fn find(program: &OsStr, variables: &[(OsString, OsString)]) -> Result<PathBuf, Refusal> {
    let runs = |path: &Path| {
        let file = rustix::fs::stat(path)
            .is_ok_and(|about| rustix::fs::FileType::from_raw_mode(about.st_mode).is_file());
        file && access(path, Access::EXEC_OK).is_ok()
    };
    let not_found = || Refusal::NotFound(program.to_owned());
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return if runs(&path) {
            Ok(path)
        } else {
            Err(not_found())
        };
    }
    let path = variables.iter().find(|(name, _)| name == "PATH");
    path.map(|(_, value)| value.as_bytes())
        .unwrap_or_default()
        .split(|byte| *byte == b':')
        .filter(|folder| folder.starts_with(b"/"))
        .map(|folder| Path::new(OsStr::from_bytes(folder)).join(program))
        .find(|path| runs(path))
        .ok_or_else(not_found)
}

impl Ready {
    /// Becomes the command; returns only when that failed. Behind a [`Refusal`] this process is where
    /// it was before.
    pub(crate) fn enter(self) -> Result<io::Error, Refusal> {
        let death = parent_process_death_signal().ok().flatten();
        if let Some(user) = &self.user {
            move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
                .map_err(failed("enter the user namespace"))?;
        }
        Ok(match self.follow(death) {
            Err(error) => error,
            Ok(()) => nd_namespace::exec(&self.program, &self.argv, &self.variables),
        })
    }

    fn follow(&self, death: Option<rustix::process::Signal>) -> Result<(), io::Error> {
        move_into_link_name_space(self.mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
        // Nothing starts anywhere else.
        if identity("/")? != self.root {
            return Err(Errno::XDEV.into());
        }
        // The command has no privilege in the new namespace, and no program gives it one.
        if !self.keeps_privileges {
            drop_from_bounding_set(CapabilitySet::empty())?;
            drop_capabilities(CapabilitySet::empty())?;
        }
        set_no_new_privs(true)?;
        // Where the command itself may go.
        chdir(&self.cwd)?;
        // Entering a user namespace takes it away from whoever wants to know of their parent's end.
        match set_parent_process_death_signal(death) {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
