//! Build plan, step cache and the embedded engine that turns instructions into layers.
//!
//! A plan is made from instructions and inputs alone; building it runs what the store does not hold
//! yet. The crate runs instructions and does not know who wrote them; it takes local images only.

mod plan;
#[expect(dead_code, reason = "used by the engine that follows")]
mod scrub;

pub use plan::{
    Action, BaseInfo, BuildPlan, Contexts, CopyInput, CopySpec, ImageLayer, ImageState, InputError,
    Inputs, MAIN_CONTEXT, MountSpec, PLAN_SCHEMA, PlanContext, PlanError, PlannedBase,
    PlannedStage, RunSpec, Step, StepKey, UnknownCompression,
};
