//! `RUN`: a script in the sandbox.

use std::{os::fd::AsFd as _, sync::Arc};

use nd_host::RootDir;
use nd_instructions::Network as Wanted;
use nd_sandbox::{
    Access, Exit, Handle, Mount, Network, Output, ProcessSpec, Root, Session, Source, Stdin, User,
};

use super::{
    Overlay, Work,
    error::EngineError,
    message::{Ended, Message, MountSource, Reply, Request, RunJob},
    users, view,
};

/// Where apt finds its setting in an image with but one id.
const APT_CONFIG: &str = "/.nd-apt.conf";

/// The best shell there is.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; fi; exec sh";

impl Work {
    /// Runs a script; says how it ended unless it succeeded.
    pub(super) fn script(
        &self,
        request: &Request,
        job: &RunJob,
        overlay: &Overlay,
    ) -> Result<Option<Ended>, EngineError> {
        let below = view::read_only(&overlay.lowers, overlay.empty.as_fd());
        let below = below.map_err(EngineError::io("mount the trees below"))?;
        let name = job.spec.user.as_deref().unwrap_or("0");
        let account = users::account(&RootDir::from_fd(below), name)?;

        let mut env: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut set = |name: &[u8], value: &[u8]| {
            if !env.iter().any(|(known, _)| known == name) {
                env.push((name.to_vec(), value.to_vec()));
            }
        };
        for (name, value) in job.spec.env.iter().chain(&job.host_env) {
            set(name.as_bytes(), value.as_bytes());
        }
        set(b"HOME", &account.home);
        let ids = if request.single {
            // There is nobody else to be.
            (0, 0)
        } else {
            (account.uid, account.gid)
        };
        let mut mounts = self.mounts(job)?;
        mounts.extend(job.secrets.iter().map(|secret| Mount {
            source: Source::Bytes {
                content: secret.value().to_vec(),
                mode: 0o400,
                owner: ids,
            },
            target: secret.target().into_bytes(),
            access: Access::ReadOnly,
        }));
        if request.single {
            // apt changes to a user of its own for downloads, who does not exist here.
            set(b"APT_CONFIG", APT_CONFIG.as_bytes());
            mounts.push(Mount {
                source: Source::Bytes {
                    content: b"APT::Sandbox::User \"root\";\n".to_vec(),
                    mode: 0o444,
                    owner: (0, 0),
                },
                target: APT_CONFIG.into(),
                access: Access::ReadOnly,
            });
        }
        let root = Root::Overlay {
            lowers: handles(&overlay.lowers)?,
            upper: handle(&overlay.upper)?,
            work: handle(&overlay.work)?,
        };
        let script = job.spec.script.as_str();
        let mut spec = ProcessSpec::new(root, ["/bin/sh", "-c", script]);
        spec.env = env;
        spec.cwd = job.spec.cwd.clone().into_bytes();
        spec.user = if request.single {
            User::default()
        } else {
            User {
                uid: account.uid,
                gid: account.gid,
                groups: account.groups,
            }
        };
        spec.mounts = mounts;
        spec.network = match job.spec.network {
            Wanted::Host if !job.offline => Network::Host,
            _ => Network::None,
        };
        spec.limits = job.limits;
        let mut say = |_, line: &[u8]| self.engine.send(&Message::output(line));
        let ran = nd_sandbox::run_limited(&spec, &mut say, self.engine.cancel())?;
        if let Some(memory) = job.limits.memory {
            let by = ran.enforcement;
            self.engine.send(&Message::reply(&Reply::Kept(format!(
                "{memory} bytes of memory for each step, kept by {by}"
            ))));
        }
        let ended = match ran.exit {
            Exit::Code(0) => None,
            Exit::Code(code) => Some(Ended::Code(code)),
            Exit::Signal(signal) => Some(Ended::Signal(signal)),
            Exit::TimedOut => Some(Ended::TimedOut),
            Exit::OutOfMemory => Some(Ended::OutOfMemory),
            Exit::DiskFull => Some(Ended::DiskFull),
            Exit::Cancelled => Some(Ended::Cancelled),
        };
        if let Some(ended) = ended
            && job.look_in
            && ended != Ended::Cancelled
        {
            self.look_in(ended, spec, overlay)?;
        }
        Ok(ended)
    }

    /// Asks whether somebody wants to look at what a failed script left, and lets them.
    fn look_in(
        &self,
        ended: Ended,
        mut spec: ProcessSpec,
        overlay: &Overlay,
    ) -> Result<(), EngineError> {
        self.engine.send(&Message::reply(&Reply::Failing(ended)));
        let Some(message) = self.engine.receive() else {
            return Ok(());
        };
        let Some(terminal) = message.fds.into_iter().next() else {
            return Ok(());
        };
        let terminal = Arc::new(terminal);
        // An overlay's directory for its own use serves one mount.
        spec.root = Root::Overlay {
            lowers: handles(&overlay.lowers)?,
            upper: handle(&overlay.upper)?,
            work: handle(&self.new_dir("work-of-shell")?)?,
        };
        spec.argv = ["/bin/sh", "-c", SHELL].map(Into::into).into();
        spec.env.retain(|(name, _)| name != b"TERM");
        spec.env.push((b"TERM".to_vec(), message.bytes));
        spec.limits.time = None;
        spec.stdin = Stdin::Handle(Arc::clone(&terminal));
        spec.output = Output::Handles {
            stdout: Arc::clone(&terminal),
            stderr: terminal,
        };
        spec.session = Session::Terminal;
        // How a person leaves a shell says nothing.
        nd_sandbox::run(&spec, &mut |_, _| {}, self.engine.cancel())?;
        Ok(())
    }

    fn mounts(&self, job: &RunJob) -> Result<Vec<Mount>, EngineError> {
        let mount = |(source, target): &(MountSource, String)| {
            let access = match source {
                MountSource::Shared(_) => Access::ReadWrite,
                _ => Access::ReadOnly,
            };
            let source = match source {
                MountSource::Descriptor(at) | MountSource::Shared(at) => {
                    let fd = self.fd(*at)?.try_clone_to_owned();
                    Source::Handle(Arc::new(fd.map_err(EngineError::io("copy a descriptor"))?))
                }
                MountSource::Bytes(content) => Source::Bytes {
                    content: content.clone(),
                    mode: 0o444,
                    owner: (0, 0),
                },
            };
            Ok(Mount {
                source,
                target: target.clone().into_bytes(),
                access,
            })
        };
        job.mounts.iter().map(mount).collect()
    }
}

/// The trees as the sandbox wants them: the topmost first.
fn handles(lowers: &[std::os::fd::OwnedFd]) -> Result<Vec<Handle>, EngineError> {
    lowers.iter().rev().map(handle).collect()
}

fn handle(fd: &std::os::fd::OwnedFd) -> Result<Handle, EngineError> {
    let fd = fd
        .try_clone()
        .map_err(EngineError::io("copy a descriptor"))?;
    Ok(Arc::new(fd))
}
