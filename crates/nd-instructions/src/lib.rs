//! The instruction list of an image as data: stages, instructions, origins.
//!
//! Between those who write instructions (recipes, the command line of `neurodocker`) and those
//! who read them (Dockerfile and Apptainer renderers, the builder) stands this one model. Nothing
//! in it is expanded or resolved: `$PATH` in an environment value is still a reference. It is
//! plain data with a JSON form; it knows no recipe, no engine and no file system. What readers
//! share is the meaning: [`expand`] for references, shell texts for scripts, packages and users.

mod expand;
mod model;
mod script;

pub use expand::{ExpandError, expand};
pub use model::{
    Base, BindMount, CopySource, Definition, EnvPair, Instruction, Network, Op, Origin,
    PackageManager, Script, Stage, UnknownPackageManager,
};
pub use script::{install_script, user_script};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
