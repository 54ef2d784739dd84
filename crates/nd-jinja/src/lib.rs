//! The template language of recipes: minijinja made to behave as Jinja2 3.1 does for them.
//!
//! An [`Engine`] renders strings against a context [`Value`]. It adds what Jinja2 gets from
//! Python (methods of strings, lists and mappings, `%` on strings, adjacent string literals,
//! universal newlines), limits work and recursion, and turns errors into a [`TemplateError`]
//! with a kind and the bytes of the template it happened in, for a caret.
//!
//! Nothing of the machine can be reached from a template: there is no loader, no file, no clock,
//! only what the caller put into the context.

mod engine;
mod error;
mod filters;
mod format;
mod globals;
mod methods;
mod python;
mod simple;
mod source;

pub use engine::{Engine, MAX_FUEL, Undefined, is_template};
pub use error::{TemplateError, TemplateErrorKind, failure, unknown_method};
pub use minijinja::{
    Error as CallError, State,
    value::{Enumerator, Kwargs, Object, ObjectRepr, Value, from_args},
};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
