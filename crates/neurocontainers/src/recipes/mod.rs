//! Recipes on disk: where they are, their files, and the date of a build.

mod date;
mod files;
mod places;
mod templates;

pub use date::{RecipeState, recipe_state, without_history};
pub use files::DiskFiles;
pub use places::{PlaceError, Places, RecipeFolder};
pub use templates::checkout_templates;
