//! What a build leaves behind: the OCI layout, the SIF, the release record; all from the same
//! layers, all with the same identity.

mod deliver;
mod error;
mod image;
mod oci;
mod place;
mod record;
mod sif;
mod tree;

pub(crate) use deliver::file_digest;
pub use deliver::{Delivered, Delivery, SIF_ARTIFACT, deliver, deliver_together, in_oci_types};
pub use error::OutputError;
pub(crate) use image::digest_of;
pub use image::{History, ImageDescription};
pub use oci::write_layout;
pub use place::{ImagePlace, NoPlace};
pub use record::release_json;
pub use sif::{Compression, SifInputs, WrittenSif, write_sif};
pub use tree::{TreeFacts, tree_facts};
pub(crate) use tree::{indexes, merged};
