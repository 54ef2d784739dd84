//! Menus of the freedesktop specifications: what is written, planned in memory; and its application.
//!
//! A plan is pure. [`apply`] makes a folder equal to it, and removes what an earlier plan wrote and this
//! one does not.

mod apply;
mod categories;
mod entries;
mod icon_folder;
mod icons;
mod install;
mod plan;
mod system;

pub use apply::{Applied, MenuError, apply, clear};
pub use categories::{CATEGORIES, MenuCategory};
pub use entries::exec_word;
pub use icon_folder::IconFolder;
pub use icons::letter_icon;
pub use install::{Installation, Link, install, uninstall};
pub use plan::{Icons, MenuPlan, NoIcons, PlannedFile, plan};
pub use system::{MergeError, with_merge_line};
