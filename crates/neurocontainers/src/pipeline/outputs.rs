//! Writing the outputs, unless they are there.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use nd_builder::Built;
use nd_host::write_atomic;
use nd_names::Sha256;
use nd_rootfs::TreeDigests;
use serde::{Deserialize, Serialize};

use super::{BuildWish, PipelineError, Planned, Prepared, Workshop, work};
use crate::{
    output::{
        History, ImageDescription, SifInputs, TreeFacts, WrittenSif, release_json, tree_facts,
        write_layout, write_sif,
    },
    recipes::Places,
    stage::OUTPUT_FOLDER,
};

/// Says what the outputs in a folder were written from.
const STATE: &str = "outputs.json";

/// What the outputs in a folder are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputState {
    /// Digest of everything they depend on.
    key: Sha256,
    /// Digest of the image's manifest.
    pub image: Sha256,
    /// The SIF.
    pub sif: WrittenSif,
    /// When the SIF was last changed: another file under its name is not ours.
    sif_changed: (i64, i64),
}

/// Where the outputs are.
#[derive(Debug)]
pub struct Outputs {
    /// Their folder.
    pub folder: PathBuf,
    /// The OCI layout.
    pub oci: PathBuf,
    /// The SIF.
    pub sif: PathBuf,
    /// The release record.
    pub release: PathBuf,
    /// Whether the release record was as it is.
    pub release_cached: bool,
    /// What they are.
    pub state: OutputState,
    /// Whether layout and SIF were there already.
    pub cached: bool,
    /// The image.
    pub image: ImageDescription,
    /// Its identity.
    pub facts: TreeFacts,
    /// The same, parsed.
    pub digests: TreeDigests,
    /// Units of work: title, seconds.
    pub steps: Vec<(String, f64)>,
}

/// Writes layout, SIF and release record.
pub(super) fn write(
    workshop: &Workshop<'_>,
    places: &Places,
    prepared: &Prepared,
    planned: &Planned,
    built: &Built,
    wish: &BuildWish,
) -> Result<Outputs, PipelineError> {
    let image = describe(prepared, planned, built);
    let facts = tree_facts(workshop.store, &image.layers)?;
    let digests = facts
        .digests()
        .ok_or_else(|| nd_store_record_gone(&planned.folder))?;
    let folder = planned.folder.join(OUTPUT_FOLDER);
    fs_err::create_dir_all(&folder).map_err(PipelineError::io(&folder))?;
    let oci = folder.join("oci");
    let sif = folder.join(format!("{}.simg", prepared.name.stem()));
    let key = image.key(&(wish.sif, &prepared.definition))?;
    let mut steps = Vec::new();
    let known = known(&folder, &key, &oci, &sif);
    let cached = known.is_some();
    let state = if let Some(state) = known {
        workshop.cached(work::LAYOUT, "write the OCI layout");
        workshop.cached(work::SIF, "write the SIF");
        state
    } else {
        let (written, seconds) =
            workshop.unit(work::LAYOUT, "write the OCI layout", None, || {
                write_layout(&oci, workshop.store, &image, &digests)
            })?;
        steps.push(("write the OCI layout".to_owned(), seconds));
        let inputs = SifInputs {
            image: &image,
            facts: &facts,
            digests: &digests,
            definition: &prepared.definition,
            compression: wish.sif,
        };
        let (sif_written, seconds) =
            workshop.unit(work::SIF, "write the SIF", Some(facts.bytes), || {
                write_sif(
                    &sif,
                    workshop.store,
                    &inputs,
                    workshop.reporter,
                    work::SIF,
                    workshop.cancel,
                )
            })?;
        steps.push(("write the SIF".to_owned(), seconds));
        let state = OutputState {
            key,
            image: written.digest,
            sif: sif_written,
            sif_changed: changed(&sif).ok_or_else(|| nd_store_record_gone(&sif))?,
        };
        let path = folder.join(STATE);
        write_atomic(&path, &serde_json::to_vec_pretty(&state)?)
            .map_err(PipelineError::io(&path))?;
        state
    };
    let (release, release_cached) = release(places, prepared, &image, &state, &facts)?;
    Ok(Outputs {
        folder,
        oci,
        sif,
        release,
        release_cached,
        state,
        cached,
        image,
        facts,
        digests,
        steps,
    })
}

fn nd_store_record_gone(path: &Path) -> PipelineError {
    PipelineError::io(path)(std::io::ErrorKind::NotFound.into())
}

