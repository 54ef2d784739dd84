//! Variants and options.

use nd_names::Architecture;

use super::Spanned;

/// A named variant.
#[derive(Debug, Clone)]
pub struct Variant<'d> {
    /// Its name.
    pub name: Spanned<&'d str>,
    /// Architectures it is built for; the recipe's default one when empty.
    pub architectures: Vec<Spanned<Architecture>>,
    /// Values of options in this variant.
    pub presets: Vec<(Spanned<&'d str>, bool)>,
    /// Whether the variant has a body. Upstream does not find one without.
    pub has_body: bool,
}

/// A switch of the recipe.
#[derive(Debug, Clone)]
pub struct RecipeOption<'d> {
    /// Its name.
    pub name: Spanned<&'d str>,
    /// What it does.
    pub description: Option<&'d str>,
    /// Value when nobody says otherwise.
    pub default: bool,
    /// Added to the version when the option is on.
    pub version_suffix: String,
}
