//! The catalogue of containers, pure: no process, network, clock or environment.
//!
//! A catalogue is a JSON document ([`Node`](crate::json::Node)), which changes of it keep byte for byte
//! where nothing changed, and a [`Catalogue`], the checked view that lists and menus are made from.

mod build;
mod change;
mod decode;
mod diff;
mod listed;
mod lists;
mod merge;
mod model;
mod names;
mod webapps;
mod words;

pub use build::{Release, build};
pub use change::{Removed, add, canonical, keep_reproducible, remove, shrinks};
pub use decode::{decode, names_of_categories};
pub use diff::{AppChange, CatalogueDiff, ContainerChange, diff};
pub use listed::{ListedImage, listed_images};
pub use lists::{ListForm, applist, log};
pub use merge::{Merged, Source, merge};
pub use model::{App, Catalogue, Container, compare_versions};
pub use names::AppIdentity;
pub use webapps::{WebappRecipe, webapps};
pub use words::{quote, split};

use crate::json::{Node, Style, to_text};

/// The text of a catalogue: four blanks, ASCII, no final newline.
pub fn text(document: &Node) -> String {
    to_text(document, Style { indent: 4 })
}
