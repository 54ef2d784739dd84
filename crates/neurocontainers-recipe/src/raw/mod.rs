//! A recipe as written: typed where types are fixed, nodes where templates may stand.
//!
//! Everything borrows from the nodes that reading gave; nothing is rendered and nothing resolved.

mod about;
mod build;
mod deploy;
mod directive;
mod file;
mod recipe;
mod variant;

use nd_report::Span;

pub use about::{About, AutoUpdate, Copyright, GuiApp, Licence, ReadmeParts};
pub use build::{Bootstrap, Build};
pub use deploy::{Deploy, Webapp};
pub use directive::{Action, Directive};
pub use file::File;
pub use recipe::Recipe;
pub use variant::{RecipeOption, Variant};

/// A value and where it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}
