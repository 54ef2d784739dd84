//! Control groups for what an engine runs, made by the caller: the ids inside may not make any.
//!
//! The engine gets open files of a group. The kernel asks who opened them, not who writes, so the
//! engine can move its init processes into the group and read what happened there.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::fs::FlockOperation;

use crate::{Enforcement, Limits};

/// Names of our groups; the number of the process that made it follows.
const PREFIX: &str = "neurodesk-";

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A group, in one directory (version 2) or one for each controller (version 1). It is removed when
/// this value is dropped, or by the next process that makes one.
#[derive(Debug)]
pub(crate) struct Group {
    kind: Enforcement,
    /// Removed with this value.
    _folders: Vec<Folder>,
    /// Where processes are written to, then where it is said that memory ran out.
    files: Vec<OwnedFd>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Group {
    /// Makes a group with these limits for what `engine` will run; `None` where this is not possible, or
    /// where nothing needs one.
    pub(crate) fn make(limits: &Limits, engine: u32) -> Option<Self> {
        limits.memory?;
        let own = fs_err::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
        let wanted = |kind| limits.enforcement == Enforcement::Best || limits.enforcement == kind;
        let two = || Self::two(&own, &mounts, limits, engine);
        let one = || Self::one(&own, &mounts, limits);
        let two = wanted(Enforcement::CgroupV2).then(two).flatten();
        two.or_else(|| wanted(Enforcement::CgroupV1).then(one).flatten())
    }

    /// What limits.
    pub(crate) fn kind(&self) -> Enforcement {
        self.kind
    }

    /// Files for the engine.
    pub(crate) fn files(&self) -> io::Result<Vec<OwnedFd>> {
        self.files.iter().map(OwnedFd::try_clone).collect()
    }

    /// The unified hierarchy: the nearest ancestor whose children have both controllers and where
    /// this process may put its own children.
    fn two(own: &str, mounts: &str, limits: &Limits, engine: u32) -> Option<Self> {
        let mount = mount_of(mounts, "cgroup2", None)?;
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let mut at = Path::new(path.trim_start_matches('/'));
        loop {
            let parent = mount.join(at);
            if let Some(folder) = Folder::make(&parent) {
                let ready = || {
                    let memory = limits.memory?.to_string();
                    folder.write("memory.max", &memory)?;
                    // Where there is no swap there is nothing to limit.
                    let _ = folder.write("memory.swap.max", "0");
                    if let Some(processes) = limits.processes {
                        folder.write("pids.max", &processes.to_string())?;
                    }
                    let procs = folder.open("cgroup.procs", true)?;
                    // Moving needs a right to the common ancestor too, which only trying shows.
                    let common = own_procs(&mount, path)?;
                    let tried = probe(&procs, &common, engine);
                    tried.then_some(())?;
                    Some(vec![procs, folder.open("memory.events", false)?])
                };
                if let Some(files) = ready() {
                    return Some(Self {
                        kind: Enforcement::CgroupV2,
                        files,
                        _folders: vec![folder],
                    });
                }
            }
            at = at.parent()?;
        }
    }

    /// A hierarchy for each controller.
    fn one(own: &str, mounts: &str, limits: &Limits) -> Option<Self> {
        let make = |controller: &str| {
            let mount = mount_of(mounts, "cgroup", Some(controller))?;
            let path = own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let named = parts.next()?.split(',').any(|name| name == controller);
                named.then(|| parts.next())?
            })?;
            Folder::make(&mount.join(path.trim_start_matches('/')))
        };
        let memory = make("memory")?;
        memory.write("memory.limit_in_bytes", &limits.memory?.to_string())?;
        // Where swap is not accounted there is nothing to limit.
        let _ = memory.write("memory.memsw.limit_in_bytes", &limits.memory?.to_string());
        let mut files = vec![memory.open("cgroup.procs", true)?];
        let events = memory.open("memory.oom_control", false)?;
        let mut folders = vec![memory];
        if let Some(processes) = limits.processes {
            let pids = make("pids")?;
            pids.write("pids.max", &processes.to_string())?;
            files.push(pids.open("cgroup.procs", true)?);
            folders.push(pids);
        }
        files.push(events);
        Some(Self {
            kind: Enforcement::CgroupV1,
            files,
            _folders: folders,
        })
    }
}

