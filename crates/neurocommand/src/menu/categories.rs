//! The categories of the menu, in the order in which they are shown.

/// One folder of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MenuCategory {
    /// As people read it.
    pub name: &'static str,
    /// Lower case, `-` for blanks; the file name of the folder.
    pub slug: &'static str,
    /// Stem of its icon.
    pub icon: &'static str,
}

const fn category(name: &'static str, slug: &'static str, icon: &'static str) -> MenuCategory {
    MenuCategory { name, slug, icon }
}

/// The folder that has every container.
pub(super) const ALL: MenuCategory = category("All Applications", "all-applications", "all");

/// Folders and icons come from this table alone.
pub const CATEGORIES: &[MenuCategory] = &[
    ALL,
    category("Functional Imaging", "functional-imaging", "functional"),
    category("Image Reconstruction", "image-reconstruction", "image"),
    category("Spectroscopy", "spectroscopy", "spectroscopy"),
    category("Rodent Imaging", "rodent-imaging", "rodent"),
    category("Data Organisation", "data-organisation", "data"),
    category("Diffusion Imaging", "diffusion-imaging", "diffusion"),
    category("Structural Imaging", "structural-imaging", "structural"),
    category(
        "Quantitative Imaging",
        "quantitative-imaging",
        "quantitative",
    ),
    category("Image Segmentation", "image-segmentation", "image"),
    category("Image Registration", "image-registration", "image"),
    category("Visualization", "visualization", "visualization"),
    category("Statistics", "statistics", "statistics"),
    category("Quality Control", "quality-control", "quality"),
    category("Spine", "spine", "spine"),
    category(
        "Electrophysiology",
        "electrophysiology",
        "electrophysiology",
    ),
    category("BIDS Apps", "bids-apps", "bids"),
    category("Machine Learning", "machine-learning", "machine"),
    category("Phase Processing", "phase-processing", "phase"),
    category("Molecular Biology", "molecular-biology", "molecular"),
    category("Hippocampus", "hippocampus", "hippocampus"),
    category("Body", "body", "body"),
    category("Shape Analysis", "shape-analysis", "shape"),
    category("Cryo EM", "cryo-em", "cryo"),
    category("Programming", "programming", "programming"),
    category("Workflows", "workflows", "workflows"),
    category("Fetal Imaging", "fetal-imaging", "fetal"),
];

/// A category as the catalogue has it, in the form that folders are named by.
pub(super) fn slug(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_of_recipes_has_its_folder() {
        for name in neurocontainers_recipe::CATEGORIES {
            assert!(
                CATEGORIES.iter().any(|known| known.slug == slug(name)),
                "{name}"
            );
        }
    }
}
