//! The OCI layout.

use std::path::Path;

use nd_builder::ImageLayer;
use nd_host::{AtomicFolder, make_room};
use nd_oci::{Image, ImageSpec, Layout};
use nd_rootfs::TreeDigests;
use nd_store::Store;
use serde_json::json;

use super::{ImageDescription, OutputError};

/// Writes the image as an OCI layout at `folder`, in place of what is there. Blobs are links into
/// the store where the file systems allow it.
pub fn write_layout(
    folder: &Path,
    store: &Store,
    image: &ImageDescription,
    digests: &TreeDigests,
) -> Result<Image, OutputError> {
    make_room(folder).map_err(OutputError::io(folder))?;
    let new = AtomicFolder::create(folder).map_err(OutputError::io(folder))?;
    let layout = Layout::create(new.path())?;
    for layer in &image.layers {
        layout.put_from_store(store, &layer.digest)?;
    }
    let created = image.created();
    let history: Vec<_> = image
        .history
        .iter()
        .map(|line| {
            let mut line = json!(line);
            line["created"] = created.as_str().into();
            line
        })
        .collect();
    let diff_ids: Vec<String> = image.layers.iter().map(|l| l.diff_id.oci()).collect();
    let config = json!({
        "architecture": image.architecture.oci(),
        "os": "linux",
        "created": created,
        "config": image.final_state(digests).config(),
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    let spec = ImageSpec {
        config: serde_json::from_value(config)?,
        layers: image.layers.iter().map(ImageLayer::descriptor).collect(),
        annotations: image.annotations(digests),
        reference: Some(format!("{}_{}", image.name.version, image.name.date)),
    };
    let written = layout.write_image(&spec)?;
    new.replace().map_err(OutputError::io(folder))?;
    Ok(written)
}
