//! Publishing with the program `cvmfs_server`, on the host of a Stratum 0.
//!
//! What it prints is never read: exit codes, state files and the manifest decide. Trees go through a
//! transaction, not `ingest`, which would drop extended attributes and cut no file into chunks.

mod config;
mod journal;

use std::{path::PathBuf, time::Duration};

use nd_cvmfs::{CutOptions, Directory, Repository, Source, TagName, cuts};
use nd_host::{Clock, FileLock, Finished, Invocation, Outcome, ProgramError, Programs};
use nd_report::Cancel;
use nd_rootfs::{Index, TreePath};

pub use config::{ServerConfig, ServerConfigError};

use self::journal::{Journal, Phase, changed};
use super::{
    ChangeSet, Edit, Inability, Publisher, PublisherError, RepositoryState, Transaction,
    folder::{check_above, host, make_above, remove, write_directory},
    tags_of,
};
use crate::{
    Place,
    housekeeping::KnownTag,
    sync::{FolderView, View},
};

/// How long `transaction` may wait for its turn, in seconds.
const PATIENCE: u64 = 60;
/// How long after our call a transaction can still be opened by it, in nanoseconds: it waits longer than
/// it is told to.
const OPENING: i64 = (PATIENCE.cast_signed() + 15) * 1_000_000_000;
/// How long `transaction` and `abort` may take.
const SHORT: Duration = Duration::from_secs(600);
/// How long `publish` may take unless it is said: a container has 10^5 files.
const LONG: Duration = Duration::from_secs(6 * 3600);

/// Publishes with `cvmfs_server`.
pub struct CvmfsServer {
    config: ServerConfig,
    program: PathBuf,
    programs: Box<dyn Programs>,
    clock: Box<dyn Clock>,
    journal: Journal,
    /// How long `publish` may take.
    limit: Duration,
    /// What reads the published manifest.
    place: Place,
}

impl std::fmt::Debug for CvmfsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CvmfsServer")
            .field("config", &self.config)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// A call of `cvmfs_server` that failed.
struct FailedCall {
    /// Its exit code; `None` when it was killed or never started.
    code: Option<i32>,
    /// The same for people.
    error: ProgramError,
}

impl CvmfsServer {
    /// Publishes to the repository of `config` with `program`; `state` is the folder for the journal.
    pub fn new(
        config: ServerConfig,
        program: PathBuf,
        programs: Box<dyn Programs>,
        clock: Box<dyn Clock>,
        state: &std::path::Path,
        environment: &nd_host::Environment,
    ) -> Result<Self, PublisherError> {
        let place = match &config.storage {
            Some(storage) => Place::Folder(Directory::new(storage)),
            None => Place::open(&config.address, environment)?,
        };
        Ok(Self {
            journal: Journal::new(state, config.name.clone()),
            limit: LONG,
            config,
            program,
            programs,
            clock,
            place,
        })
    }

