//! The menu of a catalogue, as a folder of the repository that desktops link to.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use nd_report::{FileId, Sink};
use nd_rootfs::{Attr, Entry, Index, IndexError, MemoryContents, PathError, TreePath};
use neurocommand::{
    catalogue::decode,
    deployment::Deployment,
    json::{Limits, parse},
    menu::{Icons, PlannedFile, plan},
};
use serde::Serialize;

use super::view::{View, ViewError};
use crate::publisher::{Edit, Part, TreeContents};

/// What the folder was made from, in it.
const RECORD: &str = "menu.json";
/// Longer records are none, in bytes.
const LONGEST: u64 = 4096;

/// Why there is no menu.
#[derive(Debug, thiserror::Error)]
pub enum MenuError {
    /// The catalogue has errors; half a menu would take entries away. The sink has the reasons.
    #[error("the catalogue of the menu has errors")]
    Catalogue,
    /// The folder is none.
    #[error("the folder of the menu")]
    Path(#[from] PathError),
    /// Its files are no tree.
    #[error("the files of the menu")]
    Index(#[from] IndexError),
}

/// A menu that should be published.
#[derive(Debug, Clone)]
pub struct Menu {
    at: TreePath,
    files: BTreeMap<Utf8PathBuf, PlannedFile>,
    digest: String,
}

/// A menu that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MenuStep {
    /// Its folder in the repository.
    pub at: String,
    /// How many files it has.
    pub files: usize,
    /// Why.
    pub reason: &'static str,
}

impl Menu {
    /// The menu of the catalogue `apps`, an `apps.json`, in the folder `at` of the repository that users
    /// see at `mount`. Problems of the catalogue go to `sink`.
    ///
    /// # Errors
    ///
    /// When the catalogue has errors, and when `at` is no path.
    pub fn new(
        apps: &str,
        deployment: &Deployment,
        (mount, at): (&str, &str),
        icons: &dyn Icons,
        sink: &mut Sink,
    ) -> Result<Self, MenuError> {
        let at = TreePath::new(at)?;
        let document = parse(apps, FileId(0), &Limits::default(), sink);
        let catalogue = document.map(|document| decode(&document, sink));
        let catalogue = catalogue.filter(|_| !sink.has_errors());
        let catalogue = catalogue.ok_or(MenuError::Catalogue)?;
        let prefix = Utf8Path::new(mount).join(at.to_string());
        let program = "neurocommand";
        let planned = plan(&catalogue, deployment, &prefix, program, icons, sink);
        let files = planned.files.iter();
        let (index, _) = tree(files.map(|(path, file)| (path.as_str(), file)))?;
        Ok(Self {
            digest: nd_rootfs::digests(&index).tree.to_string(),
            at,
            files: planned.files,
        })
    }

    /// What has to be done, if anything has.
    ///
    /// # Errors
    ///
    /// When the repository cannot be looked at.
    pub fn step(&self, view: &mut dyn View) -> Result<Option<MenuStep>, ViewError> {
        let record = view.read(&format!("{}/{RECORD}", self.at), LONGEST)?;
        let reason = match record {
            None => "it is not published",
            Some(bytes) if bytes == self.record() => return Ok(None),
            Some(_) => "the catalogue has another one",
        };
        Ok(Some(MenuStep {
            at: self.at.to_string(),
            files: self.files.len(),
            reason,
        }))
    }

    /// The edit that publishes it: the whole folder at once.
    ///
    /// # Errors
    ///
    /// Never with the files of a menu.
    pub fn edit(&self) -> Result<Edit, MenuError> {
        let record = PlannedFile {
            mode: 0o644,
            bytes: self.record(),
        };
        let files = self.files.iter().map(|(path, file)| (path.as_str(), file));
        let (index, contents) = tree(files.chain([(RECORD, &record)]))?;
        let contents = Box::new(contents);
        Ok(Edit::Directory {
            at: self.at.clone(),
            parts: vec![Part {
                below: None,
                tree: TreeContents { index, contents },
            }],
        })
    }

    fn record(&self) -> Vec<u8> {
        let record = serde_json::json!({ "schema_version": 1, "tree": self.digest });
        format!("{record}\n").into_bytes()
    }
}

/// Files with their paths as a tree.
fn tree<'a>(
    files: impl Iterator<Item = (&'a str, &'a PlannedFile)>,
) -> Result<(Index, MemoryContents), MenuError> {
    let mut contents = MemoryContents::default();
    let entries = files.map(|(path, file)| {
        Ok(Entry {
            path: TreePath::new(path)?,
            attr: Attr::new(u16::try_from(file.mode & 0o7777).unwrap_or(0o644)),
            kind: contents.file(file.bytes.clone()),
            group: None,
        })
    });
    let index = Index::from_entries(entries.collect::<Result<_, PathError>>()?)?;
    Ok((index, contents))
}
