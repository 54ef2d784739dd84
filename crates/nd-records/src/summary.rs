//! What a build made, as its last word on standard output and as `summary.json`.

use serde::{Deserialize, Serialize};

/// Everything a build made and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildSummary {
    /// Version of this form.
    pub schema_version: u32,
    /// Concrete container.
    pub container: String,
    /// Its version.
    pub version: String,
    /// The build date, `YYYYMMDD`.
    pub build_date: String,
    /// Its architecture, as recipes spell it.
    pub architecture: String,
    /// The OCI layout.
    pub oci: OutputFile,
    /// The SIF file.
    pub sif: OutputFile,
    /// The release record.
    pub release: OutputFile,
    /// Where else the image was delivered to, `KIND:PLACE`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outputs: Vec<OutputFile>,
    /// Identity of the content, `tree1:sha256:…`.
    pub tree_digest: String,
    /// Identity of content and attributes, `tree1full:sha256:…`.
    pub tree_full_digest: String,
    /// Digest of the image manifest, `sha256:…`.
    pub image_digest: String,
    /// What the image was built from, for people.
    pub base: String,
    /// Id mode of the build.
    pub ids: String,
    /// Steps in order.
    pub steps: Vec<StepSummary>,
    /// Test results by suite and runtime.
    pub tests: Vec<TestSummary>,
    /// Whether nothing had to be done.
    pub all_cached: bool,
    /// Seconds the whole command took.
    pub seconds: f64,
}

/// A file or folder that was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputFile {
    /// Where it is.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its bytes, `sha256:…`; of the manifest for an OCI layout.
    pub digest: String,
    /// Whether it was there already.
    pub cached: bool,
}

/// One step of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSummary {
    /// What it did, one line.
    pub title: String,
    /// Where it was written, `FILE:LINE`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
    /// Its key.
    pub key: String,
    /// Whether its result was taken from the cache.
    pub cached: bool,
    /// Seconds it took.
    pub seconds: f64,
    /// Size of its layer, compressed; 0 when it changed nothing.
    pub bytes: u64,
}

/// One test suite under one runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestSummary {
    /// The suite.
    pub suite: String,
    /// The runtime.
    pub runtime: String,
    /// Tests passed.
    pub passed: usize,
    /// Tests failed, timed out or not runnable.
    pub failed: usize,
    /// Tests skipped.
    pub skipped: usize,
    /// Whether the result was taken from an earlier run.
    pub cached: bool,
}

impl BuildSummary {
    /// Version of this form that this program writes.
    pub const VERSION: u32 = 1;
}
