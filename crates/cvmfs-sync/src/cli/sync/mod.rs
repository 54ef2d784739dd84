//! The verbs of the reconciler.

mod apply;
mod catalogue;
mod plan;
mod publisher;

pub(super) use self::{
    apply::{ApplyArgs, apply},
    plan::{PlanArgs, plan},
};