impl Folder {
    /// A new group below `parent`, after removing those of dead processes there.
    fn make(parent: &Path) -> Option<Self> {
        sweep(parent);
        // Another process may take a new one for one of a dead process, before it is locked.
        (0..3).find_map(|_| Self::try_make(parent))
    }

    fn try_make(parent: &Path) -> Option<Self> {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs_err::create_dir(&path).ok()?;
        let lock = File::from(fs_err::File::open(&path).ok()?);
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self { path, _lock: lock })
    }

    fn write(&self, name: &str, text: &str) -> Option<()> {
        let mut file = fs_err::OpenOptions::new()
            .write(true)
            .open(self.path.join(name))
            .ok()?;
        file.write_all(text.as_bytes()).ok()
    }

    fn open(&self, name: &str, write: bool) -> Option<OwnedFd> {
        let file = fs_err::OpenOptions::new()
            .read(!write)
            .write(write)
            .open(self.path.join(name))
            .ok()?;
        Some(File::from(file).into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What was killed in it may need a moment to leave.
        for _ in 0..50 {
            match fs_err::remove_dir(&self.path) {
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) =>
                {
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => return,
            }
        }
    }
}

/// Removes groups whose process is gone.
fn sweep(parent: &Path) {
    let Ok(entries) = fs_err::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        if let Ok(file) = fs_err::File::open(entry.path())
            && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            // One that is made at this moment has no process yet, and is removed with it.
            let _ = fs_err::remove_dir(entry.path());
        }
    }
}

/// Where a hierarchy is mounted: the one of a controller in version 1.
fn mount_of(mounts: &str, kind: &str, controller: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        if after.next()? != kind {
            return None;
        }
        let options = after.nth(1)?;
        if controller.is_some_and(|name| !options.split(',').any(|option| option == name)) {
            return None;
        }
        let mut words = before.split(' ').skip(3);
        // A part of a hierarchy, as containers show it, has paths that do not fit.
        (words.next()? == "/").then(|| words.next().map(PathBuf::from))?
    })
}

fn own_procs(mount: &Path, path: &str) -> Option<OwnedFd> {
    let own = mount
        .join(path.trim_start_matches('/'))
        .join("cgroup.procs");
    let file = fs_err::OpenOptions::new().write(true).open(own).ok()?;
    Some(File::from(file).into())
}

/// Whether a process may be moved into a group; it is moved back.
fn probe(into: &OwnedFd, back: &OwnedFd, process: u32) -> bool {
    let text = process.to_string();
    let moved = |to: &OwnedFd| rustix::io::write(to.as_fd(), text.as_bytes()).is_ok();
    moved(into) && moved(back)
}

#[cfg(test)]
mod tests {
    //! Finding hierarchies.

    use super::mount_of;

    #[test]
    fn hierarchies_are_found_where_they_are_mounted() {
        let text = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                    39 31 0:36 / /sys/fs/cgroup/pids rw,relatime shared:5 - cgroup cgroup rw,pids\n\
                    40 31 0:37 /docker/x /part rw - cgroup cgroup rw,cpu\n\
                    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let of =
            |kind, controller| mount_of(text, kind, controller).map(|p| p.display().to_string());
        assert_eq!(
            of("cgroup2", None).as_deref(),
            Some("/sys/fs/cgroup/unified")
        );
        assert_eq!(
            of("cgroup", Some("pids")).as_deref(),
            Some("/sys/fs/cgroup/pids")
        );
        assert_eq!(of("cgroup", Some("cpu")), None);
        assert_eq!(of("cgroup", Some("io")), None);
    }
}
