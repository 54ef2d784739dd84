//! Recipes on disk: where they are, their files, and the date of a build.

mod date;
mod files;
mod places;

pub use date::{RecipeState, recipe_state, without_history};
pub use files::DiskFiles;
pub use places::{PlaceError, Places, RecipeFolder};
