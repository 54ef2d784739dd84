//! Finding containers and commands in a catalogue, pure.

mod index;
mod rank;

pub use index::{About, CommandOwner, Index};
pub use rank::{Hit, nearest_names, search};
