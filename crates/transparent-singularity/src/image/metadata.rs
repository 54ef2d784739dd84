//! What an image says about itself: environment of its configuration, labels, architecture.

use std::collections::BTreeMap;

use nd_names::Architecture;
use nd_oci::Image;
use nd_sif::{DataType, INSPECT_METADATA, Sif};
use serde_json::Value;

use super::ImageFiles;
use crate::ImageError;

/// Larger documents are no labels.
const DOCUMENT: u64 = 4 << 20;

/// What an image says about itself outside of its files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Variables of an OCI configuration; `None` for images that have none.
    pub env: Option<Vec<(String, String)>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The architecture its programs are for.
    pub architecture: Option<Architecture>,
    /// The tree digest that the builder wrote beside the system.
    pub tree: Option<String>,
    /// Whether there is a signature beside the system, which nothing here checks.
    pub signed: bool,
}

impl Metadata {
    /// What an OCI configuration says.
    pub(super) fn of_configuration(image: &Image) -> Self {
        let inner = image.config.config().as_ref();
        let env = inner
            .and_then(|inner| inner.env().clone())
            .unwrap_or_default();
        let pair = |text: &String| {
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        let labels = inner
            .and_then(|inner| inner.labels().clone())
            .unwrap_or_default();
        Self {
            env: Some(env.iter().filter_map(pair).collect()),
            labels: labels.into_iter().collect(),
            architecture: match image.config.architecture().to_string().as_str() {
                "amd64" => Some(Architecture::X86_64),
                "arm64" => Some(Architecture::Aarch64),
                _ => None,
            },
            tree: None,
            signed: false,
        }
    }

    /// What `/.singularity.d/labels.json` says.
    pub(super) fn of_files(files: &mut ImageFiles) -> Result<Self, ImageError> {
        let mut out = Self::default();
        if let Some(bytes) = files.read(b"/.singularity.d/labels.json", DOCUMENT)?
            && let Ok(Value::Object(labels)) = serde_json::from_slice(&bytes)
        {
            out.labels = texts(labels);
        }
        Ok(out)
    }

    /// What the objects beside the system of a SIF file say.
    pub(super) fn of_sif(sif: &Sif) -> Result<Self, ImageError> {
        let mut out = Self {
            signed: sif.is_signed(),
            ..Self::default()
        };
        if let Some(object) = sif.find(DataType::GenericJson, INSPECT_METADATA)
            && let Ok(document) = serde_json::from_slice::<Value>(&sif.read(object, DOCUMENT)?)
            && let Some(labels) = document["data"]["attributes"]["labels"].as_object()
        {
            out.labels = texts(labels.clone());
        }
        if let Some(object) = sif.find(DataType::GenericJson, "tree.json")
            && let Ok(document) = serde_json::from_slice::<Value>(&sif.read(object, DOCUMENT)?)
        {
            out.tree = document["tree"].as_str().map(str::to_owned);
        }
        Ok(out)
    }

    /// Adds what `other` knows besides.
    pub(super) fn add(&mut self, other: Self) {
        for (name, value) in other.labels {
            self.labels.entry(name).or_insert(value);
        }
        self.tree = self.tree.take().or(other.tree);
        self.signed |= other.signed;
    }
}

fn texts(map: serde_json::Map<String, Value>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Null => None,
        other => Some(other.to_string()),
    };
    map.into_iter()
        .filter_map(|(name, value)| Some((name, text(value)?)))
        .collect()
}
