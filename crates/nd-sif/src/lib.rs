//! The Singularity image format: header, descriptors, data objects.
//!
//! A SIF file is a table of up to 48 objects and their bytes. This crate writes and reads that
//! table; what the objects hold (a squashfs partition, a definition, JSON, a signature) is not its
//! business.

mod error;
mod format;
mod read;
mod write;

pub use error::SifError;
pub use format::{
    DataType, Descriptor, Extra, FsType, Header, INSPECT_METADATA, LAUNCH, Link, PartType,
};
pub use read::Sif;
pub use uuid::Uuid;
pub use write::{ObjectSpec, SifOptions, SifWriter, id_of};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
