//! One of two builds: remembered, an OCI layout, or a SIF.

use std::{path::Path, sync::Arc};

use nd_names::Architecture;
use nd_oci::{Layout, Limits};
use nd_report::Cancel;
use nd_rootfs::{Duplicates, Index, LayerIndex, merge};
use nd_sif::{DataType, INSPECT_METADATA, Sif};
use nd_squashfs::{Digests, FileRange, Reader};
use nd_store::Store;

use super::CompareError;
use crate::{
    output::{OutputError, indexes},
    pipeline::{Maker, PastBuild, history},
};

/// Largest document in a SIF that is read, in bytes.
const DOCUMENT: u64 = 1 << 20;

/// A build to compare.
#[derive(Debug)]
pub struct Side {
    /// What people call it.
    pub name: String,
    /// Its tree.
    pub index: Index,
    /// Its layers, the lowest first, with what made each; none where they are not known.
    pub layers: Vec<(LayerIndex, Option<Maker>)>,
    /// Whether it holds what a SIF adds to an image.
    pub is_sif: bool,
}

/// Opens builds.
#[derive(Debug, Clone, Copy)]
pub struct Opener<'a> {
    /// Where indexes and past builds are.
    pub store: &'a Store,
    /// Architecture of containers that are named without one.
    pub architecture: Architecture,
    /// The caller's wish to stop.
    pub cancel: &'a Cancel,
}

