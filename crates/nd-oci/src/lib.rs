//! OCI images on disk: layouts and archives, configuration, and layers to and from indexes.
//!
//! No network, no async. Everything read is hostile until parsed: errors name the entry, sizes are
//! limited, digests are verified.

mod archive;
mod compression;
mod contents;
mod digest;
mod directory;
mod docker_archive;
mod error;
mod gzip;
mod index_layer;
mod layout;
mod platforms;
mod runtime_files;
mod tar;
mod tree;
mod unpack;
mod upper;
mod walk;
mod write_layer;

pub use compression::Compression;
pub use contents::{LayerBlob, LayerContents};
pub use directory::{DirectoryContents, DirectoryError, read_directory};
pub use error::{OciError, TarError};
pub use index_layer::{IndexedLayer, index_layer, index_layer_with};
pub use layout::{BlobSource, Image, ImageSpec, Layout};
pub use platforms::PlatformIndex;
pub use runtime_files::{RuntimeConfig, RuntimeFiles};
pub use tar::Limits;
pub use tree::ImageTree;
pub use unpack::{EntryReader, OverlayMarks, UnpackOptions, Unpacked, unpack_layer};
pub use upper::{Ids, UNREAD, Upper, UpperError};
pub use walk::WalkError;
// Their types stand in what this crate takes and gives.
pub use oci_spec;
pub use write_layer::{LayerOptions, WrittenLayer, layer_descriptor, write_layer};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
