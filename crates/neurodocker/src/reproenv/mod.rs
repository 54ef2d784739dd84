//! Recipes from ordered instructions and software templates, as `neurodocker generate` makes them.
//!
//! A [`Spec`] is what a command line or a JSON file asks for; a [`Registry`] has the templates in
//! upstream's schema; [`render_recipe`] writes a Dockerfile or a Singularity definition. In the
//! compatible mode the text is upstream's, habits included.

mod apptainer;
mod call;
mod compat;
mod docker;
mod flat;
mod json;
mod object;
mod read;
mod refusal;
mod registry;
mod save;
mod shell;
mod spec;
mod template;

use serde_json::Value;

pub(crate) use call::newest_first;
pub use json::compact as compact_json;
pub use read::{SpecRead, read_spec};
pub(crate) use refusal::nearest;
pub use refusal::{Refusal, RefusalKind};
pub use registry::Registry;
pub use spec::{Provenance, Spec, Step};
pub use template::{SoftwareMethod, SoftwareTemplate};

/// The sort of recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// A Dockerfile.
    Docker,
    /// A definition file of Singularity and Apptainer.
    Singularity,
}

/// A recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Its text, without a final newline.
    pub text: String,
    /// The specification that it was made from, templates expanded.
    pub record: Value,
    /// Templates that instructions came from; empty in the compatible mode.
    pub templates: Vec<Provenance>,
}

/// How a recipe is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecipeOptions {
    /// Whether the text is upstream's.
    pub compat: bool,
    /// Whether the image keeps no specification of itself.
    pub no_embedded_spec: bool,
}

/// Writes a specification as recipe.
pub fn render_recipe(
    spec: &Spec,
    registry: &Registry,
    format: Format,
    options: RecipeOptions,
) -> Result<Recipe, Refusal> {
    if options.compat {
        return compat::render(spec, registry, format);
    }
    let flat = flat::flatten(spec, registry)?;
    let record = flat.to_json();
    let embedded = Some(&record).filter(|_| !options.no_embedded_spec);
    let text = match format {
        Format::Docker => docker::render(&flat, embedded)?,
        Format::Singularity => apptainer::render(&flat, embedded)?,
    };
    Ok(Recipe {
        text,
        record,
        templates: flat.templates,
    })
}
