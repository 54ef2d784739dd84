//! What the verbs share: the environment, keys, failures.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use nd_cvmfs::{
    KeyFolder, Keys, Known, MasterPublicKey, PublishError, ReplicateError, RepositoryName,
    StorageError, VerifyError,
};
use nd_host::{Clock as _, Environment, SystemClock};
use nd_report::Cancel;
use nd_terminal::{Failure, FailureKind, OutputFormat, Printer};

/// The process as the verbs see it.
pub(super) struct Context {
    pub(super) printer: Printer,
    pub(super) environment: Environment,
    pub(super) cancel: Cancel,
    pub(super) now: Timestamp,
}

impl Context {
    pub(super) fn new(printer: Printer) -> Result<Self, Failure> {
        let cancel = Cancel::default();
        nd_terminal::cancel_when_interrupted(&cancel, &printer)?;
        Ok(Self {
            printer,
            environment: Environment::of_process()?,
            cancel,
            now: SystemClock.now(),
        })
    }

    pub(super) fn json(&self) -> bool {
        self.printer.format() == OutputFormat::Json
    }

    /// The index of known contents of a repository.
    pub(super) fn known(&self, name: &RepositoryName) -> Result<Known, Failure> {
        let folder = self
            .environment
            .cache_dir()?
            .join("cvmfs")
            .join(name.as_str());
        fs_err::create_dir_all(&folder)?;
        Ok(Known::open(&folder.join("known.db"))?)
    }
}

/// Which repository, and where its keys are.
#[derive(Debug, Args)]
pub(super) struct RepositoryArgs {
    /// Name of the repository, such as `software.example.org`
    #[arg(long, value_name = "NAME")]
    pub(super) repository: RepositoryName,
    /// Where the repository's files are: a folder, or `s3://BUCKET/PATH`
    #[arg(long, value_name = "PLACE")]
    pub(super) storage: String,
    /// Spool folder of `cvmfs_server`, where it publishes to this repository as well; the usual one is
    /// found by itself
    #[arg(long, value_name = "DIR")]
    pub(super) spool: Option<PathBuf>,
    #[command(flatten)]
    pub(super) keys: KeyArgs,
}

impl RepositoryArgs {
    /// The spool folder, if there is one.
    pub(super) fn spool(&self) -> Option<PathBuf> {
        let usual = || {
            let usual = PathBuf::from("/var/spool/cvmfs").join(self.repository.as_str());
            usual.is_dir().then_some(usual)
        };
        self.spool.clone().or_else(usual)
    }
}

/// Where keys are.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Folder of the keys [default: `$XDG_DATA_HOME/cvmfs-sync/keys/NAME`]
    #[arg(long, value_name = "DIR")]
    pub(super) keys: Option<PathBuf>,
}

impl KeyArgs {
    pub(super) fn folder(
        &self,
        context: &Context,
        name: &RepositoryName,
    ) -> Result<KeyFolder, Failure> {
        let environment = &context.environment;
        let folder = if let Some(folder) = &self.keys {
            environment.absolute(folder)
        } else {
            let data = environment.data_dir()?;
            let base = data.parent().unwrap_or(&data);
            base.join("cvmfs-sync/keys").join(name.as_str())
        };
        Ok(KeyFolder::new(folder, name.clone()))
    }

    pub(super) fn load(&self, context: &Context, name: &RepositoryName) -> Result<Keys, Failure> {
        let folder = self.folder(context, name)?;
        for path in folder.exposed() {
            let path = path.display();
            context
                .printer
                .warn(&format!("others may read the private key `{path}`"));
        }
        Ok(folder.load()?)
    }
}

/// Which public keys prove a repository.
#[derive(Debug, Args)]
pub(super) struct TrustArgs {
    /// File with a public master key; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) key: Vec<PathBuf>,
    /// Name that the repository must have
    #[arg(long, value_name = "NAME")]
    pub(super) repository: Option<RepositoryName>,
    #[command(flatten)]
    pub(super) keys: KeyArgs,
}

impl TrustArgs {
    /// The keys given, else those of the key folder for the name that the repository has.
    pub(super) fn public(
        &self,
        context: &Context,
        named: Option<&RepositoryName>,
    ) -> Result<Vec<MasterPublicKey>, Failure> {
        if !self.key.is_empty() {
            let load = |path: &PathBuf| MasterPublicKey::load(&context.environment.absolute(path));
            return Ok(self.key.iter().map(load).collect::<Result<_, _>>()?);
        }
        let name = self.repository.as_ref().or(named);
        let Some(name) = name else {
            return Ok(Vec::new());
        };
        Ok(self
            .keys
            .folder(context, name)?
            .load()?
            .public
            .into_iter()
            .collect())
    }
}

/// The kind of failure that decides the exit code.
fn kind_of(error: &StorageError) -> FailureKind {
    match error {
        StorageError::Busy(_) | StorageError::Conflict => FailureKind::Busy,
        full if full.is_full() => FailureKind::NoSpace,
        StorageError::Io { .. } | StorageError::TooLarge { .. } => FailureKind::Failed,
    }
}

pub(super) fn publish_failure(error: PublishError) -> Failure {
    let kind = match &error {
        PublishError::Storage(storage) => kind_of(storage),
        PublishError::Trust(_) | PublishError::OtherKey | PublishError::NotCollectable => {
            FailureKind::Refused
        }
        PublishError::Cancelled(_) => FailureKind::Interrupted,
        _ => FailureKind::Failed,
    };
    let expired = matches!(
        &error,
        PublishError::Trust(nd_cvmfs::TrustError::Expired(_))
    );
    let failure = Failure::new(kind, error);
    if expired {
        failure.hint("`cvmfs-sync resign` signs a new whitelist with the master key")
    } else {
        failure
    }
}

pub(super) fn replicate_failure(error: ReplicateError) -> Failure {
    let kind = match &error {
        ReplicateError::Storage(storage) => kind_of(storage),
        ReplicateError::Trust(_) | ReplicateError::Older { .. } => FailureKind::Refused,
        ReplicateError::Cancelled(_) => FailureKind::Interrupted,
        _ => FailureKind::Failed,
    };
    Failure::new(kind, error)
}

pub(super) fn verify_failure(error: VerifyError) -> Failure {
    let kind = match &error {
        VerifyError::Cancelled(_) => FailureKind::Interrupted,
        _ => FailureKind::Failed,
    };
    Failure::new(kind, error)
}

/// A path of a repository as a user writes it, with or without slashes at its ends.
pub(super) fn tree_path(text: &str) -> Result<Option<nd_rootfs::TreePath>, Failure> {
    Ok(nd_rootfs::TreePath::clean(text.as_bytes())?)
}

/// The same, absolute; the root is the empty path.
pub(super) fn absolute(text: &str) -> Result<Vec<u8>, Failure> {
    Ok(match tree_path(text)? {
        Some(path) => [b"/", path.as_bytes()].concat(),
        None => Vec::new(),
    })
}