/// The state of the outputs, if they are what would be written.
fn known(folder: &Path, key: &Sha256, oci: &Path, sif: &Path) -> Option<OutputState> {
    let bytes = fs_err::read(folder.join(STATE)).ok()?;
    let state: OutputState = serde_json::from_slice(&bytes).ok()?;
    let manifest = oci.join("blobs/sha256").join(state.image.hex());
    let there = state.key == *key
        && changed(sif) == Some(state.sif_changed)
        && fs_err::metadata(sif).ok()?.len() == state.sif.bytes
        && oci.join("index.json").is_file()
        && manifest.is_file();
    there.then_some(state)
}

fn changed(path: &Path) -> Option<(i64, i64)> {
    let meta = fs_err::metadata(path).ok()?;
    Some((meta.mtime(), meta.mtime_nsec()))
}

fn describe(prepared: &Prepared, planned: &Planned, built: &Built) -> ImageDescription {
    let compiled = &prepared.compiled;
    let about = &compiled.about;
    let origin = &planned.base.origin;
    let mut labels: IndexMap<String, String> = IndexMap::new();
    let mut add = |key: &str, value: &str| {
        if !value.trim().is_empty() {
            labels.insert(key.to_owned(), value.trim().to_owned());
        }
    };
    let licences: Vec<&str> = about.copyright.iter().map(|c| c.licence.as_str()).collect();
    let spdx = about.copyright.iter().all(|copyright| copyright.spdx);
    let licence = licences.join(" AND ");
    add("org.opencontainers.image.title", prepared.name.app.as_str());
    add(
        "org.opencontainers.image.version",
        prepared.name.version.as_str(),
    );
    if let Some(description) = &about.description {
        add("org.opencontainers.image.description", description);
    }
    if spdx {
        add("org.opencontainers.image.licenses", &licence);
    }
    add("org.opencontainers.image.base.name", &origin.name);
    add("org.opencontainers.image.base.digest", &origin.digest);
    add("org.neurodesk.container", &compiled.identity.name);
    add("org.neurodesk.build-date", prepared.name.date.as_str());
    add("org.neurodesk.recipe-path", &prepared.folder.shown);
    add("org.neurodesk.licence", &licence);
    if let Some(citation) = &about.citation {
        add("org.neurodesk.citation", citation);
    }
    if let Some(commit) = &prepared.state.commit {
        add("org.opencontainers.image.revision", commit);
        add("org.neurodesk.recipe-commit", commit);
    }
    if !about.apptainer_args.is_empty() {
        add(
            "org.neurodesk.apptainer-args",
            &about
                .apptainer_args
                .iter()
                .map(|argument| {
                    argument
                        .as_str()
                        .map_or_else(|| argument.to_string(), str::to_owned)
                })
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    // An engine may have made one layer of all.
    let on_base = planned.base_layers() + built.steps.iter().filter(|s| s.layer.is_some()).count();
    let base = if on_base == built.layers.len() {
        base_history(planned)
    } else {
        Vec::new()
    };
    let history = base
        .into_iter()
        .chain(built.steps.iter().map(|step| History {
            created_by: step.name.title.clone(),
            empty_layer: step.layer.is_none(),
        }))
        .collect();
    let mut image = ImageDescription {
        name: prepared.name.clone(),
        architecture: compiled.identity.architecture,
        epoch: prepared.epoch(),
        state: built.state.clone(),
        layers: built.layers.clone(),
        history,
        labels,
        base: origin.clone(),
        ids: planned.ids.name(),
    };
    let created = image.created();
    image
        .labels
        .insert("org.opencontainers.image.created".into(), created);
    image
}

/// The base's own history, so that there is one line for each layer.
fn base_history(planned: &Planned) -> Vec<History> {
    let config = serde_json::to_value(&planned.base.image.config).unwrap_or_default();
    let lines = config["history"].as_array().cloned().unwrap_or_default();
    let said: Vec<History> = lines
        .iter()
        .map(|line| History {
            created_by: line["created_by"].as_str().unwrap_or_default().to_owned(),
            empty_layer: line["empty_layer"].as_bool().unwrap_or(false),
        })
        .collect();
    let layers = planned.base.image.layers.len();
    if said.iter().filter(|line| !line.empty_layer).count() == layers {
        return said;
    }
    let line = History {
        created_by: format!("base {}", planned.base.origin.name),
        empty_layer: false,
    };
    vec![line; layers]
}

fn release(
    places: &Places,
    prepared: &Prepared,
    image: &ImageDescription,
    state: &OutputState,
    facts: &TreeFacts,
) -> Result<(PathBuf, bool), PipelineError> {
    let path = places
        .output
        .join(prepared.compiled.identity.release_path());
    let record = prepared.compiled.release(&prepared.name.date);
    let text = release_json(&record, image, &state.image.oci(), &state.sif, facts)?;
    if fs_err::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok((path, true));
    }
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent).map_err(PipelineError::io(parent))?;
    }
    write_atomic(&path, text.as_bytes()).map_err(PipelineError::io(&path))?;
    Ok((path, false))
}
