//! The templates that come with the program.

use std::sync::{Arc, OnceLock};

use nd_report::{FileId, Sink};

use super::file::Template;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each.
        const FILES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../templates/", $name, ".yaml")))),*
        ];
    };
}

built_in!(
    "afni",
    "ants",
    "bids_validator",
    "convert3d",
    "dcm2niix",
    "freesurfer",
    "fsl",
    "matlabmcr",
    "minc",
    "miniconda",
    "mrtrix3",
    "spm12",
);

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The template, read at its first use; a test holds that all of them can be read.
pub(super) fn find(name: &str) -> Option<Arc<Template>> {
    static READ: [OnceLock<Option<Arc<Template>>>; FILES.len()] =
        [const { OnceLock::new() }; FILES.len()];
    let at = FILES.iter().position(|(known, _)| *known == name)?;
    READ[at]
        .get_or_init(|| {
            Template::parse(FILES[at].1.as_bytes(), FileId(0), &mut Sink::new()).map(Arc::new)
        })
        .clone()
}
