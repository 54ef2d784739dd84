//! How the image is built.

use nd_yaml::Node;

use super::{Directive, Spanned};

/// The `build` mapping.
#[derive(Debug, Clone)]
pub struct Build<'d> {
    /// Base image, a template.
    pub base_image: &'d Node,
    /// How the base can be built from a distribution's archive.
    pub bootstrap: Option<Spanned<Bootstrap>>,
    /// Package manager, a template.
    pub pkg_manager: &'d Node,
    /// Whether the image gets locale, entry point and their variables.
    pub add_default_template: bool,
    /// Whether the image gets time zone data; as `add_default_template` when absent.
    pub add_tzdata: Option<bool>,
    /// Whether the header leaves out its `localedef`.
    pub fix_locale_def: bool,
    /// What is done, in order.
    pub directives: Vec<Directive<'d>>,
}

/// A base made from a distribution's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bootstrap {
    /// Debian.
    Debian {
        /// Name of the suite, `bookworm`.
        suite: String,
    },
}
