//! NeuroContainers recipes, pure: reading, checking, variants, and lowering to instructions.

mod about;
mod check;
pub mod codes;
mod compile;
mod decode;
mod files;
pub mod fulltest;
mod load;
pub mod lock;
pub mod raw;
mod request;
pub mod resolved;
pub mod rules;
pub mod schema;
mod source;
mod text;
mod trouble;
mod variants;

pub use about::{CATEGORIES, IconError, LEGACY_CATEGORIES, check_icon};
pub use compile::compile;
pub use files::{FileKind, Folder, MemoryFiles, ReadError, RecipeFiles, is_confined};
pub use load::{FILE_LIMIT, Recipe, load, load_for_check, load_with_sources};
pub use request::{Compat, LoadOptions, Profile, Request};
pub use resolved::Compiled;
pub use source::{Source, Sources};
// Their types stand in what this crate takes and gives.
pub use text::{StructuredReadme, WordsError, guest_filename, split_words, structured_readme};
pub use {nd_instructions, nd_names, nd_report};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
