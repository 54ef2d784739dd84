//! Publishers: a set of edits becomes one revision, or is refused as a whole.
//!
//! [`NativePublisher`] writes the files of a repository, [`DirectoryPublisher`] a plain tree with one
//! link that is switched, and [`CvmfsServer`] drives the program of that name. None of them knows a
//! container or a catalogue.

mod change;
mod cvmfs_server;
mod directory;
mod error;
mod folder;
mod native;

use std::path::Path;

use nd_cvmfs::{ReadError, Repository, Source, TagName};
use nd_report::Cancel;
use nd_rootfs::{Index, TreePath};

pub use change::{ChangeSet, Edit, Message, MessageError, Part, TreeContents};
pub use cvmfs_server::{CvmfsServer, ServerConfig, ServerConfigError};
pub use directory::DirectoryPublisher;
pub use error::PublisherError;
pub use native::NativePublisher;

use crate::{housekeeping::KnownTag, sync::View};

/// A transaction that was found open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transaction {
    /// There is none.
    None,
    /// An earlier run of ours left it.
    Ours,
    /// Somebody else has it; the text says how that is known.
    Foreign(String),
}

/// How a repository stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryState {
    /// The revision that users see.
    pub revision: u64,
    /// Whether a change is under way.
    pub transaction: Transaction,
}

/// Something that a publisher cannot do with an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inability {
    /// The path of the edit.
    pub path: TreePath,
    /// What it cannot do.
    pub what: &'static str,
}

/// Makes revisions of one repository.
pub trait Publisher {
    /// What it is called on the command line.
    fn name(&self) -> &'static str;

    /// Folders on whose disks there has to be room for what is published.
    fn disks(&self) -> Vec<&Path>;

    /// How the repository stands. Nothing is changed.
    fn state(&mut self) -> Result<RepositoryState, PublisherError>;

    /// What users see.
    fn view(&mut self) -> Result<Box<dyn View + '_>, PublisherError>;

    /// The directory `at` as users see it, every byte of it read and hashed.
    fn read_back(&mut self, at: &TreePath) -> Result<Index, PublisherError>;

    /// Which of the edits it cannot do.
    fn cannot(&self, change: &ChangeSet) -> Vec<Inability>;

    /// What reads the files of the repository; `None` where there are none, only a tree.
    fn source(&self) -> Option<&dyn Source>;

    /// The tags of the repository; none where there are no tags.
    fn tags(&mut self) -> Result<Vec<KnownTag>, PublisherError>;

    /// Removes tags; says how many were there.
    fn untag(&mut self, names: &[TagName]) -> Result<usize, PublisherError>;

    /// Puts right what a killed run of ours left; gives a line about it when there was something.
    ///
    /// # Errors
    ///
    /// [`PublisherError::Busy`] when it is somebody else's: that is left alone.
    fn recover(&mut self) -> Result<Option<String>, PublisherError>;

    /// Publishes all edits as one revision, or none of them, and gives the revision that users see
    /// then. Repeating it after a kill is safe.
    fn publish(&mut self, change: ChangeSet, cancel: &Cancel) -> Result<u64, PublisherError>;
}

/// Refuses a change of which a part cannot be done.
fn able(publisher: &dyn Publisher, change: &ChangeSet) -> Result<(), PublisherError> {
    let cannot = publisher.cannot(change);
    if cannot.is_empty() {
        return Ok(());
    }
    Err(PublisherError::Unable {
        publisher: publisher.name(),
        cannot,
    })
}

/// The tags in the files of a repository.
fn tags_of(source: &dyn Source) -> Result<Vec<KnownTag>, PublisherError> {
    let repository = Repository::open(source).map_err(PublisherError::Manifest)?;
    let Some(history) = repository.history().map_err(PublisherError::Manifest)? else {
        return Ok(Vec::new());
    };
    let tags = history.tags().map_err(ReadError::from);
    let tags = tags.map_err(PublisherError::Manifest)?;
    Ok(tags
        .into_iter()
        .map(|tag| KnownTag {
            name: tag.name,
            revision: tag.revision,
            timestamp: tag.timestamp,
        })
        .collect())
}
