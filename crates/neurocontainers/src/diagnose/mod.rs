//! Everything that is wrong with recipes on disk, and the repair of what can be repaired.
//!
//! Reads and compiles every concrete container of every recipe given and looks at the test suites,
//! without network and without writing; [`Outcome::fix`] says what the files would be afterwards.

mod document;
mod files;
mod reports;

pub use document::{Buffers, check_folder};
pub use reports::{TOOL, explanations};

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    thread,
};

use nd_names::Architecture;
use nd_report::{Diagnostic, FileId, Fixed, apply_safe_fixes};
use nd_terminal::Sources;
use neurocontainers_recipe::Compat;

use crate::recipes::RecipeFolder;

/// How recipes are checked.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// How upstream's accidents are treated. In upstream's mode only what upstream would refuse
    /// is reported, not what breaks later.
    pub compat: Compat,
    /// Architecture of the machine that would build.
    pub host: Architecture,
    /// Threads to use.
    pub threads: usize,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// All diagnostics: by file, then by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that were read, by the names people see.
    pub sources: Sources,
    /// Where the files of recipes are; files that recipes include are not theirs and not here.
    pub paths: BTreeMap<FileId, PathBuf>,
    /// How many recipes were looked at.
    pub recipes: usize,
}

/// Numbers of files that are kept free for each recipe; more than it may include.
const FILES_OF_A_RECIPE: u32 = 128;

/// Recipes from which on a second thread is worth its start.
const WORTH_A_THREAD: usize = 16;

/// Checks recipes; `root` is the repository, below which included files are.
pub fn check_recipes(folders: &[RecipeFolder], root: &Path, options: &CheckOptions) -> Outcome {
    let threads = if folders.len() < WORTH_A_THREAD {
        1
    } else {
        options.threads.max(1)
    };
    let numbered: Vec<(u32, &RecipeFolder)> = (0..).zip(folders).collect();
    let check = |(number, folder): &(u32, &RecipeFolder)| {
        let first = number * FILES_OF_A_RECIPE;
        check_folder(folder, root, &Buffers::default(), options, first)
    };
    // Taken in turn rather than in halves: large recipes stand beside each other in the alphabet.
    let mut outcomes: Vec<Outcome> = thread::scope(|scope| {
        let workers: Vec<_> = (1..threads)
            .map(|worker| {
                let mine = numbered.iter().skip(worker).step_by(threads);
                scope.spawn(move || mine.map(check).collect::<Vec<_>>())
            })
            .collect();
        let mut all: Vec<Outcome> = numbered.iter().step_by(threads).map(check).collect();
        for worker in workers {
            match worker.join() {
                Ok(outcomes) => all.extend(outcomes),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    outcomes.sort_by_key(|outcome| outcome.sources.files().next());
    let mut all = outcomes.into_iter().fold(Outcome::default(), Outcome::join);
    all.say_once();
    all
}

impl Outcome {
    fn join(mut self, other: Self) -> Self {
        self.diagnostics.extend(other.diagnostics);
        self.sources.extend(other.sources);
        self.paths.extend(other.paths);
        self.recipes += other.recipes;
        self
    }

    /// Keeps what is said of an included file for the first recipe that includes it.
    fn say_once(&mut self) {
        let Self {
            diagnostics,
            sources,
            paths,
            ..
        } = self;
        let mut known = HashSet::new();
        diagnostics.retain(|found| {
            let shared = found
                .labels
                .first()
                .filter(|label| !paths.contains_key(&label.span.file));
            let Some(label) = shared else {
                return true;
            };
            let name = sources.name(label.span.file).map(str::to_owned);
            known.insert((name, label.span.range(), found.code, found.message.clone()))
        });
    }

    /// The files that the safe edits change, with their new texts.
    pub fn fix(&self) -> Vec<(FileId, Fixed)> {
        self.paths
            .keys()
            .filter_map(|file| {
                let text = self.sources.text(*file)?;
                let fixed = apply_safe_fixes(text, *file, &self.diagnostics);
                (fixed.applied > 0).then_some((*file, fixed))
            })
            .collect()
    }
}
