//! What the store remembers of finished steps.

use nd_names::Sha256;
use nd_oci::Compression;
use nd_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use super::{StepName, StepResult};
use crate::plan::{Action, ImageLayer, Step, StepKey, compression_word};

const VERSION: u32 = 1;

/// A finished step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    version: u32,
    /// Key of the tree that it stands on. A step built anew may give other bytes, and what stood on
    /// the old ones is then no result any more.
    pub(crate) on: Option<Sha256>,
    /// Its layer; none if it changed nothing.
    pub(crate) layer: Option<ImageLayer>,
    /// Entries of the layer.
    pub(crate) entries: u64,
    /// Bytes of the uncompressed layer.
    pub(crate) uncompressed: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl StepRecord {
    pub(crate) fn new(on: Option<Sha256>, seconds: f64) -> Self {
        Self {
            version: VERSION,
            on,
            layer: None,
            entries: 0,
            uncompressed: 0,
            seconds,
        }
    }

    /// What it says of the step of this key and name.
    pub(crate) fn result(&self, key: StepKey, name: StepName, cached: bool) -> StepResult {
        StepResult {
            key,
            name,
            cached,
            seconds: self.seconds,
            layer: self.layer,
            entries: self.entries,
            uncompressed: self.uncompressed,
        }
    }

    /// The record of a step whose result can be used: its blob is there.
    pub(crate) fn find(
        store: &Store,
        key: StepKey,
        compression: Compression,
    ) -> Result<Option<Self>, StoreError> {
        let bytes = store.record(&kind(compression), key.digest())?;
        let record: Option<Self> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(record.filter(|record| {
            let there = |layer: &ImageLayer| store.has_blob(&layer.digest);
            record.version == VERSION && record.layer.as_ref().is_none_or(there)
        }))
    }

    /// Forgets a step, so that it is done anew.
    pub(crate) fn remove(
        store: &Store,
        key: StepKey,
        compression: Compression,
    ) -> Result<(), StoreError> {
        store.remove_record(&kind(compression), key.digest())
    }

    pub(crate) fn put(
        &self,
        store: &Store,
        key: StepKey,
        compression: Compression,
    ) -> Result<(), StoreError> {
        // Plain data always serialises.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        store.put_record(&kind(compression), key.digest(), &bytes)
    }
}

fn kind(compression: Compression) -> String {
    format!("step-{}", compression_word(compression))
}

/// What a place in the instructions was built from the last time, to say why it is built again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slot {
    pub(crate) key: StepKey,
    pub(crate) parent: Option<StepKey>,
    pub(crate) action: Action,
}

impl Slot {
    /// What the last of `steps` was built from the last time.
    pub(crate) fn find(store: &Store, steps: &[Step]) -> Result<Option<Self>, StoreError> {
        let bytes = store.record("slot", &slot_key(steps))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Remembers it of the last of `steps`.
    pub(crate) fn put(&self, store: &Store, steps: &[Step]) -> Result<(), StoreError> {
        // Plain data always serialises.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        store.put_record("slot", &slot_key(steps), &bytes)
    }
}

/// The place of the last of `steps`: file, line and which of those from there, else its number.
fn slot_key(steps: &[Step]) -> Sha256 {
    let text = match steps.split_last() {
        Some((step, before)) => match &step.origin {
            Some(origin) => {
                let same = |other: &&Step| {
                    let place = other.origin.as_ref().map(|o| (&o.file, o.line));
                    place == Some((&origin.file, origin.line))
                };
                let number = before.iter().filter(same).count();
                format!("{}:{}:{number}", origin.file, origin.line)
            }
            None => format!("step {}", before.len()),
        },
        None => String::new(),
    };
    Sha256::of(text)
}
