//! What of a container is large, and what made it: from the indexes of layers, without their bytes.

use std::collections::{BTreeMap, HashSet};

use nd_builder::{ImageLayer, Known};
use nd_rootfs::{Duplicates, Kind, Location, merge};
use nd_store::Store;
use serde::Serialize;

use crate::{
    output::{OutputError, indexes},
    pipeline::Maker,
};

/// What a place in the recipe costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineWeight {
    /// Place in the recipe, or the title of a step without one; nothing for the base.
    pub line: Option<String>,
    /// Titles of its steps.
    pub steps: Vec<String>,
    /// How long they took when they were done.
    pub seconds: f64,
    /// Bytes of their layers as they are downloaded.
    pub layers: u64,
    /// Bytes of their layers as tar, where that is known.
    pub uncompressed: u64,
    /// Bytes of their files that are in the image at the end.
    pub kept: u64,
}

/// A file of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileWeight {
    /// Its path, without a leading `/`.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// Place in the recipe that made it; nothing for files of the base.
    pub line: Option<String>,
}

/// What a container weighs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weights {
    /// By place in the recipe, in its order; the base first.
    pub lines: Vec<LineWeight>,
    /// The largest files.
    pub files: Vec<FileWeight>,
    /// Bytes of all files.
    pub bytes: u64,
    /// How many entries there are.
    pub entries: usize,
}

/// Weighs what the store knows of a container, and names its `largest` largest files.
pub fn weigh(store: &Store, known: &Known, largest: usize) -> Result<Weights, OutputError> {
    let layers: Vec<ImageLayer> = known.layers.iter().map(|(layer, _)| *layer).collect();
    let makers: Vec<Option<String>> = known
        .layers
        .iter()
        .map(|(_, step)| step.as_ref().map(|step| Maker::from(step).to_string()))
        .collect();
    let indexes = indexes(store, &layers)?;
    let merged = merge(&indexes.iter().collect::<Vec<_>>(), Duplicates::Refuse)?;

    let mut lines: Vec<LineWeight> = Vec::new();
    if makers.contains(&None) {
        line(&mut lines, None);
    }
    for result in &known.results {
        let maker = Maker::from(&result.name);
        let weight = line(&mut lines, Some(&maker.to_string()));
        weight.steps.push(maker.title);
        weight.seconds += result.seconds;
        weight.uncompressed += result.uncompressed;
    }
    for (layer, maker) in layers.iter().zip(&makers) {
        line(&mut lines, maker.as_deref()).layers += layer.size;
    }
    let mut kept: BTreeMap<u32, u64> = BTreeMap::new();
    let mut files: Vec<(u64, usize, u32)> = Vec::new();
    let mut groups = HashSet::new();
    for (place, entry) in merged.index.iter().enumerate() {
        let Kind::File {
            size,
            at: Location::Layer { layer, .. },
            ..
        } = entry.kind
        else {
            continue;
        };
        // Names of one file count once.
        if entry.group.is_some_and(|group| !groups.insert(group)) {
            continue;
        }
        *kept.entry(layer).or_default() += size;
        files.push((size, place, layer));
    }
    let maker = |layer: u32| makers.get(layer as usize).and_then(Option::as_deref);
    for (layer, bytes) in &kept {
        line(&mut lines, maker(*layer)).kept += bytes;
    }
    files.sort_by_key(|(size, place, _)| (std::cmp::Reverse(*size), *place));
    files.truncate(largest);
    let of = |(bytes, place, layer): (u64, usize, u32)| FileWeight {
        path: merged.index.entries()[place].path.to_string(),
        bytes,
        line: maker(layer).map(str::to_owned),
    };
    Ok(Weights {
        lines,
        files: files.into_iter().map(of).collect(),
        bytes: kept.values().sum(),
        entries: merged.index.len(),
    })
}

fn line<'a>(lines: &'a mut Vec<LineWeight>, name: Option<&str>) -> &'a mut LineWeight {
    let at = lines.iter().position(|line| line.line.as_deref() == name);
    let at = at.unwrap_or_else(|| {
        lines.push(LineWeight {
            line: name.map(str::to_owned),
            steps: Vec::new(),
            seconds: 0.0,
            layers: 0,
            uncompressed: 0,
            kept: 0,
        });
        lines.len() - 1
    });
    &mut lines[at]
}
