//! Definitions as Dockerfiles.
//!
//! Two modes: the default one writes what means the same as the definition whatever it holds;
//! the compatible one writes, byte for byte, what NeuroContainers' builder writes.

mod compat;
mod line;
mod plain;
mod saved;

use nd_instructions::{BindMount, Definition};

pub(crate) use line::is_space;
pub use line::normalise_run;
pub(crate) use plain::{array, assignments, one_line, quoted};
pub use saved::{save_command, saved_specification};

/// How a Dockerfile is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// Whether the text equals that of NeuroContainers' builder.
    pub compat: bool,
    /// Package manager as the recipe names it, where that differs from the definition's (`rpm`,
    /// or one that nobody knows); only the compatible mode cares.
    pub package_manager: Option<String>,
    /// Whether the compatible mode blanks the first line with `localedef`.
    pub fix_locale_def: bool,
}

/// Why a definition has no Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Packages are to be installed with an unknown package manager.
    #[error("unsupported package manager: {name}")]
    PackageManager {
        /// Its name.
        name: String,
    },
    /// The base image of a stage is an empty text.
    #[error("base image is empty")]
    EmptyBase,
    /// An instruction that this crate does not know yet.
    #[error("instruction cannot be written as Dockerfile")]
    UnknownInstruction,
}

/// Writes a definition as Dockerfile.
///
/// In the default mode the text ends in a newline, every `RUN` is valid shell whatever the
/// commands hold, and `COPY` and `ENTRYPOINT` are valid JSON. In the compatible mode it has no
/// final newline and ends in the saved specification.
pub fn render_dockerfile(
    definition: &Definition,
    options: &RenderOptions,
) -> Result<String, RenderError> {
    if options.compat {
        compat::render(definition, options)
    } else {
        plain::render(definition)
    }
}

/// The flag of `RUN` for a mount.
fn mount_flag(mount: &BindMount) -> String {
    format!(
        "--mount=type=bind,from={},source={},target={},readonly",
        mount.context, mount.source, mount.target
    )
}
