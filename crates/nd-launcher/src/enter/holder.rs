//! Who keeps the mount of a SIF file for the next command, and how that one comes to it.
//!
//! The holder is the launcher, started anew; it waits at a socket and gives the namespaces to whoever
//! asks. Both it and the server of the mount have no variables and nothing open but what they need. The socket lies in a folder that belongs to the user alone, and
//! both sides look who the other one is.

use std::{
    ffi::{CString, OsStr, c_int},
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nd_namespace::{Namespaces, SingleThreaded, close_on_exec_from, spawn_detached};
use rustix::{
    cmsg_space,
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{
        Access, AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, access, flock, fstat, mkdir,
        open, renameat, stat, unlinkat,
    },
    io::{Errno, FdFlags, fcntl_setfd},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with,
        bind, connect, listen, recvmsg, sendmsg, socket_with,
        sockopt::{Timeout, set_socket_timeout, socket_peercred},
    },
    process::{Pid, PidfdFlags, fchdir, getppid, getuid, pidfd_open},
};

use super::{Base, Ids, Refusal, failed, file_state};

/// The name under which the launcher is the holder.
const NAME: &[u8] = b"nd-holder";
/// How long either side waits for the other one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Starts that may wait at a holder's socket.
const QUEUE: i32 = 4096;
/// Processes that are looked at on the way up.
const ANCESTORS: usize = 64;
/// The byte that comes with the namespaces.
const HERE: u8 = b'1';

/// Where the mount of an image is kept.
pub(super) struct Place {
    pub(super) folder: OwnedFd,
    /// The part of names that says for whom and what.
    key: String,
}

impl Place {
    /// The place for an open image, in a folder of the user; `job` is what names the batch system's.
    pub(super) fn new(
        ids: Ids,
        runtime: Option<&Path>,
        job: &OsStr,
        image: &OwnedFd,
    ) -> Result<Self, Refusal> {
        let folder = own_folder(ids.uid, runtime)?;
        let key = key(image, job).map_err(failed("name the image's mount"))?;
        Ok(Self { folder, key })
    }

    pub(super) fn lock_name(&self) -> String {
        format!("{}.lock", self.key)
    }

    fn socket_name(&self) -> String {
        format!("{}.socket", self.key)
    }

    /// The address of a name in the folder, however long the folder's path is.
    fn address(&self, name: &str) -> Result<SocketAddrUnix, Errno> {
        SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()))
    }
}

/// A folder that belongs to the user alone: below the one of the login, else in `/tmp`.
pub(super) fn own_folder(uid: u32, runtime: Option<&Path>) -> Result<OwnedFd, Refusal> {
    let below = runtime
        .filter(|runtime| runtime.is_absolute())
        .and_then(|runtime| own(uid, &runtime.join("neurodesk")).ok());
    if let Some(found) = below {
        return Ok(found);
    }
    let path = PathBuf::from(format!("/tmp/.neurodesk-{uid}"));
    own(uid, &path).map_err(failed(format!("use `{}`", path.display())))
}

/// Makes a folder, or opens it when it is the user's alone.
fn own(uid: u32, path: &Path) -> Result<OwnedFd, Errno> {
    match mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(path, flags, Mode::empty())?;
    let about = fstat(&folder)?;
    if about.st_uid != uid || about.st_mode & 0o077 != 0 {
        return Err(Errno::PERM);
    }
    Ok(folder)
}

