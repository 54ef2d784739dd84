//! Builds of a container that this machine remembers: enough to compare them later, no bytes.

use nd_builder::{Built, ImageLayer};
use nd_names::{Architecture, Sha256};
use nd_store::Store;
use serde::{Deserialize, Serialize};

use super::{BuildWish, Outputs, PipelineError, Planned, Prepared, Workshop};
use crate::output::digest_of;

/// Kind of the records.
const RECORDS: &str = "history";
/// Version of a record: others count as none.
const VERSION: u32 = 1;
/// How many builds of one container are remembered.
const KEPT: usize = 10;

/// A build that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastBuild {
    /// The container.
    pub container: String,
    /// Its version.
    pub version: String,
    /// Its date, `YYYYMMDD`.
    pub build_date: String,
    /// When it ended, seconds since 1970.
    pub ended: i64,
    /// Digest of the image's manifest.
    pub image: Sha256,
    /// `tree1full` of the image.
    pub tree_full: String,
    /// Its layers, the lowest first.
    pub layers: Vec<PastLayer>,
}

/// A layer of a past build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLayer {
    /// The layer.
    pub layer: ImageLayer,
    /// What made it; nothing for layers of the base.
    pub made_by: Option<Maker>,
}

/// What made a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Maker {
    /// The step.
    pub title: String,
    /// Place in the recipe: `FILE:LINE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<String>,
}

impl std::fmt::Display for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.line.as_ref().unwrap_or(&self.title))
    }
}

impl From<&nd_builder::StepName> for Maker {
    fn from(step: &nd_builder::StepName) -> Self {
        let line = step.origin.as_ref();
        Self {
            title: step.title.clone(),
            line: line.map(|origin| format!("{}:{}", origin.file, origin.line)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    /// The newest first.
    builds: Vec<PastBuild>,
}

fn key(container: &str, architecture: Architecture) -> Result<Sha256, PipelineError> {
    Ok(digest_of(&(RECORDS, container, architecture.as_str()))?)
}

/// Builds of a container that are remembered, the newest first.
pub fn history(
    store: &Store,
    container: &str,
    architecture: Architecture,
) -> Result<Vec<PastBuild>, PipelineError> {
    let bytes = store.record(RECORDS, &key(container, architecture)?)?;
    let record: Option<Record> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let record = record.filter(|record| record.version == VERSION);
    Ok(record.map(|record| record.builds).unwrap_or_default())
}

/// Remembers a build, unless the last one gave the same image.
pub(super) fn remember(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    planned: &Planned,
    built: &Built,
    outputs: &Outputs,
    wish: &BuildWish,
) -> Result<(), PipelineError> {
    let store = workshop.store;
    let identity = &prepared.compiled.identity;
    let made = made_by(store, planned, built, wish)?;
    let build = PastBuild {
        container: identity.name.clone(),
        version: identity.version.clone(),
        build_date: prepared.name.date.to_string(),
        ended: workshop.clock.now().as_second(),
        image: outputs.state.image,
        tree_full: outputs.digests.full.to_string(),
        layers: made,
    };
    let key = key(&build.container, identity.architecture)?;
    let _lock = store.lock(&key)?;
    let mut builds = history(store, &build.container, identity.architecture)?;
    match builds.first_mut() {
        // Lines of the recipe may have moved.
        Some(last) if last.image == build.image => *last = build,
        _ => builds.insert(0, build),
    }
    builds.truncate(KEPT);
    let record = Record {
        version: VERSION,
        builds,
    };
    store.put_record(RECORDS, &key, &serde_json::to_vec(&record)?)?;
    Ok(())
}

/// The layers of a build with what made each.
fn made_by(
    store: &Store,
    planned: &Planned,
    built: &Built,
    wish: &BuildWish,
) -> Result<Vec<PastLayer>, PipelineError> {
    let compression = wish.layers.of_layers();
    let known = planned.plan.known(store, planned.ids, compression)?.layers;
    let of = |layer: &ImageLayer| {
        let found = known.iter().rev().find(|(known, _)| known == layer);
        found.and_then(|(_, step)| step.as_ref().map(Maker::from))
    };
    let layers = built.layers.iter().map(|layer| PastLayer {
        layer: *layer,
        made_by: of(layer),
    });
    Ok(layers.collect())
}
