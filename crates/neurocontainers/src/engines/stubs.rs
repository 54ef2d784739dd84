//! Empty files and folders that an engine makes to mount things at, and leaves in the image.

use std::collections::BTreeSet;

use nd_builder::ImageLayer;
use nd_oci::{LayerOptions, write_layer};
use nd_rootfs::{Index, Kind, LayerEntry, TreePath};
use nd_store::Store;

use crate::{
    output::{Compression, OutputError, merged},
    pipeline::PipelineError,
};

/// What engines mount whatever they build.
const ALWAYS: [&str; 4] = [
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/.neurocontainer-cache",
];

/// A layer that removes what is new since the base, empty, and a place of `mounts`; none if there is
/// nothing of that kind.
pub(super) fn without_stubs(
    store: &Store,
    base: &[ImageLayer],
    layers: &[ImageLayer],
    mounts: &[String],
    compression: Compression,
) -> Result<Option<ImageLayer>, PipelineError> {
    let (before, _) = merged(store, base)?;
    let (after, _) = merged(store, layers)?;
    let mut gone: BTreeSet<Vec<u8>> = BTreeSet::new();
    let places = ALWAYS.iter().map(|place| (*place).to_owned());
    for place in places.chain(mounts.iter().cloned()) {
        let mut path = place.trim_start_matches('/').as_bytes().to_vec();
        // The place, then the folders that were made for it.
        while !path.is_empty() && is_stub(&before, &after, &path, &gone) {
            gone.insert(path.clone());
            let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            path.truncate(end);
        }
    }
    // What goes with its folder needs no mark of its own.
    let within = |path: &[u8]| {
        gone.iter().any(|dir| {
            path.strip_prefix(&dir[..])
                .is_some_and(|rest| rest.starts_with(b"/"))
        })
    };
    let mut entries = Vec::new();
    let mut folders = BTreeSet::new();
    for path in gone.iter().filter(|path| !within(path)) {
        let Ok(path) = TreePath::new(path) else {
            continue;
        };
        for dir in path.ancestors() {
            if let Some(entry) = after.get(dir)
                && folders.insert(dir.to_vec())
            {
                entries.push(LayerEntry::Entry(entry.clone()));
            }
        }
        entries.push(LayerEntry::Whiteout(path));
    }
    if entries.is_empty() {
        return Ok(None);
    }
    let options = LayerOptions {
        compression: compression.of_layers(),
        clamp: None,
    };
    let mut blob = store.new_blob()?;
    let mut source = |_: &nd_rootfs::Entry| Err(std::io::ErrorKind::InvalidInput.into());
    let layer =
        write_layer(&entries, &mut source, options, &mut blob).map_err(OutputError::from)?;
    blob.finish()?;
    store.put_layer(&layer.digest, &layer.diff_id, &layer.index)?;
    Ok(Some(ImageLayer {
        diff_id: layer.diff_id,
        digest: layer.digest,
        size: layer.size,
        compression: layer.compression,
    }))
}

fn is_stub(before: &Index, after: &Index, path: &[u8], gone: &BTreeSet<Vec<u8>>) -> bool {
    if before.get(path).is_some() {
        return false;
    }
    match after.get(path).map(|entry| &entry.kind) {
        Some(Kind::File { size: 0, .. }) => true,
        Some(Kind::Dir { .. }) => after
            .children(path)
            .all(|child| gone.contains(child.path.as_bytes())),
        _ => false,
    }
}
