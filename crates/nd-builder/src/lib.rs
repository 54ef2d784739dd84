//! Build plan, step cache and the embedded engine that turns instructions into layers.
//!
//! A plan is made from instructions and inputs alone; building it runs what the store does not hold
//! yet. The crate runs instructions and does not know who wrote them; it takes local images only.

mod build;
mod engine;
mod explain;
mod look;
mod plan;
mod scrub;
mod secret;

pub use build::{
    BuildError, BuildOptions, Built, Devices, EngineFailure, HostMount, LayerBudget, LayerTree,
    LookIn, SharedDir, StepExit, StepName, StepResult, build, forget, import_base, layer_trees,
    prune, prune_where,
};
pub use engine::role;
pub use explain::{Because, Known, Part, StepState};
pub use look::{StepSearchError, Surroundings};
pub use plan::{
    Action, BaseInfo, BuildPlan, Contexts, CopyInput, CopySpec, ImageLayer, ImageState, InputError,
    Inputs, MAIN_CONTEXT, MountSpec, PLAN_SCHEMA, PlanContext, PlanError, PlannedBase,
    PlannedStage, RunSpec, Step, StepKey, UnknownCompression,
};
pub use secret::{SECRETS, Secret, SecretError};
// Their types stand in what this crate takes and gives.
pub use {
    indexmap, nd_host, nd_instructions, nd_names, nd_oci, nd_report, nd_rootfs, nd_sandbox,
    nd_store,
};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
