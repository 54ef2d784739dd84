//! Running one process: start an init for it, follow it, clear up after it.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Instant,
};

use nd_host::Stream;
use nd_namespace::{Attributes, Child, Filesystem, MAX_LOWERS, Namespaces, clone_tree, overlay};
use nd_report::Cancel;
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pipe::PipeFlags,
};

use super::{
    adopt::attach_anywhere,
    changes::undo,
    follow::{Ended, Init, Reading, follow},
    open_path, record,
    stack::not_stacked,
    supervisor::{Group, Supervisor, supervisor},
    watch::Watch,
};
use crate::{
    Access, Enforcement, Exit, Handle, Network, Output, ProcessSpec, Root, SandboxError, Session,
    Source, Stdin, hook,
    plan::{Plan, PlannedMount, PlannedSource, kind},
    wire,
};

/// Runs a process and everything it starts until it ends; only inside an engine.
///
/// What it writes comes line by line, without newlines, in pieces of 64 KiB at most, as bytes. When
/// the process ends, what it left running is killed.
pub fn run(
    spec: &ProcessSpec,
    on_output: &mut dyn FnMut(Stream, &[u8]),
    cancel: &Cancel,
) -> Result<Exit, SandboxError> {
    Ok(run_limited(spec, on_output, cancel)?.exit)
}

/// What [`run_limited`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    /// How the process ended.
    pub exit: Exit,
    /// What saw to memory and processes; never [`Enforcement::Best`].
    pub enforcement: Enforcement,
}

/// As [`run`], and says what saw to the limits: a control group if the caller made one
/// ([`EngineProcess::start_limited`](crate::EngineProcess::start_limited)), else limits of each
/// process, and polling.
pub fn run_limited(
    spec: &ProcessSpec,
    on_output: &mut dyn FnMut(Stream, &[u8]),
    cancel: &Cancel,
) -> Result<Ran, SandboxError> {
    let supervisor = supervisor().ok_or_else(|| SandboxError::Setup {
        doing: "run a process outside of an engine".into(),
        source: io::ErrorKind::Unsupported.into(),
    })?;
    let started = Instant::now();
    let mut package = Package::default();
    let root = mount_root(&spec.root)?;
    let upper = match &spec.root {
        Root::Overlay { upper, .. } => Some(upper),
        Root::Ephemeral { .. } | Root::ReadOnly { .. } => None,
    };
    let (outputs, stdout, stderr) = outputs(&spec.output, &mut package)?;
    let mut plan = Plan {
        root: package.add(root),
        upper: upper.map(|upper| package.share(upper)).transpose()?,
        read_only: matches!(spec.root, Root::ReadOnly { .. }),
        single_id: supervisor.single_id,
        argv: spec.argv.clone(),
        env: spec.env.clone(),
        cwd: spec.cwd.clone(),
        uid: spec.user.uid,
        gid: spec.user.gid,
        groups: spec.user.groups.clone(),
        mounts: mounts(spec, &mut package)?,
        own_network: spec.network == Network::None,
        hostname: spec.hostname.clone(),
        processes: spec.limits.processes,
        own_session: spec.session != Session::Callers,
        own_terminal: spec.session == Session::Terminal,
        recorder: None,
        stdin: match &spec.stdin {
            Stdin::Null => None,
            Stdin::Bytes(bytes) => Some(
                package
                    .add(in_memory(bytes).map_err(SandboxError::setup("keep the step's input"))?),
            ),
            Stdin::Handle(handle) => Some(package.share(handle)?),
        },
        stdout,
        stderr,
    };
    let recording = match &spec.recorder {
        Some(recorder) => {
            let (theirs, recording) = record::start(recorder.clone())
                .map_err(SandboxError::setup("record what is used"))?;
            plan.recorder = Some(package.add(theirs));
            Some(recording)
        }
        None => None,
    };
    let (init, socket, group) = start_init(supervisor, &plan, package)?;
    let init = Init { child: init };
    let deadline = spec.limits.time.map(|limit| started + limit);
    let mut watch = Watch::new();
    match (group, spec.limits.memory) {
        (Some(group), _) => watch.group(group),
        (None, Some(limit)) => watch.polled(init.child.pid, limit),
        (None, None) => {}
    }
    if let (Some(upper), Some(reserve)) = (upper, spec.limits.reserve) {
        watch.disk(upper.as_fd(), reserve);
    }
    let followed = follow(
        &init, &socket, outputs, deadline, &mut watch, on_output, cancel,
    );
    // Whatever happened: nothing of it runs any more once this is done.
    let reaped = init.end();
    // It ends with the last process that it hears of.
    drop(recording);
    let (ended, changes) = followed?;
    if let Some(upper) = upper {
        undo(upper.as_fd(), &changes)
            .map_err(SandboxError::setup("remove mount points after the step"))?;
    }
    match ended {
        Ended::Exit(exit) => Ok(Ran {
            exit,
            enforcement: group.map_or(Enforcement::Processes, |group| group.kind),
        }),
        Ended::NotExecuted(source) => Err(SandboxError::Exec {
            program: spec
                .argv
                .first()
                .map(|name| name.escape_ascii().to_string())
                .unwrap_or_default(),
            source,
        }),
        Ended::Failed { doing, source } => Err(SandboxError::Setup { doing, source }),
        Ended::Lost => Err(SandboxError::Died {
            process: "init",
            how: reaped,
        }),
    }
}

