//! From an OCI layout to a SIF, with nothing known of the layout before.

use std::path::Path;

use indexmap::IndexMap;
use nd_builder::{ImageState, import_base};
use nd_names::Architecture;
use nd_report::{Cancel, Silent, StepId};
use nd_store::Store;
use neurocontainers::{
    base::import,
    output::{Compression, ImageDescription, SifInputs, tree_facts, write_sif},
};

/// Converts; `folder` takes a store of its own.
pub(crate) fn run(layout: &Path, sif: &Path, folder: &Path) {
    let store = Store::open(folder).unwrap();
    let architecture = Architecture::of_this_program().unwrap();
    let base = import(layout, "image", architecture, &store).unwrap();
    let info = import_base(&store, &store, &base.image).unwrap();
    let facts = tree_facts(&store, &info.layers).unwrap();
    let image = ImageDescription {
        name: "bench_1.0_20260101".parse().unwrap(),
        architecture,
        epoch: 1_767_225_600,
        state: ImageState::of(&base.image.config),
        layers: info.layers,
        history: Vec::new(),
        labels: IndexMap::new(),
        base: base.origin,
        ids: "range",
    };
    let inputs = SifInputs {
        image: &image,
        facts: &facts,
        digests: &facts.digests().unwrap(),
        definition: "Bootstrap: oci\n",
        compression: Compression::Zstd,
    };
    write_sif(sif, &store, &inputs, &Silent, StepId(0), &Cancel::default()).unwrap();
}
