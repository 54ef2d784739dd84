//! From an image to everything that is published of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use nd_host::{Invocation, Programs};
use nd_modulefile::Dialect;
use nd_names::{Architecture, ImageName, Sha256};
use nd_report::Cancel;
use nd_rootfs::{
    Contents, Entry, Index, IndexError, Kind, Location, MemoryContents, TreeDigest, TreePath,
};
use transparent_singularity::{
    Excludes, ImageError, InstallError, InstallPlan, ModuleFile, OpenImage, Placement, PlanError,
    PlanOptions, Tree, WrapperStyle, expose, has_emulator, read_environment, run_environment,
};

use super::actual::CONTAINERS;
use crate::{
    SourceTree, TreeError,
    publisher::{Part, TreeContents},
    tree::record,
};

/// How long a trial may take.
const TRIAL: Duration = Duration::from_secs(120);

/// Whether an image has to run before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// It has to where there is a runtime.
    WhenPossible,
    /// It has to.
    Always,
    /// It is not asked to.
    Never,
}

/// Why an image cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The same, as a tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Its entries are no tree.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// It exposes nothing, or cannot be exposed.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its variables cannot be told.
    #[error(transparent)]
    Environment(#[from] InstallError),
    /// It is for another machine, and nothing here emulates that.
    #[error("it is for {found}, this machine is {here}, and no emulator is registered")]
    Architecture {
        /// What it is for.
        found: Architecture,
        /// What this machine is.
        here: Architecture,
    },
    /// It does not run.
    #[error("`/bin/true` in it does not run")]
    Trial(#[source] Box<nd_host::ProgramError>),
    /// Nothing here could run it.
    #[error("neither `apptainer` nor `singularity` is installed, so that it cannot be tried")]
    NoRuntime,
    /// Another tree than the one that was released.
    #[error("its tree is {found}, and its release record says {recorded}")]
    OtherTree {
        /// What it has.
        found: String,
        /// What is recorded.
        recorded: String,
    },
}

/// What an image becomes.
#[derive(Debug)]
pub struct Prepared {
    /// The container's folder, image included.
    pub parts: Vec<Part>,
    /// Its canonical modules, path below the folder of modules and text.
    pub modules: Vec<ModuleFile>,
    /// The digest of the image's tree.
    pub digest: TreeDigest,
    /// Files beside the image, with what they hold.
    pub beside: BTreeMap<TreePath, Sha256>,
    /// The list of commands.
    pub commands: Vec<String>,
    /// What is odd.
    pub notes: Vec<String>,
}

/// Turns images into what is published of them.
pub struct Preparer {
    /// The folder where users see the repository.
    pub mount: String,
    /// How commands are wrapped.
    pub style: WrapperStyle,
    /// The bytes of the launcher, where that wraps them.
    pub launcher: Vec<u8>,
    /// Programs of images that are never exposed.
    pub excludes: Excludes,
    /// Whether images have to run.
    pub trial: Trial,
    /// Programs of this machine.
    pub programs: Box<dyn Programs>,
    /// The architecture of this machine.
    pub architecture: Architecture,
    /// A folder for what is needed meanwhile.
    pub temporary: PathBuf,
}

impl std::fmt::Debug for Preparer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preparer")
            .field("mount", &self.mount)
            .field("style", &self.style)
            .field("trial", &self.trial)
            .finish_non_exhaustive()
    }
}