impl Opener<'_> {
    /// The build that `asked` means: the path of a layout or SIF, `NAME` for its last build here,
    /// `NAME~N` for the one N builds before, `NAME/VERSION` for the last of a version.
    pub fn open(&self, asked: &str, path: &Path) -> Result<Side, CompareError> {
        if path.join("oci-layout").is_file() {
            return self.layout(asked, path);
        }
        if path.is_file() {
            return self.sif(asked, path);
        }
        let (name, back) = match asked.split_once('~') {
            Some((name, back)) => {
                let back = back.parse::<usize>().ok();
                (name, Some(back.ok_or_else(|| unknown(asked))?))
            }
            None => (asked, None),
        };
        let (container, version) = match name.split_once('/') {
            Some((container, version)) => (container, Some(version)),
            None => (name, None),
        };
        let mut builds = history(self.store, container, self.architecture)?;
        if builds.is_empty() {
            return Err(unknown(asked));
        }
        builds.retain(|build| version.is_none_or(|version| build.version == version));
        let known = builds.len();
        let build = builds.into_iter().nth(back.unwrap_or(0));
        let build = build.ok_or_else(|| CompareError::TooOld {
            asked: asked.into(),
            container: container.into(),
            known,
        })?;
        self.past(build)
    }

    fn past(&self, build: PastBuild) -> Result<Side, CompareError> {
        let stem = format!("{}_{}_{}", build.container, build.version, build.build_date);
        let ended = jiff::Timestamp::from_second(build.ended).unwrap_or_default();
        let name = format!("{stem} (built {ended})");
        let layers = self.layers_of(&stem, build)?;
        side(name, layers)
    }

    /// The layers of a past build with what made them.
    fn layers_of(
        &self,
        name: &str,
        build: PastBuild,
    ) -> Result<Vec<(LayerIndex, Option<Maker>)>, CompareError> {
        let mut out = Vec::with_capacity(build.layers.len());
        for past in build.layers {
            let layer = past.layer;
            if self
                .store
                .layer_index(&layer.diff_id)
                .is_ok_and(|i| i.is_none())
                && !self.store.has_blob(&layer.digest)
            {
                return Err(CompareError::Gone {
                    build: name.into(),
                    layer: layer.diff_id.to_string(),
                });
            }
            let index = indexes(self.store, &[layer]).map_err(fail(name))?;
            out.extend(index.into_iter().map(|index| (index, past.made_by.clone())));
        }
        Ok(out)
    }

    fn layout(&self, asked: &str, path: &Path) -> Result<Side, CompareError> {
        let layout = Layout::open(path).map_err(fail(asked))?;
        let image = layout.image(None).map_err(fail(asked))?;
        let config = serde_json::to_value(&image.config).unwrap_or_default();
        let labels = &config["config"]["Labels"];
        // Lines of a recipe are not in an image; this machine may remember them.
        let past = self.remembered(labels, |past| past.image == image.digest)?;
        let history = config["history"].as_array().cloned().unwrap_or_default();
        let titles: Vec<Maker> = history
            .iter()
            .filter(|line| !line["empty_layer"].as_bool().unwrap_or(false))
            .map(|line| Maker {
                title: line["created_by"].as_str().unwrap_or_default().to_owned(),
                line: None,
            })
            .collect();
        let mut layers = Vec::new();
        for (number, (blob, diff_id)) in image.layers.iter().zip(&image.diff_ids).enumerate() {
            let known = self.store.layer_index(diff_id);
            let known = known.map_err(OutputError::from).map_err(fail(asked))?;
            let index = if let Some(index) = known {
                index
            } else {
                let file = nd_oci::BlobSource::open(&layout, &blob.digest);
                let file = file.map_err(fail(asked))?;
                let read = nd_oci::index_layer(file, blob.compression, Limits::default());
                let read = read.map_err(fail(asked))?;
                if read.diff_id != *diff_id {
                    return Err(CompareError::Damaged {
                        build: asked.into(),
                        layer: diff_id.to_string(),
                    });
                }
                read.index
            };
            let maker = match &past {
                Some(past) => past
                    .layers
                    .get(number)
                    .and_then(|past| past.made_by.clone()),
                None if titles.len() == image.layers.len() => titles.get(number).cloned(),
                None => None,
            };
            layers.push((index, maker));
        }
        side(asked.to_owned(), layers)
    }

    fn sif(&self, asked: &str, path: &Path) -> Result<Side, CompareError> {
        let file = fs_err::File::open(path).map_err(|source| CompareError::Io {
            path: path.into(),
            source,
        })?;
        let sif = Sif::open(file.into_file()).map_err(fail(asked))?;
        let document = |data, name| {
            let object = sif.find(data, name)?;
            let bytes = sif.read(object, DOCUMENT).ok()?;
            serde_json::from_slice::<serde_json::Value>(&bytes).ok()
        };
        let about = document(DataType::GenericJson, INSPECT_METADATA).unwrap_or_default();
        let tree = document(DataType::GenericJson, "tree.json").unwrap_or_default();
        let labels = &about["data"]["attributes"]["labels"];
        let full = tree["tree_full"].as_str().unwrap_or_default();
        let past = self.remembered(labels, |past| past.tree_full == full)?;
        let partition = sif.primary_partition().ok_or_else(|| unknown(asked))?;
        let (offset, size) = (partition.offset, partition.size);
        let range = FileRange::new(sif.into_file(), offset, size);
        let reader = Reader::open(range, nd_squashfs::Limits::default()).map_err(fail(asked))?;
        let read = Arc::new(reader).tree(Digests::Read { threads: 0 }, self.cancel);
        let (index, _) = read.map_err(fail(asked))?;
        let layers = match past {
            // Without its layers, only the lines are missing.
            Some(past) => self.layers_of(asked, past).unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(Side {
            name: asked.to_owned(),
            index,
            layers,
            is_sif: true,
        })
    }

    /// The past build of the container that labels name.
    fn remembered(
        &self,
        labels: &serde_json::Value,
        is: impl Fn(&PastBuild) -> bool,
    ) -> Result<Option<PastBuild>, CompareError> {
        let Some(container) = labels["org.neurodesk.container"].as_str() else {
            return Ok(None);
        };
        let builds = history(self.store, container, self.architecture)?;
        Ok(builds.into_iter().find(is))
    }
}

fn unknown(asked: &str) -> CompareError {
    CompareError::Unknown {
        asked: asked.into(),
    }
}

fn fail<E: Into<OutputError>>(build: &str) -> impl FnOnce(E) -> CompareError {
    let build = build.to_owned();
    move |source| CompareError::Output {
        build,
        source: Box::new(source.into()),
    }
}

fn side(name: String, layers: Vec<(LayerIndex, Option<Maker>)>) -> Result<Side, CompareError> {
    let indexes: Vec<&LayerIndex> = layers.iter().map(|(index, _)| index).collect();
    let merged = merge(&indexes, Duplicates::Refuse).map_err(fail(&name))?;
    Ok(Side {
        name,
        index: merged.index,
        layers,
        is_sif: false,
    })
}
