//! Lmod Lua and Tcl module files from one model.
//!
//! [`Module`] says what loading a container does; [`Module::to_lua`] and [`Module::to_tcl`] write
//! it for Lmod and for Environment Modules. [`Versions`] writes the files that name the default
//! and the hidden versions. [`read`] finds again what `verify` compares, in our files and in those
//! of upstream's script, and [`repoint`] moves a file to another folder.
//!
//! Help texts come out of images and are hostile: whatever they hold, loading does nothing else.
//! The crate touches no file.

mod lua;
mod model;
mod read;
mod tcl;
mod text;
mod versions;

pub use model::{About, Additions, Dialect, Folder, Module, ModuleError, Variable};
pub use read::{ModuleFacts, read, repoint};
pub use text::{HELP_LIMIT, clean_help};
pub use versions::Versions;

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
