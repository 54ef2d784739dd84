//! The last steps before the program that was asked for runs.

use std::{
    ffi::{CStr, CString, OsStr},
    io,
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
};

use nd_namespace::{
    BlockList, ContainerCapabilities, FakeRoot, Fork, PathWatch, Program, SingleThreaded,
    drop_capabilities, drop_from_bounding_set, exec, reset_signals, set_stdio,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    pipe::PipeFlags,
    process::{Gid, Pid, Resource, Rlimit, Uid},
};

use super::{Failure, failure, root::at};
use crate::{
    plan::{Plan, kind},
    wire,
};

/// The search path of a process without one.
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How many open files a process may have at first, when the host allows that many: the same
/// everywhere, because programs size their tables by it.
const FILES: u64 = 65_536;

/// Everything the step needs, prepared before it is forked.
#[derive(Debug)]
pub(super) struct Ready<'a> {
    plan: &'a Plan,
    arguments: Vec<CString>,
    variables: Vec<CString>,
    candidates: Vec<CString>,
    stdin: OwnedFd,
    stdout: BorrowedFd<'a>,
    stderr: BorrowedFd<'a>,
    filters: Vec<Program>,
    recorded: Option<(Program, BorrowedFd<'a>)>,
}

/// What became of the program.
#[derive(Debug, Clone, Copy)]
pub(super) enum Started {
    Running(Pid),
    NotExecuted(Errno),
}

impl<'a> Ready<'a> {
    pub(super) fn new(plan: &'a Plan, fds: &'a [OwnedFd]) -> Result<Self, Failure> {
        let string = |bytes: Vec<u8>| {
            CString::new(bytes).map_err(|_| failure("read a string with a zero byte")(Errno::INVAL))
        };
        let Some(program) = plan.argv.first().filter(|name| !name.is_empty()) else {
            return Err(failure("run a program without a name")(Errno::INVAL));
        };
        let stdin = match plan.stdin {
            Some(index) => at(fds, index)?
                .try_clone_to_owned()
                .map_err(failure("copy standard input"))?,
            None => rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(failure("open `/dev/null` in the root file system"))?,
        };
        let mut filters = Vec::new();
        let unsupported = |_| failure("filter system calls")(Errno::NOSYS);
        if plan.single_id {
            filters.push(FakeRoot.program().map_err(unsupported)?);
        }
        filters.push(BlockList.program().map_err(unsupported)?);
        let recorded = match plan.recorder {
            Some(index) => Some((PathWatch.program().map_err(unsupported)?, at(fds, index)?)),
            None => None,
        };
        Ok(Self {
            plan,
            arguments: plan
                .argv
                .iter()
                .cloned()
                .map(string)
                .collect::<Result<_, _>>()?,
            variables: plan
                .env
                .iter()
                .map(|(name, value)| string([name.as_slice(), b"=", value].concat()))
                .collect::<Result<_, _>>()?,
            candidates: candidates(program, &plan.env)
                .into_iter()
                .map(string)
                .collect::<Result<_, _>>()?,
            stdin,
            stdout: at(fds, plan.stdout)?,
            stderr: at(fds, plan.stderr)?,
            filters,
            recorded,
        })
    }

