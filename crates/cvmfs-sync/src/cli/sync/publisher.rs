//! Publishers as the command line names them.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use nd_host::{Programs as _, SystemClock, SystemPrograms};
use nd_terminal::{Failure, FailureKind};

use crate::{
    Place,
    cli::args::{Context, KeyArgs, publish_failure},
    publisher::{
        CvmfsServer, DirectoryPublisher, NativePublisher, Publisher, PublisherError, ServerConfig,
    },
    sync::{ApplyError, StateError},
};

/// What makes revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PublisherArg {
    /// The program of that name, on the host of a Stratum 0
    #[value(name = "cvmfs_server")]
    CvmfsServer,
    /// This program, into the folder of a repository's files
    Native,
    /// This program, into a plain folder with one link that is switched
    Directory,
}

/// How revisions are made.
#[derive(Debug, Args)]
pub(super) struct PublisherArgs {
    /// What makes revisions [default: `cvmfs_server` where that has the repository]
    #[arg(long, value_name = "KIND")]
    publisher: Option<PublisherArg>,
    /// Folder of the repository's files (native), or of revisions (directory)
    #[arg(long, value_name = "DIR")]
    storage: Option<String>,
    /// Spool folder of `cvmfs_server`, where it publishes to the storage as well (native)
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
    /// The program to drive (`cvmfs_server`)
    #[arg(long, value_name = "PROGRAM", default_value = "cvmfs_server")]
    cvmfs_server: PathBuf,
    /// Folder with the settings of its repositories
    #[arg(long, value_name = "DIR", default_value = "/etc/cvmfs/repositories.d")]
    repositories: PathBuf,
    /// Minutes after which one that publishes is killed
    #[arg(long, value_name = "MINUTES", default_value_t = 360)]
    publish_limit: u64,
}

impl PublisherArgs {
    /// The publisher; `state` is a folder of this reconciler's own.
    pub(super) fn open(
        &self,
        context: &Context,
        name: &nd_cvmfs::RepositoryName,
        state: &std::path::Path,
    ) -> Result<Box<dyn Publisher>, Failure> {
        let environment = &context.environment;
        let repositories = environment.absolute(&self.repositories);
        let here = repositories.join(name.as_str()).join("server.conf");
        let kind = match self.publisher {
            Some(kind) => kind,
            None if here.is_file() => PublisherArg::CvmfsServer,
            None => {
                let text = format!("`cvmfs_server` has no repository `{name}` here");
                let failure = Failure::new(FailureKind::Usage, text);
                return Err(failure.hint("name a publisher with `--publisher`"));
            }
        };
        let storage = || {
            let storage = self.storage.as_deref();
            let text = "this publisher needs `--storage`";
            storage.ok_or_else(|| Failure::new(FailureKind::Usage, text))
        };
        Ok(match kind {
            PublisherArg::Native => {
                let usual = PathBuf::from("/var/spool/cvmfs").join(name.as_str());
                let usual = usual.is_dir().then_some(usual);
                let spool = self.spool.clone().or(usual);
                let storage = Place::writable(storage()?, spool.as_deref(), environment)?;
                let keys = self.keys.load(context, name)?;
                let known = context.known(name)?;
                let clock = Box::new(SystemClock);
                Box::new(NativePublisher::new(
                    storage,
                    name.clone(),
                    keys,
                    known,
                    clock,
                ))
            }
            PublisherArg::Directory => {
                let root = environment.absolute(storage()?);
                Box::new(DirectoryPublisher::open(root).map_err(publisher_failure)?)
            }
            PublisherArg::CvmfsServer => {
                let programs = SystemPrograms::new(environment);
                let config = ServerConfig::load(&repositories, name)?;
                let program = if self.cvmfs_server.components().count() > 1 {
                    environment.absolute(&self.cvmfs_server)
                } else {
                    let found = programs.find(&self.cvmfs_server.to_string_lossy());
                    let text = format!("program `{}` is missing", self.cvmfs_server.display());
                    found.ok_or_else(|| Failure::new(FailureKind::Tool, text))?
                };
                let clock = Box::new(SystemClock);
                let opened = CvmfsServer::new(
                    config,
                    program,
                    Box::new(programs),
                    clock,
                    state,
                    environment,
                );
                let limit = Duration::from_secs(self.publish_limit.saturating_mul(60));
                Box::new(opened.map_err(publisher_failure)?.with_limit(limit))
            }
        })
    }
}

/// A failure of a publisher, with the exit code that it has.
pub(super) fn publisher_failure(error: PublisherError) -> Failure {
    let kind = match error {
        PublisherError::Cvmfs(error) => return publish_failure(error),
        PublisherError::Busy(_) => FailureKind::Busy,
        PublisherError::Unable { .. } | PublisherError::NotOurs(_) | PublisherError::Through(_) => {
            FailureKind::Refused
        }
        PublisherError::Program(_)
        | PublisherError::NotPublished { .. }
        | PublisherError::NotOpened
        | PublisherError::NotAborted(_) => FailureKind::Tool,
        PublisherError::Cancelled(_) => FailureKind::Interrupted,
        // A full disk is seen in the causes.
        error => return Failure::from(error),
    };
    Failure::new(kind, error)
}

/// A failure of a run.
pub(super) fn apply_failure(error: ApplyError) -> Failure {
    let kind = match error {
        ApplyError::Refused(refusal) => return super::plan::refused(refusal),
        ApplyError::Publisher(error) => return publisher_failure(error),
        ApplyError::State(error) => return state_failure(error),
        ApplyError::Cancelled(_) => FailureKind::Interrupted,
        ApplyError::NoSpace { .. } | ApplyError::NoRoom { .. } => FailureKind::NoSpace,
        error => return Failure::from(error),
    };
    Failure::new(kind, error)
}

/// A failure of what is remembered.
pub(super) fn state_failure(error: StateError) -> Failure {
    match error {
        StateError::Busy => Failure::new(FailureKind::Busy, error),
        error => Failure::from(error),
    }
}
