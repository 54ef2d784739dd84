//! The catalogue of containers, from a release record to a menu entry.
//!
//! [`json`], [`catalogue`], [`find`], [`deployment`], [`images`] and the plans of [`menu`] and [`site`] are
//! pure: no process, network, clock or environment.

pub mod catalogue;
pub mod cli;
pub mod codes;
pub mod deployment;
pub mod docs;
pub mod find;
pub mod images;
pub mod json;
pub mod menu;
pub mod site;
pub mod sources;

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
