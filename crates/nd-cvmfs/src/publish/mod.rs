//! Publishing: contents to objects, trees to catalogues, edits to one revision.

mod commit;
mod cut;
mod edit;
mod error;
mod objects;
mod session;
mod tree;

pub(crate) use commit::{PENDING, is_pending, load_reflog, note_pending};
pub use cut::{CutOptions, cuts};
pub use error::PublishError;
pub(crate) use objects::{AtomicCounts, put_object};
pub use objects::{ObjectCounts, ObjectOptions};
pub(crate) use session::Head;
pub use session::{Begin, NewRepository, Published, Publisher, Revision, create};
pub use tree::{NestedAt, PutOptions};