/// Descriptors that go along with a plan.
#[derive(Default)]
struct Package {
    fds: Vec<OwnedFd>,
}

impl Package {
    fn add(&mut self, fd: OwnedFd) -> usize {
        self.fds.push(fd);
        self.fds.len() - 1
    }

    fn share(&mut self, handle: &Handle) -> Result<usize, SandboxError> {
        let fd = handle
            .try_clone()
            .map_err(SandboxError::setup("copy a descriptor"))?;
        Ok(self.add(fd))
    }
}

/// The root as a mount that belongs to nobody yet.
fn mount_root(root: &Root) -> Result<OwnedFd, SandboxError> {
    let attributes = Attributes {
        no_devices: true,
        ..Attributes::NONE
    };
    let failed = || SandboxError::setup("mount the root file system");
    let lowers = match root {
        Root::Overlay { lowers, .. }
        | Root::Ephemeral { lowers, .. }
        | Root::ReadOnly { lowers } => lowers,
    };
    if lowers.len() > MAX_LOWERS {
        return Err(SandboxError::TooManyLowers {
            count: lowers.len(),
            limit: MAX_LOWERS,
        });
    }
    let lowers: Vec<_> = lowers.iter().map(|lower| lower.as_fd()).collect();
    let scratch = match root {
        Root::Overlay { upper, work, .. } => {
            let changes = Some((upper.as_fd(), work.as_fd()));
            return overlay(&lowers, changes, attributes)
                .map_err(|error| not_stacked(error, Some(upper.as_fd())));
        }
        Root::Ephemeral {
            scratch: Some(scratch),
            ..
        } => {
            let (upper, work) = upper_and_work(scratch.as_fd()).map_err(failed())?;
            let changes = Some((upper.as_fd(), work.as_fd()));
            return overlay(&lowers, changes, attributes)
                .map_err(|error| not_stacked(error, Some(upper.as_fd())));
        }
        // Mount points may have to be made even where nothing is written afterwards.
        Root::Ephemeral { scratch: None, .. } | Root::ReadOnly { .. } => Filesystem::new("tmpfs")
            .and_then(|memory| memory.set("mode", b"0755"))
            .and_then(|memory| memory.mount(Attributes::NONE))
            .map_err(SandboxError::setup("make a file system in memory"))?,
    };
    let (upper, work) = upper_and_work(scratch.as_fd()).map_err(failed())?;
    let mount = || overlay(&lowers, Some((upper.as_fd(), work.as_fd())), attributes);
    mount().or_else(|_| {
        // Older kernels take only what is mounted somewhere.
        let _attached = attach_anywhere(&scratch).map_err(failed())?;
        mount().map_err(|error| not_stacked(error, None))
    })
}

fn upper_and_work(scratch: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let make = |name: &str| -> io::Result<OwnedFd> {
        match rustix::fs::mkdirat(scratch, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(scratch, name, flags, Mode::empty())?)
    };
    Ok((make("upper")?, make("work")?))
}

/// A file of these bytes, without a name, at its beginning.
fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file: File =
        rustix::fs::memfd_create("nd-stdin", rustix::fs::MemfdFlags::CLOEXEC)?.into();
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.into())
}

