//! The whole file.

use std::borrow::Cow;

use nd_names::Architecture;
use nd_yaml::Map;

use super::{About, Build, Deploy, File, RecipeOption, Spanned, Variant};

/// `build.yaml`.
#[derive(Debug, Clone)]
pub struct Recipe<'d> {
    /// Name of the recipe, without variant.
    pub name: Spanned<Cow<'d, str>>,
    /// Version of the tool, without suffixes of options.
    pub version: Spanned<Cow<'d, str>>,
    /// Architectures that the recipe builds for, as listed.
    pub architectures: Vec<Spanned<Architecture>>,
    /// How the image is built.
    pub build: Build<'d>,
    /// Named variants in order.
    pub variants: Vec<Variant<'d>>,
    /// Options in order.
    pub options: Vec<RecipeOption<'d>>,
    /// Variables, evaluated top to bottom.
    pub variables: Option<&'d Map>,
    /// Declared files in order.
    pub files: Vec<File<'d>>,
    /// What the image offers.
    pub deploy: Option<Deploy<'d>>,
    /// What is said about the container.
    pub about: About<'d>,
}
