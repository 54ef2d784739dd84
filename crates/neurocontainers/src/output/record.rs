//! The release record: the form that the catalogue reads, and what it can be verified by.

use nd_records::{ReleaseRecord, ascii_json};
use serde_json::{Value, json};

use super::{ImageDescription, OutputError, TreeFacts, WrittenSif};

/// Text of `releases/CONTAINER/VERSION.json`. Readers of the older form ignore `artifacts`.
pub fn release_json(
    record: &ReleaseRecord,
    image: &ImageDescription,
    image_digest: &str,
    sif: &WrittenSif,
    facts: &TreeFacts,
) -> Result<String, OutputError> {
    let mut document: Value = serde_json::from_str(&record.to_json()?)?;
    let digests = facts.digests();
    let text = |pick: fn(&nd_rootfs::TreeDigests) -> nd_rootfs::TreeDigest| {
        digests.as_ref().map(|all| pick(all).to_string())
    };
    document["artifacts"] = json!({
        "image": { "digest": image_digest },
        "sif": {
            "name": format!("{}.simg", image.name.stem()),
            "size": sif.bytes,
            "sha256": sif.digest.hex(),
        },
        "tree": text(|all| all.tree),
        "tree_full": text(|all| all.full),
        "ids": image.ids,
        "base": image.base,
        "source": {
            "recipe": image.labels.get("org.neurodesk.recipe-path"),
            "commit": image.labels.get("org.neurodesk.recipe-commit"),
        },
        "builder": concat!("neurocontainers ", env!("CARGO_PKG_VERSION")),
    });
    Ok(ascii_json(&document)?)
}
