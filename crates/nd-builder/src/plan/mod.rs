//! The build plan: everything resolved before anything is done.
//!
//! A plan is a value: printed, serialised, compared. Equal plans give equal images, and every
//! step's key is computed from inputs alone, so that what stands behind a cache miss can still be
//! planned and explained.

mod inputs;
mod key;
mod layer;
mod planner;
mod state;

use nd_instructions::{Network, Origin};
use nd_names::{Architecture, Sha256};
use serde::{Deserialize, Serialize};

pub(crate) use inputs::Found;
pub use inputs::{Contexts, InputError, Inputs, MAIN_CONTEXT};
pub use key::StepKey;
pub use layer::{ImageLayer, UnknownCompression};
pub(crate) use layer::{compression_of_word, compression_word};
pub use planner::{BaseInfo, PlanContext, PlanError};
pub use state::ImageState;

/// Version of the plan's form and of what executing it means. Part of every step key: raise it
/// whenever the same plan would give other bytes.
pub const PLAN_SCHEMA: u32 = 2;

/// What a build will do, completely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildPlan {
    /// [`PLAN_SCHEMA`] of the program that made the plan.
    pub schema: u32,
    /// Architecture of the image.
    pub platform: Architecture,
    /// Name of the id mode it is made for.
    pub ids: String,
    /// Latest modification time in any layer, seconds since 1970.
    pub epoch: i64,
    /// Stages in order; the last one is the image.
    pub stages: Vec<PlannedStage>,
}

/// One stage of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStage {
    /// Its name, if later stages may copy from it.
    pub name: Option<String>,
    /// What it starts from.
    pub base: PlannedBase,
    /// Steps that make layers, in order.
    pub steps: Vec<Step>,
    /// The configuration after the last step.
    pub result: ImageState,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlannedBase {
    /// An image.
    Image {
        /// Its reference as written.
        reference: String,
        /// Its layers, the lowest first.
        layers: Vec<ImageLayer>,
    },
    /// An earlier stage.
    Stage {
        /// Its number.
        stage: usize,
    },
    /// No files at all.
    Scratch,
}

/// One step: it makes at most one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Identity of the step's result, from its inputs.
    pub key: StepKey,
    /// What it does.
    pub action: Action,
    /// One line for people.
    pub title: String,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<Origin>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Action {
    /// Runs a script.
    Run(RunSpec),
    /// Copies files in.
    Copy(CopySpec),
    /// Makes a directory, if it does not exist.
    Directory {
        /// Absolute path in the image.
        path: String,
    },
}

/// A script and all that it sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Text for `/bin/sh -c`.
    pub script: String,
    /// Environment, in order of definition.
    pub env: Vec<(String, String)>,
    /// Absolute working directory.
    pub cwd: String,
    /// `user[:group]`, names or numbers; root when absent.
    pub user: Option<String>,
    /// Network of the script.
    pub network: Network,
    /// Read-only mounts of inputs.
    pub mounts: Vec<MountSpec>,
}

/// A read-only mount of an input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Name of the build context.
    pub context: String,
    /// Path inside the context, without a leading `/`; empty for all of it.
    pub source: String,
    /// Absolute path in the image.
    pub target: String,
    /// Digest of what is mounted.
    pub digest: Sha256,
}

/// A copy of inputs into the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopySpec {
    /// What is copied, in order.
    pub sources: Vec<CopyInput>,
    /// Absolute destination; a final `/` means a directory.
    pub dest: String,
    /// `user[:group]`, names or numbers; root when absent.
    pub owner: Option<String>,
}

/// One source of a copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum CopyInput {
    /// A path of the build context.
    Context {
        /// Path without a leading `/`.
        path: String,
        /// Digest of what is there.
        digest: Sha256,
    },
    /// A path of an earlier stage.
    Stage {
        /// Number of the stage.
        stage: usize,
        /// Absolute path in it.
        path: String,
        /// Key of the stage's last step: what is there follows from it.
        key: StepKey,
    },
}

impl Step {
    /// The text that an image's history shows for the step.
    pub fn created_by(&self) -> &str {
        &self.title
    }
}