/// A name for all that a mount may be shared by: the namespaces, the control group and the job of the
/// caller, and the image as it is now.
fn key(image: &OwnedFd, job: &OsStr) -> Result<String, Errno> {
    let about = fstat(image)?;
    if !FileType::from_raw_mode(about.st_mode).is_file() {
        return Err(Errno::INVAL);
    }
    let mut text = job.as_bytes().to_vec();
    for name in ["user", "mnt"] {
        let link = rustix::fs::readlink(format!("/proc/self/ns/{name}"), Vec::new())?;
        text.extend_from_slice(link.as_bytes());
    }
    let groups = open(
        "/proc/self/cgroup",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut part = [0; 4096];
    loop {
        match rustix::io::read(&groups, &mut part) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&part[..count]),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    for number in file_state(&about) {
        text.extend_from_slice(&number.to_le_bytes());
    }
    // FNV-1a from two beginnings: nobody but the user chooses what goes in.
    let hash = |begin: u64| {
        text.iter().fold(begin, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    let (one, two) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9ae1_6a3b_2f90_404f));
    Ok(format!("{one:016x}{two:016x}"))
}

/// Asks the holder of a place for its namespaces; `None` when there is none that answers.
pub(super) fn join(place: &Place, uid: u32) -> Option<Base> {
    ask(place, uid).ok().flatten()
}

fn ask(place: &Place, uid: u32) -> Result<Option<Base>, Errno> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    connect(&socket, &place.address(&place.socket_name())?)?;
    if socket_peercred(&socket)?.uid.as_raw() != uid {
        return Err(Errno::PERM);
    }
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = recvmsg(
        &socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            fds.extend(more);
        }
    }
    match (received.bytes, byte[0], <[OwnedFd; 2]>::try_from(fds)) {
        (1, HERE, Ok([user, mounts])) => Ok(Some(Base {
            user: Some(user),
            mounts,
        })),
        _ => Err(Errno::PROTO),
    }
}

/// Starts the holder of a place.
pub(super) fn start(
    single: &SingleThreaded,
    place: &Place,
    base: &Base,
    server: Pid,
    keep: u32,
) -> Result<(), Refusal> {
    let failed = || failed("keep the image's mount");
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(failed())?;
    // Nobody sees the socket before somebody listens.
    let (name, early) = (place.socket_name(), format!("{}.new", place.key));
    let _ = unlinkat(&place.folder, &early, AtFlags::empty());
    place
        .address(&early)
        .and_then(|address| bind(&socket, &address))
        .and_then(|()| listen(&socket, QUEUE))
        .map_err(failed())?;
    let number = |pid: Option<Pid>| Pid::as_raw(pid).to_string();
    let (seconds, server, guardian) = (keep.to_string(), number(Some(server)), number(guardian()));
    let words = [
        NAME,
        b"keep",
        seconds.as_bytes(),
        server.as_bytes(),
        guardian.as_bytes(),
        place.key.as_bytes(),
    ];
    detach(single, Path::new("/proc/self/exe"), &words, || {
        rustix::stdio::dup2_stdout(base.user.as_ref().ok_or(Errno::INVAL)?)?;
        rustix::stdio::dup2_stderr(&base.mounts)?;
        fchdir(&place.folder)?;
        Ok(socket.as_fd())
    })?;
    renameat(&place.folder, &early, &place.folder, &name).map_err(failed())
}

/// Starts the server of a mount, with its options.
pub(super) fn start_server(
    single: &SingleThreaded,
    server: &Path,
    options: &str,
    device: &OwnedFd,
    image: &OwnedFd,
) -> Result<Pid, Refusal> {
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open `/dev/null`"))?;
    let [device_path, image_path] = [("dev", device), ("proc/self", image)]
        .map(|(at, fd)| format!("/{at}/fd/{}", fd.as_raw_fd()));
    let words = [
        server.as_os_str().as_bytes(),
        b"-f",
        b"-o",
        options.as_bytes(),
        image_path.as_bytes(),
        device_path.as_bytes(),
    ];
    detach(single, server, &words, || {
        for fd in [device, image] {
            fcntl_setfd(fd, FdFlags::empty())?;
        }
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        rustix::process::chdir("/")?;
        Ok(null.as_fd())
    })
}

