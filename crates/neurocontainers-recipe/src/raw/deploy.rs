//! What an image offers to its users.

use nd_yaml::{Map, Node};

/// The `deploy` mapping, at the top or as a directive.
#[derive(Debug, Clone, Copy)]
pub struct Deploy<'d> {
    /// The mapping itself.
    pub node: &'d Node,
    /// Directories whose executables are offered, a list of templates.
    pub path: Option<&'d Node>,
    /// Executables that are offered, a list of templates.
    pub bins: Option<&'d Node>,
    /// A web application; of meaning at the top only.
    pub webapp: Option<Webapp<'d>>,
}

/// A web application that the image holds.
#[derive(Debug, Clone, Copy)]
pub struct Webapp<'d> {
    /// All keys as written; they are published as they are.
    pub map: &'d Map,
}