impl Preparer {
    /// Reads the image at `path`, tries it, and plans its folder. `tree` is the digest that it has to
    /// have, if that is known.
    pub fn prepare(
        &self,
        name: &ImageName,
        path: &Path,
        tree: Option<&str>,
        cancel: &Cancel,
    ) -> Result<Prepared, PrepareError> {
        let mut image = OpenImage::open(path)?;
        if let Some(found) = image.architecture()?
            && found != self.architecture
            && !has_emulator(found)
        {
            return Err(PrepareError::Architecture {
                found,
                here: self.architecture,
            });
        }
        self.try_out(path, cancel)?;
        let environment = match read_environment(&mut image)? {
            Ok(environment) => environment,
            Err(needs) => run_environment(path, &[], &*self.programs, needs)?.0,
        };
        let exposed = expose(&mut image, environment, &self.excludes)?;
        let stem = name.stem();
        let folder = format!("{}/{CONTAINERS}/{stem}", self.mount);
        let options = PlanOptions {
            style: self.style,
            launcher: self.launcher.clone(),
            dialects: vec![Dialect::Lua],
            ..PlanOptions::default()
        };
        let plan = InstallPlan::new(
            name,
            Placement::Folder,
            Path::new(&folder),
            &exposed,
            &image.metadata,
            &options,
        )?;
        drop(image);
        let source = SourceTree::open(path, &self.temporary, cancel)?;
        let mut notes = plan.notes;
        notes.extend(source.notes.iter().cloned());
        let (contents, left_out) = source.into_contents().plain()?;
        if left_out > 0 {
            notes.push(format!("{left_out} devices, pipes or sockets are left out"));
        }
        let digest = nd_rootfs::digests(&contents.index).tree;
        if let Some(recorded) = tree
            && recorded != digest.to_string()
        {
            return Err(PrepareError::OtherTree {
                found: digest.to_string(),
                recorded: recorded.to_owned(),
            });
        }
        let outer = beside(&plan.files, &contents.index)?;
        let files = outer.index.iter().filter_map(|entry| match &entry.kind {
            Kind::File { content, .. } => Some((entry.path.clone(), *content)),
            _ => None,
        });
        let inner = TreePath::new(format!("{stem}.simg"));
        let inner = inner.map_err(transparent_singularity::TreeError::from);
        Ok(Prepared {
            beside: files.collect(),
            digest,
            commands: exposed.commands.keys().map(ToString::to_string).collect(),
            modules: plan.modules,
            notes,
            parts: vec![
                Part {
                    below: None,
                    tree: outer,
                },
                Part {
                    below: Some(inner.map_err(PlanError::from)?),
                    tree: contents,
                },
            ],
        })
    }

    /// Runs `/bin/true` in the image: what is cut off, or for another machine, shows it.
    fn try_out(&self, image: &Path, cancel: &Cancel) -> Result<(), PrepareError> {
        let runtime = ["apptainer", "singularity"];
        let runtime = runtime
            .into_iter()
            .find_map(|name| self.programs.find(name));
        let runtime = match (self.trial, runtime) {
            (Trial::Never, _) | (Trial::WhenPossible, None) => return Ok(()),
            (Trial::Always, None) => return Err(PrepareError::NoRuntime),
            (_, Some(runtime)) => runtime,
        };
        let call = Invocation::new(runtime)
            .args(["--silent", "exec", "--cleanenv", "--no-home", "--pwd", "/"])
            .arg(image)
            .arg("/bin/true")
            .directory("/")
            .limit(TRIAL);
        let ran = self.programs.run(&call, &mut |_, _| {}, cancel);
        ran.and_then(nd_host::Finished::success)
            .map(|_| ())
            .map_err(|error| PrepareError::Trial(Box::new(error)))
    }
}

/// The files beside an image: those that were planned, and the record of its tree.
fn beside(files: &Tree, image: &Index) -> Result<TreeContents, PrepareError> {
    let mut bytes: Vec<Vec<u8>> = Vec::new();
    let mut places: BTreeMap<Sha256, u64> = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    for entry in &files.index {
        let mut entry = entry.clone();
        if let Kind::File { content, at, .. } = &mut entry.kind {
            let place = *places.entry(*content).or_insert_with(|| {
                let path = String::from_utf8_lossy(entry.path.as_bytes());
                bytes.push(files.bytes(&path).unwrap_or_default().to_vec());
                bytes.len() as u64 - 1
            });
            *at = Location::Host(place);
        }
        entries.push(entry);
    }
    for (entry, content) in record(image)? {
        let mut entry = entry;
        if let Kind::File { at, .. } = &mut entry.kind {
            *at = Location::Host(bytes.len() as u64);
        }
        bytes.push(content);
        entries.push(entry);
    }
    let contents: Box<dyn Contents> = Box::new(MemoryContents(bytes));
    Ok(TreeContents {
        index: Index::from_entries(entries)?,
        contents,
    })
}
