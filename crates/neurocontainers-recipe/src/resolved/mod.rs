//! A recipe for one concrete container: everything chosen, everything rendered.

mod about;
mod compiled;
mod deploy;
mod file;
mod identity;

pub use about::{About, Copyright, Facts, GuiApp, Webapp};
pub use compiled::Compiled;
pub use deploy::Deploy;
pub use file::{CopySource, DeclaredFile, FileSource, GeneratedFile, Staging};
pub use identity::{Concrete, Identity};
