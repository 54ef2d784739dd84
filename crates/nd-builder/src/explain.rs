//! What of a plan the store holds, and why the rest is missing.

use std::fmt;

use nd_oci::Compression;
use nd_sandbox::IdMode;
use nd_store::{Store, StoreError};

use crate::{
    build::{Chain, Slot, StepRecord},
    plan::{Action, BuildPlan, PlannedBase, Step, StepKey},
};

/// Whether the store holds the result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepState {
    /// It does.
    Cached,
    /// It does not.
    Missing(Because),
}

/// Why a step has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// Nothing was built from this place before.
    New,
    /// A step before it has to be done.
    Earlier,
    /// What lies below it is another one than the last time.
    Below,
    /// These parts of it are others than the last time.
    Changed(Vec<Part>),
    /// Its result was removed from the store.
    Removed,
}

/// A part of a step that its key covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is done at all.
    Kind,
    /// The text of the script.
    Script,
    /// The environment.
    Environment,
    /// The working directory.
    Directory,
    /// The user, or the owner of copied files.
    User,
    /// The network.
    Network,
    /// What is mounted.
    Mounts,
    /// What is copied.
    Sources,
    /// Where it is copied to.
    Destination,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "instruction",
            Self::Script => "script",
            Self::Environment => "environment",
            Self::Directory => "working directory",
            Self::User => "user",
            Self::Network => "network",
            Self::Mounts => "mounted files",
            Self::Sources => "copied files",
            Self::Destination => "destination",
        })
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("it was not built before"),
            Self::Earlier => f.write_str("a step before it has to be built"),
            Self::Below => f.write_str("what it stands on is another one than before"),
            Self::Removed => f.write_str("its result was removed from the store"),
            Self::Changed(parts) => {
                let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
                write!(f, "changed: {}", parts.join(", "))
            }
        }
    }
}

impl BuildPlan {
    /// The state of each step of the last stage. Starts nothing and unpacks nothing.
    pub fn states(
        &self,
        store: &Store,
        ids: IdMode,
        compression: Compression,
    ) -> Result<Vec<StepState>, StoreError> {
        match self.stages.len().checked_sub(1) {
            None => Ok(Vec::new()),
            Some(last) => Ok(self.stage_states(last, store, ids, compression)?.0),
        }
    }

    /// The states of a stage, and its layers if all of them are there.
    fn stage_states(
        &self,
        number: usize,
        store: &Store,
        ids: IdMode,
        compression: Compression,
    ) -> Result<(Vec<StepState>, Option<Chain>), StoreError> {
        let stage = &self.stages[number];
        let mut chain = match &stage.base {
            PlannedBase::Image { layers, .. } => Some(Chain::of(layers, ids)),
            PlannedBase::Stage { stage } => self.stage_states(*stage, store, ids, compression)?.1,
            PlannedBase::Scratch => Some(Chain::default()),
        };
        let mut out = Vec::with_capacity(stage.steps.len());
        let mut parent = None;
        for (place, step) in stage.steps.iter().enumerate() {
            let found = match &chain {
                None => None,
                Some(chain) => StepRecord::find(store, step.key, compression)?
                    .filter(|record| record.on == chain.tip()),
            };
            out.push(match (&mut chain, found) {
                (Some(chain), Some(record)) => {
                    if let Some(layer) = record.layer {
                        chain.push(layer, ids);
                    }
                    StepState::Cached
                }
                (None, _) => StepState::Missing(Because::Earlier),
                (Some(_), None) => {
                    chain = None;
                    let slot = Slot::find(store, &stage.steps[..=place])?;
                    StepState::Missing(because(step, parent, slot.as_ref()))
                }
            });
            parent = Some(step.key);
        }
        Ok((out, chain))
    }
}

fn because(step: &Step, parent: Option<StepKey>, before: Option<&Slot>) -> Because {
    let Some(before) = before else {
        return Because::New;
    };
    if before.key == step.key {
        return Because::Removed;
    }
    let parts = changed(&before.action, &step.action);
    if parts.is_empty() || before.parent != parent {
        return Because::Below;
    }
    Because::Changed(parts)
}

fn changed(before: &Action, now: &Action) -> Vec<Part> {
    let parts = match (before, now) {
        (Action::Run(a), Action::Run(b)) => vec![
            (Part::Script, a.script != b.script),
            (Part::Environment, a.env != b.env),
            (Part::Directory, a.cwd != b.cwd),
            (Part::User, a.user != b.user),
            (Part::Network, a.network != b.network),
            (Part::Mounts, a.mounts != b.mounts),
        ],
        (Action::Copy(a), Action::Copy(b)) => vec![
            (Part::Sources, a.sources != b.sources),
            (Part::Destination, a.dest != b.dest),
            (Part::User, a.owner != b.owner),
        ],
        (Action::Directory { path: a }, Action::Directory { path: b }) => {
            vec![(Part::Destination, a != b)]
        }
        _ => vec![(Part::Kind, true)],
    };
    let changed = parts.into_iter().filter(|(_, differs)| *differs);
    changed.map(|(part, _)| part).collect()
}
