//! Declared files.

use nd_names::Sha256;
use nd_yaml::Node;

use super::Spanned;

/// A file that a build uses.
#[derive(Debug, Clone, Copy)]
pub struct File<'d> {
    /// The mapping itself.
    pub node: &'d Node,
    /// Name that `get_file` and `copy` use, a template.
    pub name: &'d Node,
    /// Path below the recipe's folder, a template.
    pub filename: Option<&'d Node>,
    /// Text of the file, a template.
    pub contents: Option<&'d Node>,
    /// Where to fetch the file, a template.
    pub url: Option<&'d Node>,
    /// Digest that the file has to have.
    pub sha256: Option<Spanned<Sha256>>,
    /// Whether the file is made executable.
    pub executable: bool,
    /// Further attempts of a download.
    pub retry: Option<i64>,
    /// Whether plain `http` is accepted.
    pub insecure: bool,
    /// Whether a cached copy is checked for changes.
    pub refresh: bool,
    /// When the file exists; always if absent.
    pub condition: Option<&'d Node>,
}
