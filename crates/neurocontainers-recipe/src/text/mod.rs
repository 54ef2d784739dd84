//! Small pure functions over text: words, names, nearest matches.

mod guest;
mod readme;
mod words;

pub use guest::guest_filename;
pub(crate) use guest::with_digest;
pub(crate) use nd_report::nearest;
pub use readme::{StructuredReadme, structured_readme};
pub use words::{WordsError, split_words};
