//! Renders instruction lists as Dockerfile and as Apptainer definition, and expands installation
//! templates.
//!
//! - [`Templates`] knows how to install a dozen neuroimaging programs; [`Templates::expand`] turns
//!   a call into instructions.
//! - [`render_dockerfile`] and [`render_apptainer`] write a [`Definition`](nd_instructions::Definition)
//!   as text. The first has a mode that equals what NeuroContainers' builder writes, byte for byte.
//!
//! Everything but the program and `minify` is pure: text in, text out.

mod apptainer;
#[cfg(feature = "cli")]
pub mod cli;
pub mod codes;
mod dockerfile;
pub mod generate;
#[cfg(feature = "minify")]
pub mod minify;
pub mod reproenv;
mod templates;

pub use apptainer::{ApptainerError, ApptainerOptions, render_apptainer};
pub use dockerfile::{
    RenderError, RenderOptions, normalise_run, render_dockerfile, save_command, saved_specification,
};
pub use templates::{
    Argument, Call, Expansion, MethodInfo, Problem, ProblemKind, Strictness, TemplateInfo,
    Templates,
};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