    /// The same, with a limit for how long `publish` may take before it is killed.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    fn flag(&self) -> PathBuf {
        self.config.spool.join("in_transaction.lock")
    }

    /// When the open transaction was opened; `None` when there is none.
    fn opened(&self) -> Result<Option<i64>, PublisherError> {
        changed(&self.flag()).map_err(PublisherError::io("look at", self.flag()))
    }

    /// Whether a process holds one of the locks of `cvmfs_server`. The files stay behind, so that only
    /// asking for the lock tells.
    fn is_held(&self, name: &str) -> Result<bool, PublisherError> {
        let path = self.config.spool.join(name);
        if !path.exists() {
            return Ok(false);
        }
        let lock = FileLock::try_exclusive(&path).map_err(PublisherError::io("lock", path))?;
        Ok(lock.is_none())
    }

    fn revision(&self) -> Result<u64, PublisherError> {
        let repository = Repository::open(self.place.source()).map_err(PublisherError::Manifest)?;
        Ok(repository.manifest().revision)
    }

    fn transaction(&self) -> Result<Transaction, PublisherError> {
        for (lock, what) in [
            ("is_publishing.lock", "`cvmfs_server` publishes"),
            (
                "is_collecting.lock",
                "`cvmfs_server` collects garbage or checks",
            ),
        ] {
            if self.is_held(lock)? {
                return Ok(Transaction::Foreign(what.to_owned()));
            }
        }
        if self.config.spool.join("checkout").exists() {
            let text = "another revision is checked out on this host";
            return Ok(Transaction::Foreign(text.to_owned()));
        }
        let Some(opened) = self.opened()? else {
            return Ok(Transaction::None);
        };
        let ours = match self.journal.read()? {
            None => false,
            Some(Phase::Open { flag }) => flag == opened,
            // We were killed before we could look at the flag; `transaction` may have gone on without us.
            Some(Phase::Opening { since }) => {
                (since..since.saturating_add(OPENING)).contains(&opened)
            }
        };
        Ok(if ours {
            Transaction::Ours
        } else {
            Transaction::Foreign(format!(
                "a transaction is open (`{}`)",
                self.flag().display()
            ))
        })
    }

    fn call(&self, words: &[&str], limit: Duration, cancel: &Cancel) -> Result<(), FailedCall> {
        // Nobody may stand below `/cvmfs`, and questions are answered by nobody.
        let invocation = Invocation::new(&self.program)
            .args(words.iter().copied())
            .arg(self.config.name.as_str())
            .directory("/")
            .limit(limit);
        let ran = self.programs.run(&invocation, &mut |_, _| {}, cancel);
        ran.and_then(Finished::success)
            .map(|_| ())
            .map_err(|error| FailedCall {
                code: match &error {
                    ProgramError::Failed {
                        outcome: Outcome::Code(code),
                        ..
                    } => Some(*code),
                    _ => None,
                },
                error,
            })
    }

    fn begin(&self, cancel: &Cancel) -> Result<(), PublisherError> {
        let now = i64::try_from(self.clock.now().as_nanosecond()).unwrap_or(i64::MAX);
        // A call of a run that was killed may still come to its end.
        let earlier = match self.journal.read()? {
            Some(Phase::Opening { since }) if now < since.saturating_add(OPENING) => Some(since),
            _ => None,
        };
        let since = earlier.unwrap_or(now);
        self.journal.write(Phase::Opening { since })?;
        let patience = PATIENCE.to_string();
        let called = self.call(&["transaction", "-t", &patience], SHORT, cancel);
        let Err(failed) = called else {
            let flag = self.opened()?.ok_or(PublisherError::NotOpened)?;
            return self.journal.write(Phase::Open { flag });
        };
        match failed.code {
            // What is open now is not ours, unless it is of that earlier call.
            Some(_) if earlier.is_none() => self.journal.forget()?,
            Some(_) => {}
            None => {
                if self.transaction()? == Transaction::Ours {
                    self.abort()?;
                }
            }
        }
        Err(match failed.code {
            // EBUSY: a lease of a gateway; EEXIST: another transaction.
            Some(16 | 17) => PublisherError::Busy("another transaction is open".into()),
            _ => failed.error.into(),
        })
    }

    /// Ends our transaction; what was written in it is gone.
    fn abort(&self) -> Result<(), PublisherError> {
        // Not to be cancelled: an open transaction stops everybody.
        let called = self.call(&["abort", "-f"], SHORT, &Cancel::default());
        if self.opened()?.is_some() {
            return Err(PublisherError::NotAborted(
                called.err().map(|failed| failed.error),
            ));
        }
        self.journal.forget()
    }

    fn write(&self, edit: Edit, cancel: &Cancel) -> Result<(), PublisherError> {
        let union = &self.config.union;
        remove(union, edit.at())?;
        match edit {
            Edit::Directory { at, parts } => {
                check_above(union, &at)?;
                make_above(union, &at)?;
                write_directory(&host(union, &at), parts, cancel, &mark)
            }
            Edit::File { at, bytes, mode } => {
                check_above(union, &at)?;
                make_above(union, &at)?;
                let root =
                    nd_host::RootDir::open(union).map_err(PublisherError::io("open", union))?;
                root.write(at.as_bytes(), &bytes, u32::from(mode))
                    .map_err(PublisherError::io("write", host(union, &at)))
            }
            Edit::Remove { .. } => Ok(()),
        }
    }
}

