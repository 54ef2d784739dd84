//! The reconciler: a repository holds what a catalogue lists.
//!
//! [`Desired`] is what should be published, [`Actual`] what a [`View`] shows, [`SyncPlan`] the
//! difference: all pure but for the view. [`Run`] carries it out through a
//! [`Publisher`](crate::publisher::Publisher).

mod actual;
mod apply;
mod changes;
mod desired;
mod images;
mod menus;
mod module_text;
mod modules;
mod notice;
mod plan;
mod prepare;
mod state;
mod view;

pub use actual::{
    Actual, CONTAINERS, ContainerState, MODULES, PUBLIC, TREE, container, image_path,
};
pub use apply::{ApplyError, Run, RunLimits, RunReport, reconcile_modules};
pub use desired::{Desired, DesiredError, DesiredImage, Pair, Recorded};
pub use images::{GivenImage, ImageFolder, ImageSources, Images, ImagesError};
pub use menus::{Menu, MenuError, MenuStep};
pub use modules::{ModuleEdit, ModuleReason, Orphans, canonical, latest, public, reconcile};
pub use notice::{NOTICE, is_notice, notice};
pub use plan::{
    Ceiling, Estimate, Pace, PlanOptions, Refusal, Stale, StepAction, SyncPlan, SyncStep,
};
pub use prepare::{PrepareError, Prepared, Preparer, Trial};
pub use state::{FailedImage, Memory, State, StateError, StoppedRun};
pub use view::{FolderView, RepositoryView, View, ViewError, ViewKind};
