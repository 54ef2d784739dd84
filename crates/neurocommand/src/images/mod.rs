//! Images in stores and registries, beside what the catalogue says: pure, of what was found there.

mod presence;
mod stale;

pub use presence::{ImageReport, Presence, Problem};
pub use stale::{StaleOptions, StalePlan, TooMuch, expected_of_release};

use nd_names::ImageName;

use crate::catalogue::Catalogue;

/// The images of a catalogue, in its order.
///
/// # Errors
///
/// The first entry whose image has no name that files can have.
pub fn images(catalogue: &Catalogue) -> Result<Vec<ImageName>, nd_names::ImageNameError> {
    let apps = catalogue.apps().filter(|(_, app)| app.primary);
    apps.map(|(_, app)| app.stem().parse()).collect()
}

/// The key of an image in stores.
pub fn key_of(image: &ImageName) -> String {
    format!("{image}.simg")
}
