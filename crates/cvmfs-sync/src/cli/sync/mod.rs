//! The verbs of the reconciler.

mod apply;
mod catalogue;
mod menu;
mod modules;
mod plan;
mod publisher;
mod status;
mod watch;

pub(super) use self::{
    apply::{ApplyArgs, apply},
    modules::{ModulesCommand, modules},
    plan::{PlanArgs, plan},
    status::{StatusArgs, TagsCommand, status, tags},
    watch::{UnitArgs, WatchArgs, WishlistArgs, unit, watch, wishlist},
};