/// Marks where catalogues begin: at the root of a part, and where it is too large for one.
fn mark(index: &Index, root: &nd_host::RootDir) -> std::io::Result<()> {
    const MARKER: &[u8] = b".cvmfscatalog";
    let entries = index.entries();
    let below = cuts(index, CutOptions::default()).into_iter().map(|at| {
        let path = entries[at].path.as_bytes();
        [path, b"/", MARKER].concat()
    });
    for path in [MARKER.to_vec()].into_iter().chain(below) {
        root.write(&path, b"", 0o644)?;
    }
    Ok(())
}

impl Publisher for CvmfsServer {
    fn name(&self) -> &'static str {
        "cvmfs_server"
    }

    fn disks(&self) -> Vec<&std::path::Path> {
        self.config
            .storage
            .iter()
            .chain([&self.config.spool])
            .map(PathBuf::as_path)
            .collect()
    }

    fn state(&mut self) -> Result<RepositoryState, PublisherError> {
        Ok(RepositoryState {
            revision: self.revision()?,
            transaction: self.transaction()?,
        })
    }

    fn view(&mut self) -> Result<Box<dyn View + '_>, PublisherError> {
        Ok(Box::new(FolderView::open(&self.config.union)?))
    }

    fn read_back(&mut self, at: &TreePath) -> Result<Index, PublisherError> {
        Ok(nd_oci::read_directory(&host(&self.config.union, at))?.0)
    }

    fn cannot(&self, _: &ChangeSet) -> Vec<Inability> {
        Vec::new()
    }

    fn source(&self) -> Option<&dyn Source> {
        Some(self.place.source())
    }

    fn tags(&mut self) -> Result<Vec<KnownTag>, PublisherError> {
        tags_of(self.place.source())
    }

    fn untag(&mut self, names: &[TagName]) -> Result<usize, PublisherError> {
        if names.is_empty() {
            return Ok(0);
        }
        if let Transaction::Foreign(what) = self.transaction()? {
            return Err(PublisherError::Busy(what));
        }
        let mut words = vec!["tag"];
        for name in names {
            words.extend(["-r", name.as_str()]);
        }
        // Without it the question is answered from standard input.
        words.push("-f");
        match self.call(&words, SHORT, &Cancel::default()) {
            Ok(()) => Ok(names.len()),
            Err(failed) => Err(failed.error.into()),
        }
    }

    fn recover(&mut self) -> Result<Option<String>, PublisherError> {
        match self.transaction()? {
            Transaction::None => Ok(None),
            Transaction::Foreign(what) => Err(PublisherError::Busy(what)),
            Transaction::Ours => {
                self.abort()?;
                Ok(Some("aborted the transaction of an interrupted run".into()))
            }
        }
    }

    fn publish(&mut self, change: ChangeSet, cancel: &Cancel) -> Result<u64, PublisherError> {
        super::able(self, &change)?;
        self.recover()?;
        let before = self.revision()?;
        self.begin(cancel)?;
        for edit in change.edits {
            let written = cancel
                .check()
                .map_err(PublisherError::from)
                .and_then(|()| self.write(edit, cancel));
            if let Err(error) = written {
                self.abort()?;
                return Err(error);
            }
        }
        let words = ["publish", "-f", "-m", change.message.as_str()];
        let called = self.call(&words, self.limit, cancel);
        let after = self.revision();
        // On an error the transaction stays open, and after a kill nothing but `abort` repairs it. When
        // the revision is public all the same, nothing of it is lost by that.
        if self.opened()?.is_some() {
            self.abort()?;
        } else {
            self.journal.forget()?;
        }
        let after = after?;
        if after > before {
            return Ok(after);
        }
        Err(match called {
            Ok(()) => PublisherError::NotPublished { revision: before },
            Err(failed) => failed.error.into(),
        })
    }
}