    /// Forks the step and waits until the program runs or could not be executed.
    pub(super) fn start(&self, single: &SingleThreaded) -> Result<Started, Failure> {
        let (ours, theirs) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(failure("make a pipe"))?;
        let pid = match single.fork().map_err(failure("fork the step"))? {
            Fork::Parent(pid) => pid,
            Fork::Child => self.become_program(&theirs),
        };
        drop(theirs);
        let mut report = Vec::new();
        let mut buffer = [0; 256];
        loop {
            match rustix::io::read(&ours, &mut buffer) {
                Ok(0) => break,
                Ok(count) => report.extend_from_slice(&buffer[..count]),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failure("wait for the program to start")(error)),
            }
        }
        let Some((errno, doing)) = report.split_first_chunk::<4>() else {
            return Ok(Started::Running(pid));
        };
        let errno = Errno::from_raw_os_error(i32::from_le_bytes(*errno).max(1));
        if doing.is_empty() {
            Ok(Started::NotExecuted(errno))
        } else {
            let doing = String::from_utf8_lossy(doing).into_owned();
            Err(failure(doing)(errno))
        }
    }

    /// In the child: becomes the program, or reports why not and ends.
    fn become_program(&self, report: &OwnedFd) -> ! {
        let (doing, error) = match self.prepare() {
            Ok(()) => ("", self.execute()),
            Err((doing, error)) => (doing, error),
        };
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        let mut text = errno.to_le_bytes().to_vec();
        text.extend_from_slice(doing.as_bytes());
        // Nobody is left to tell when this fails.
        let _ = rustix::io::write(report, &text);
        std::process::exit(127);
    }

    fn prepare(&self) -> Result<(), (&'static str, io::Error)> {
        fn to<E: Into<io::Error>>(
            doing: &'static str,
        ) -> impl FnOnce(E) -> (&'static str, io::Error) {
            move |error| (doing, error.into())
        }
        let plan = self.plan;
        if plan.own_session {
            rustix::process::setsid().map_err(to("make a session"))?;
        }
        set_stdio(self.stdin.as_fd(), self.stdout, self.stderr)
            .map_err(to("connect the standard streams"))?;
        if plan.own_terminal {
            rustix::process::ioctl_tiocsctty(&self.stdin).map_err(to("take the terminal"))?;
        }
        limit(Resource::Core, 0).map_err(to("limit core dumps"))?;
        limit(Resource::Nofile, FILES).map_err(to("limit open files"))?;
        if let Some(processes) = plan.processes {
            limit_hard(Resource::Nproc, processes).map_err(to("limit processes"))?;
        }
        // Needs a capability that is dropped below.
        for filter in &self.filters {
            filter.install().map_err(to("filter system calls"))?;
        }
        if let Some((filter, recorder)) = &self.recorded {
            let record = || to("record what is used");
            // From here on calls with paths wait until the engine has this.
            let listener = filter.install_listening().map_err(record())?;
            wire::send(*recorder, kind::LISTENER, b"", &[listener.as_fd()]).map_err(record())?;
        }
        let keep = ContainerCapabilities.set();
        drop_from_bounding_set(keep).map_err(to("give up capabilities"))?;
        if !plan.single_id {
            let gid = Gid::from_raw(plan.gid);
            let uid = Uid::from_raw(plan.uid);
            let groups: Vec<_> = plan.groups.iter().map(|&id| Gid::from_raw(id)).collect();
            rustix::thread::set_thread_groups(&groups).map_err(to("set groups"))?;
            rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(to("set the group"))?;
            rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(to("set the user"))?;
        }
        drop_capabilities(keep).map_err(to("give up capabilities"))?;
        rustix::process::chdir(OsStr::from_bytes(&plan.cwd))
            .map_err(to("enter the working directory"))?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        reset_signals();
        Ok(())
    }

    /// Tries the program in each folder of the search path, as `execvp` does.
    fn execute(&self) -> io::Error {
        let mut denied = None;
        let mut last = io::Error::from(Errno::NOENT);
        for candidate in &self.candidates {
            let error = self.execute_one(candidate);
            match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR) => last = Errno::NOENT.into(),
                Some(Errno::ACCESS) => denied = Some(error),
                _ => return error,
            }
        }
        denied.unwrap_or(last)
    }

    fn execute_one(&self, program: &CStr) -> io::Error {
        exec(program, &self.arguments, &self.variables)
    }
}

/// Where a program may be.
fn candidates(program: &[u8], env: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
    if program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    env.iter()
        .rfind(|(name, _)| name == b"PATH")
        .map_or(DEFAULT_PATH, |(_, value)| value)
        .split(|&byte| byte == b':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| [folder, b"/", program].concat())
        .collect()
}

/// Sets how much there may be at first, as far as the host allows it.
fn limit(resource: Resource, wanted: u64) -> Result<(), Errno> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let current = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    rustix::process::setrlimit(resource, Rlimit { current, maximum })
}

/// Sets how much there may ever be.
fn limit_hard(resource: Resource, wanted: u64) -> Result<(), Errno> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let both = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    rustix::process::setrlimit(
        resource,
        Rlimit {
            current: both,
            maximum: both,
        },
    )
}
