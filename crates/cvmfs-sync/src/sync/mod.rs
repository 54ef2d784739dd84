//! The reconciler: a repository holds what a catalogue lists.
//!
//! [`Desired`] is what should be published, [`Actual`] what a [`View`] shows, [`SyncPlan`] the
//! difference: all pure but for the view.

mod actual;
mod desired;
mod module_text;
mod modules;
mod plan;
mod view;

pub use actual::{
    Actual, CONTAINERS, ContainerState, MODULES, PUBLIC, TREE, container, image_path,
};
pub use desired::{Desired, DesiredError, DesiredImage, Pair, Recorded};
pub use modules::{ModuleEdit, ModuleReason, Orphans, canonical, latest, public, reconcile};
pub use plan::{
    Ceiling, Estimate, Pace, PlanOptions, Refusal, Stale, StepAction, SyncPlan, SyncStep,
};
pub use view::{FolderView, RepositoryView, View, ViewError, ViewKind};
