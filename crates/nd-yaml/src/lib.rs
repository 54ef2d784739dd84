//! YAML text to nodes that remember where they stood, with the values PyYAML would give.
//!
//! Recipes were always read by PyYAML's safe loader, so plain scalars are typed by the rules of
//! YAML 1.1 (`yes` is a boolean, `1:30` is 90, `1e3` is a string). This crate reads events from
//! `saphyr-parser` and builds [`Node`]s that keep byte ranges and the text of scalars as written,
//! so that `1.10` can stay `1.10`. [`dump`] is the way back: `yaml.dump` with its default options,
//! byte for byte, because cache names hash it.
//!
//! Whatever the bytes are, [`parse`] ends soon and does not panic: size, depth, number of values
//! and expansion of aliases are limited, and every problem is a diagnostic in the sink.

pub mod codes;
mod construct;
mod cuts;
mod dump;
mod integer;
mod keys;
mod load;
mod loader;
mod node;
mod offsets;
mod python;
mod resolve;
mod size;
mod tag;

pub use dump::dump;
pub use load::{Limits, parse};
pub use node::{Date, DateTime, Entry, Map, Node, Style, Value};
pub use python::{python_repr, python_str};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
