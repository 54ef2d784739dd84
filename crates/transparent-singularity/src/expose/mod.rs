//! Which commands an image offers, and what else a module needs to know of it.

mod command;
mod environment;
mod exclude;
mod find;

pub use self::{
    command::{CommandName, CommandNameError},
    environment::{EnvironmentSource, ImageEnvironment, NeedsRun, read_environment},
    exclude::{Excludes, ExcludesError, Group},
    find::{Exposed, Found, LeftOut, Reason, expose},
};