/// The sources of mounts as mounts that belong to nobody yet.
fn mounts(spec: &ProcessSpec, package: &mut Package) -> Result<Vec<PlannedMount>, SandboxError> {
    let mut planned = Vec::with_capacity(spec.mounts.len());
    for mount in &spec.mounts {
        let failed = || SandboxError::setup(format!("mount at `{}`", mount.target.escape_ascii()));
        let source = match &mount.source {
            Source::Handle(handle) => {
                let tree = clone_tree(handle.as_fd(), c"", true).map_err(failed())?;
                PlannedSource::Mount(package.add(tree))
            }
            Source::Path(path) => {
                let handle = open_path(path.as_os_str()).map_err(failed())?;
                let tree = clone_tree(handle.as_fd(), c"", true).map_err(failed())?;
                PlannedSource::Mount(package.add(tree))
            }
            Source::Bytes {
                content,
                mode,
                owner,
            } => PlannedSource::Bytes {
                content: content.clone(),
                mode: *mode,
                owner: *owner,
            },
            Source::Memory { mode } => PlannedSource::Memory { mode: *mode },
        };
        planned.push(PlannedMount {
            source,
            target: mount.target.clone(),
            writable: mount.access == Access::ReadWrite,
        });
    }
    Ok(planned)
}

/// Our ends of the outputs, and where theirs are in the package.
fn outputs(
    output: &Output,
    package: &mut Package,
) -> Result<([Reading; 2], usize, usize), SandboxError> {
    match output {
        Output::Handles { stdout, stderr } => {
            let none = [
                Reading::new(Stream::Stdout, None, true),
                Reading::new(Stream::Stderr, None, true),
            ];
            Ok((none, package.share(stdout)?, package.share(stderr)?))
        }
        Output::Lines | Output::Bytes => {
            let by_line = matches!(output, Output::Lines);
            let mut pipe = |stream| -> Result<(Reading, usize), SandboxError> {
                let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
                    .map_err(SandboxError::setup("make a pipe"))?;
                // Only our end: a program may be confused by an output that does not block.
                rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK)
                    .map_err(SandboxError::setup("make a pipe"))?;
                Ok((
                    Reading::new(stream, Some(ours), by_line),
                    package.add(theirs),
                ))
            };
            let (out, stdout) = pipe(Stream::Stdout)?;
            let (err, stderr) = pipe(Stream::Stderr)?;
            Ok(([out, err], stdout, stderr))
        }
    }
}

/// Starts an init in the engine's control group, if there is one and it may go there.
fn start_init<'s>(
    supervisor: &'s Supervisor,
    plan: &Plan,
    package: Package,
) -> Result<(Child, OwnedFd, Option<&'s Group>), SandboxError> {
    let (ours, theirs) = wire::pair().map_err(SandboxError::setup("make a socket"))?;
    let mut namespaces =
        Namespaces::NEWNS | Namespaces::NEWPID | Namespaces::NEWIPC | Namespaces::NEWUTS;
    if plan.own_network {
        namespaces |= Namespaces::NEWNET;
    }
    let name = CString::new(hook::INIT).unwrap_or_default();
    let child = nd_namespace::spawn(
        supervisor.exe.as_fd(),
        &[name],
        &[],
        theirs.as_fd(),
        namespaces,
    )
    .map_err(SandboxError::setup(
        "start a process in new PID, mount, IPC and UTS namespaces",
    ))?;
    drop(theirs);
    // It waits for the plan, so nothing of the step is outside.
    let pid = child.pid.as_raw_nonzero().to_string();
    let moved = |procs: &OwnedFd| rustix::io::write(procs, pid.as_bytes()).is_ok();
    let group = supervisor.group.as_ref();
    let group = group.filter(|group| group.procs.iter().all(moved));
    let payload =
        serde_json::to_vec(plan).map_err(|_| SandboxError::Protocol { process: "engine" })?;
    let fds: Vec<_> = package.fds.iter().map(OwnedFd::as_fd).collect();
    let sent = wire::send(ours.as_fd(), kind::PLAN, &payload, &fds);
    // Outputs end only when nobody holds their other ends any more.
    drop(fds);
    drop(package);
    let init = Init { child };
    if let Err(error) = sent {
        init.end();
        return Err(SandboxError::setup("send a plan to init")(error));
    }
    Ok((init.child, ours, group))
}