/// Starts a program without variables, which outlives this one. `arrange` runs in a child with descriptors of its own,
/// all of which close there but the standard ones and what `arrange` keeps open; it returns standard
/// input.
fn detach<'fd>(
    single: &SingleThreaded,
    program: &Path,
    words: &[&[u8]],
    arrange: impl FnOnce() -> Result<BorrowedFd<'fd>, Errno>,
) -> Result<Pid, Refusal> {
    let started = || -> std::io::Result<Pid> {
        let program = open(program, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let argv = words
            .iter()
            .map(|word| CString::new(*word))
            .collect::<Result<Vec<_>, _>>()?;
        single.unshare(Namespaces::FILES)?;
        close_on_exec_from(3)?;
        let stdin = arrange()?;
        let spawn = || spawn_detached(program.as_fd(), &argv, &[], stdin);
        let child = spawn().or_else(|_| {
            // Where it is a script, its interpreter opens it by this descriptor.
            fcntl_setfd(&program, FdFlags::empty())?;
            spawn()
        });
        Ok(child?.pid)
    };
    single
        .beside(Namespaces::empty(), started)
        .and_then(|done| done)
        .map_err(failed("start the image's server"))
}

/// Plays the holder when this program was started for that, and returns the status of its end.
pub(crate) fn play_role(arguments: &[&OsStr], variables: usize) -> Option<c_int> {
    let words: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
    let started = rustix::param::linux_execfn().to_bytes();
    if words.first() != Some(&NAME) || !started.starts_with(b"/dev/fd/") || variables > 0 {
        return None;
    }
    Some(match words[1..] {
        [b"keep", seconds, server, guardian, key] => {
            let number = |text| std::str::from_utf8(text).ok()?.parse::<i32>().ok();
            let watched = [server, guardian].map(|text| Pid::from_raw(number(text)?));
            let key = std::str::from_utf8(key).ok()?;
            keep(number(seconds)?, watched, key);
            0
        }
        _ => 1,
    })
}

/// The nearest process above this one that is somebody else's: what starts the steps of a job, or the
/// service of a login. With it ends what this one belongs to, where no control group says so.
fn guardian() -> Option<Pid> {
    let own = getuid().as_raw();
    let mut pid = getppid()?;
    for _ in 0..ANCESTORS {
        if pid == Pid::INIT {
            return None;
        }
        let path = format!("/proc/{}", pid.as_raw_nonzero());
        // Of what is not shown, the number is known.
        if stat(&path).map_or(true, |about| about.st_uid != own) {
            return Some(pid);
        }
        let file = open(
            format!("{path}/stat"),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let mut text = [0; 512];
        let count = rustix::io::read(file.ok()?, &mut text).ok()?;
        // `PID (NAME) STATE PARENT`, where the name may be anything.
        let end = text[..count].iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(&text[end + 1..count]).ok()?;
        pid = Pid::from_raw(rest.split_whitespace().nth(1)?.parse().ok()?)?;
    }
    None
}

/// Gives the namespaces, which are standard output and error, to whoever of this user asks at the
/// socket, which is standard input; ends with the server and with the guardian, if there is one, or when
/// nobody has asked for some seconds.
fn keep(seconds: i32, watched: [Option<Pid>; 2], key: &str) {
    let idle = Timespec {
        tv_sec: seconds.into(),
        tv_nsec: 0,
    };
    let socket = rustix::stdio::stdin();
    let watched: Result<Vec<OwnedFd>, Errno> = watched
        .into_iter()
        .flatten()
        .map(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .collect();
    // What is gone already needs no waiting for.
    if let Ok(watched) = watched {
        loop {
            let mut polled: Vec<PollFd<'_>> = watched
                .iter()
                .map(AsFd::as_fd)
                .chain([socket])
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            match poll(&mut polled, Some(&idle)) {
                Err(Errno::INTR) => continue,
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            polled.pop();
            if polled.iter().any(|fd| !fd.revents().is_empty()) {
                break;
            }
            // Whoever asks and goes away is not there any more.
            if let Ok(asker) = accept_with(socket, SocketFlags::CLOEXEC) {
                let _ = answer(&asker);
            }
        }
    }
    // Who connected at the last moment finds nobody and starts anew.
    let _ = unlinkat(CWD, format!("{key}.socket"), AtFlags::empty());
    let _ = forget(key);
}

/// Removes what is left of a place in the working directory, unless somebody uses it again.
fn forget(key: &str) -> Result<(), Errno> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = open(format!("{key}.lock"), flags, Mode::empty())?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    if access(format!("{key}.socket"), Access::EXISTS) == Err(Errno::NOENT) {
        unlinkat(CWD, format!("{key}.lock"), AtFlags::empty())?;
    }
    Ok(())
}

fn answer(asker: &OwnedFd) -> Result<(), Errno> {
    set_socket_timeout(asker, Timeout::Send, Some(PATIENCE))?;
    if socket_peercred(asker)?.uid != getuid() {
        return Err(Errno::PERM);
    }
    let fds = [rustix::stdio::stdout(), rustix::stdio::stderr()];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(
        asker,
        &[IoSlice::new(&[HERE])],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}
