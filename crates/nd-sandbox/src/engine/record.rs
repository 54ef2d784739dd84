//! Taking down which paths a process and everything it starts look at.
//!
//! A filter of system calls asks us before each call that is given a path; we read the path from the
//! caller's memory, take it down and let the call go on. That needs no privilege on the host, sees
//! what looks without opening (`stat`, `readlink`, `access`), and misses what takes no path: files
//! handed in open, and names that are only listed. `io_uring` does not exist inside.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use nd_namespace::{Asked, Listener, PathArgument, PathUse};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

use crate::interpreter::interpreter;
use crate::{plan::kind, wire};

/// Bytes of paths that are kept: more than a program that does something else than inventing names
/// asks for.
const MOST: usize = 256 << 20;
/// As many interpreters as the kernel starts one for the other.
const INTERPRETERS: usize = 5;

/// Takes down paths; clones share what they took down.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    recorded: Mutex<Recorded>,
    /// Whether there are names that a process made and that may lead elsewhere.
    renamed: AtomicBool,
}

/// What was taken down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Absolute paths from the root of the image, as they were asked for: with `..` and symlinks,
    /// whether they exist or not. From when on a process made or moved a link, also where they led.
    pub paths: BTreeSet<Vec<u8>>,
    /// Calls whose path could not be read, and paths beyond what is kept: the record is not complete
    /// when there are any.
    pub missed: u64,
}

impl Recorder {
    /// One that has taken nothing down yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that a process was run without being recorded, over changes that the next one sees: it
    /// may have made links that lead anywhere.
    pub fn distrust(&self) {
        self.0.renamed.store(true, Ordering::Relaxed);
    }

    /// What has been taken down, which is forgotten here.
    pub fn take(&self) -> Recorded {
        std::mem::take(&mut *self.lock())
    }
}

/// A thread that records; waited for when dropped.
pub(super) struct Recording(Option<JoinHandle<()>>);

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Starts recording; gives where the step sends what hears of its calls.
pub(super) fn start(recorder: Recorder) -> io::Result<(OwnedFd, Recording)> {
    let (ours, theirs) = wire::pair()?;
    let thread = std::thread::Builder::new()
        .name("nd-recorder".into())
        .spawn(move || {
            let Ok(Some(frame)) = wire::receive(ours.as_fd()) else {
                // The step did not get that far.
                return;
            };
            if let (kind::LISTENER, Some(fd)) = (frame.kind, frame.fds.into_iter().next()) {
                Scribe::new(recorder).listen(&Listener::new(fd));
            }
        })?;
    Ok((theirs, Recording(Some(thread))))
}

/// Writes down.
struct Scribe {
    recorder: Recorder,
    /// What was asked for before, and whether it was executed.
    seen: HashMap<Vec<u8>, bool>,
    bytes: usize,
    /// The root of the image.
    root: Option<OwnedFd>,
    /// Whether anybody changed its root.
    changed_root: bool,
}

impl Scribe {
    fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            seen: HashMap::new(),
            bytes: 0,
            root: None,
            changed_root: false,
        }
    }

    fn listen(&mut self, listener: &Listener) {
        loop {
            match listener.next() {
                Ok(Some(asked)) => {
                    for path in asked.paths() {
                        self.hear(&asked, &path);
                    }
                    if listener.carry_on(&asked).is_err() {
                        // Nobody is answered any more once the listener is closed.
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn hear(&mut self, asked: &Asked, argument: &PathArgument) {
        let text = match asked.read(argument) {
            Ok(Some(text)) => text,
            // What the kernel does not take as a path is none.
            Ok(None) => return,
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => return,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return,
            Err(_) => {
                self.missed();
                return;
            }
        };
        let own = |name: String| rustix::fs::readlink(name, Vec::new()).ok();
        let pid = asked.pid;
        let base = if text.first() == Some(&b'/') {
            if self.changed_root {
                own(format!("/proc/{pid}/root"))
            } else {
                Some(c"/".to_owned())
            }
        } else if argument.directory == libc::AT_FDCWD {
            own(format!("/proc/{pid}/cwd"))
        } else {
            own(format!("/proc/{pid}/fd/{}", argument.directory))
        };
        let Some(base) = base else {
            // No such descriptor: the call will fail.
            return;
        };
        match argument.usage {
            PathUse::Root => self.changed_root = true,
            PathUse::Name => self.recorder.distrust(),
            PathUse::Look | PathUse::Execute => {}
        }
        let mut path = base.into_bytes();
        if !text.is_empty() {
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            let rest = text.iter().position(|&byte| byte != b'/');
            path.extend_from_slice(&text[rest.unwrap_or(text.len())..]);
        }
        self.note(pid, path, argument.usage == PathUse::Execute, 0);
    }

    fn note(&mut self, pid: u32, path: Vec<u8>, executed: bool, depth: usize) {
        if self
            .seen
            .get(&path)
            .is_some_and(|&before| before || !executed)
        {
            return;
        }
        self.bytes += path.len();
        if self.bytes > MOST {
            self.missed();
            return;
        }
        // Whoever knows the image finds out by itself where a path leads, unless names were made.
        let renamed = self.recorder.0.renamed.load(Ordering::Relaxed);
        let leads = if executed || renamed {
            self.follow(pid, &path)
        } else {
            None
        };
        let end = leads.as_ref().and_then(|fd| {
            let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
            rustix::fs::readlink(name, Vec::new()).ok()
        });
        {
            let mut recorded = self.recorder.lock();
            recorded.paths.insert(path.clone());
            if let Some(end) = end {
                recorded.paths.insert(end.into_bytes());
            }
        }
        self.seen.insert(path, executed);
        let interpreter = leads.filter(|_| executed).and_then(|fd| named(&fd));
        if let Some(interpreter) = interpreter
            && depth < INTERPRETERS
        {
            let path = if interpreter.first() == Some(&b'/') {
                interpreter
            } else {
                let cwd = rustix::fs::readlink(format!("/proc/{pid}/cwd"), Vec::new());
                let Ok(cwd) = cwd else { return };
                [cwd.as_bytes(), b"/", &interpreter].concat()
            };
            self.note(pid, path, true, depth + 1);
        }
    }

    /// Where a path leads now, from the root that the step began in.
    fn follow(&mut self, pid: u32, path: &[u8]) -> Option<OwnedFd> {
        if self.root.is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let name = format!("/proc/{pid}/root");
            self.root = rustix::fs::openat(CWD, name, flags, Mode::empty()).ok();
        }
        let path = std::ffi::OsStr::from_bytes(path);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let ways = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(self.root.as_ref()?, path, flags, Mode::empty(), ways).ok()
    }

    fn missed(&self) {
        self.recorder.lock().missed += 1;
    }
}

impl Recorder {
    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.0
            .recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The interpreter that a file names.
fn named(path: &OwnedFd) -> Option<Vec<u8>> {
    let stat = rustix::fs::fstat(path).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let name = format!("/proc/self/fd/{}", path.as_raw_fd());
    let file = rustix::fs::openat(CWD, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let file = file.ok()?;
    interpreter(|out, at| rustix::io::pread(&file, out, at).unwrap_or(0))
}
