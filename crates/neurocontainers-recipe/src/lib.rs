//! NeuroContainers recipes, pure: reading, checking, variants, and lowering to instructions.

mod about;
pub mod codes;
mod decode;
mod files;
mod load;
pub mod raw;
mod request;
pub mod resolved;
mod source;
mod text;
mod variants;

pub use about::{CATEGORIES, IconError, LEGACY_CATEGORIES, check_icon};
pub use files::{FileKind, Folder, MemoryFiles, ReadError, RecipeFiles, is_confined};
pub use load::{FILE_LIMIT, Recipe, load};
pub use request::{Compat, LoadOptions, Profile, Request};
pub use resolved::Compiled;
pub use source::{Source, Sources};
pub use text::{StructuredReadme, WordsError, guest_filename, split_words, structured_readme};
