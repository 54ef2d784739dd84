//! What of a plan the store holds, and why the rest is missing.

use std::fmt;

use nd_oci::Compression;
use nd_sandbox::IdMode;
use nd_store::{Store, StoreError};

use crate::{
    build::{Chain, Slot, StepName, StepRecord, StepResult},
    plan::{Action, BuildPlan, ImageLayer, PlannedBase, Step, StepKey},
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What is done at all.
    Kind,
    /// The text of the script.
    Script,
    /// These variables of the environment, sorted; none where only their order changed.
    Environment(Vec<String>),
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
            Self::Environment(names) if names.is_empty() => "order of variables",
            Self::Environment(names) => return write!(f, "environment ({})", names.join(" ")),
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

/// What the store knows of a plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// The state of each step of the last stage.
    pub states: Vec<StepState>,
    /// Results of the steps that are cached, which come first.
    pub results: Vec<StepResult>,
    /// Layers up to the last cached step, the lowest first, with the step that made each; none for
    /// layers of a base image.
    pub layers: Vec<(ImageLayer, Option<StepName>)>,
    /// Whether nothing of all stages below is missing.
    whole: bool,
}

impl Known {
    /// Whether every step is cached.
    pub fn complete(&self) -> bool {
        self.states.iter().all(|state| *state == StepState::Cached)
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
        Ok(self.known(store, ids, compression)?.states)
    }

    /// Everything the store knows of the last stage. Starts nothing and unpacks nothing.
    pub fn known(
        &self,
        store: &Store,
        ids: IdMode,
        compression: Compression,
    ) -> Result<Known, StoreError> {
        match self.stages.len().checked_sub(1) {
            None => Ok(Known::default()),
            Some(last) => self.known_of_stage(last, store, ids, compression),
        }
    }

    fn known_of_stage(
        &self,
        number: usize,
        store: &Store,
        ids: IdMode,
        compression: Compression,
    ) -> Result<Known, StoreError> {
        let stage = &self.stages[number];
        let mut known = match &stage.base {
            PlannedBase::Image { layers, .. } => Known {
                layers: layers.iter().map(|layer| (*layer, None)).collect(),
                whole: true,
                ..Known::default()
            },
            PlannedBase::Stage { stage } => Known {
                states: Vec::new(),
                results: Vec::new(),
                ..self.known_of_stage(*stage, store, ids, compression)?
            },
            PlannedBase::Scratch => Known {
                whole: true,
                ..Known::default()
            },
        };
        let below: Vec<ImageLayer> = known.layers.iter().map(|(layer, _)| *layer).collect();
        let mut chain = Chain::of(&below, ids);
        let mut parent = None;
        for (place, step) in stage.steps.iter().enumerate() {
            let found = if known.whole {
                StepRecord::find(store, step.key, compression)?
                    .filter(|record| record.on == chain.tip())
            } else {
                None
            };
            let state = match found {
                Some(record) => {
                    let name = StepName {
                        title: step.title.clone(),
                        origin: step.origin.clone(),
                    };
                    if let Some(layer) = record.layer {
                        chain.push(layer, ids);
                        known.layers.push((layer, Some(name.clone())));
                    }
                    known.results.push(record.result(step.key, name, true));
                    StepState::Cached
                }
                None if !known.whole => StepState::Missing(Because::Earlier),
                None => {
                    known.whole = false;
                    let slot = Slot::find(store, &stage.steps[..=place])?;
                    StepState::Missing(because(step, parent, slot.as_ref()))
                }
            };
            known.states.push(state);
            parent = Some(step.key);
        }
        Ok(known)
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
            (Part::Environment(variables(&a.env, &b.env)), a.env != b.env),
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

/// Names of variables that only one list has, or that have other values.
fn variables(before: &[(String, String)], now: &[(String, String)]) -> Vec<String> {
    let only = |a: &[(String, String)], b: &[(String, String)]| {
        let differs = a.iter().filter(|pair| !b.contains(pair));
        differs.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let mut names = only(before, now);
    names.extend(only(now, before));
    names.sort();
    names.dedup();
    names
}
