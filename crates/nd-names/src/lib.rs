//! Words of the field as types: application, version, build date, image name, architecture,
//! digest.
//!
//! Every type has a private field and one validator: parsing text and deserialising data go
//! through the same door. The crate opens no files.

mod architecture;
mod digest;
mod image_name;
mod word;

pub use architecture::{Architecture, UnknownArchitecture};
pub use digest::{ParseDigestError, Sha256, Sha256Hasher};
pub use image_name::{ImageName, ImageNameError};
pub use word::{AppName, AppVersion, BuildDate, NameError};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
