//! The verbs of the reconciler.

mod catalogue;
mod plan;

pub(super) use plan::{PlanArgs, plan};
