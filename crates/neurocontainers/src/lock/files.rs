//! Files of one layer, picked by their path.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read},
    sync::Arc,
};

use nd_builder::ImageLayer;
use nd_names::Sha256;
use nd_oci::{LayerContents, Limits, index_layer};
use nd_rootfs::{ContentSink, Contents as _, Kind, LayerEntry, LayerIndex, Location, Wanted};
use nd_store::Store;

use crate::pipeline::PipelineError;

/// Largest file that is read.
const FILE_LIMIT: u64 = 64 << 20;
/// Most bytes that are read of one layer.
const TOTAL_LIMIT: u64 = 512 << 20;

/// The index of a layer, which the store has unless it was pruned.
pub(super) fn index_of(store: &Store, layer: &ImageLayer) -> Result<LayerIndex, PipelineError> {
    if let Some(index) = store.layer_index(&layer.diff_id)? {
        return Ok(index);
    }
    let blob =
        nd_oci::BlobSource::open(store, &layer.digest).map_err(crate::output::OutputError::from)?;
    let read = index_layer(blob, layer.compression, Limits::default())
        .map_err(crate::output::OutputError::from)?;
    Ok(read.index)
}

/// The files of a layer whose path `wants`, by path. Paths that are not UTF-8, and files beyond the
/// limits, are left out.
pub(super) fn read(
    store: &Store,
    layer: &ImageLayer,
    wants: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Vec<u8>>, PipelineError> {
    let index = index_of(store, layer)?;
    let mut places: HashMap<&[u8], (Location, u64, Sha256)> = HashMap::new();
    let mut found: Vec<(String, Location)> = Vec::new();
    let mut wanted = Wanted::default();
    let mut total = 0;
    for entry in &index.entries {
        let (path, place) = match entry {
            LayerEntry::Entry(entry) => {
                let Kind::File { size, content, at } = entry.kind else {
                    continue;
                };
                let place = (at, size, content);
                places.insert(entry.path.as_bytes(), place);
                (entry.path.as_bytes(), place)
            }
            LayerEntry::Link { path, target } => {
                let Some(place) = places.get(target.as_bytes()).copied() else {
                    continue;
                };
                (path.as_bytes(), place)
            }
            _ => continue,
        };
        let Some(path) = std::str::from_utf8(path).ok().filter(|path| wants(path)) else {
            continue;
        };
        let (at, size, content) = place;
        if size > FILE_LIMIT || total + size > TOTAL_LIMIT {
            continue;
        }
        total += size;
        wanted.insert(at, size, content);
        found.push((path.to_owned(), at));
    }
    let mut kept = Kept::default();
    if !found.is_empty() {
        let blobs = vec![layer.blob()];
        let mut contents = LayerContents::new(Arc::new(store.clone()), blobs, Limits::default());
        contents.visit(&wanted, &mut kept)?;
    }
    let bytes = |at| kept.0.get(&at).cloned().unwrap_or_default();
    Ok(found
        .into_iter()
        .map(|(path, at)| (path, bytes(at)))
        .collect())
}

#[derive(Default)]
struct Kept(BTreeMap<Location, Vec<u8>>);

impl ContentSink for Kept {
    fn file(
        &mut self,
        at: Location,
        size: u64,
        _content: &Sha256,
        bytes: &mut dyn Read,
    ) -> io::Result<()> {
        let mut kept = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        bytes.read_to_end(&mut kept)?;
        self.0.insert(at, kept);
        Ok(())
    }
}
