//! What should be published: the images of a catalogue, and what release records say of them.

use std::collections::BTreeMap;

use nd_names::{AppName, AppVersion, ImageName};
use nd_report::{FileId, Sink};
use neurocommand::{
    catalogue::{ListedImage, Release, listed_images},
    json::{Node, Value},
};

/// Why a catalogue is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    /// It cannot be read; the sink has the reasons.
    #[error("the catalogue cannot be read")]
    Unreadable,
    /// A category that cannot be a folder.
    #[error("category `{category}` of `{image}` cannot be the name of a folder")]
    Category {
        /// Of which image.
        image: String,
        /// The category.
        category: String,
    },
}

/// What release records say of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recorded {
    /// The digest of its tree.
    pub tree: Option<String>,
    /// Bytes of the image file.
    pub bytes: Option<u64>,
    /// SHA-256 of the image file.
    pub sha256: Option<String>,
}

/// An image that should be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredImage {
    /// Its name.
    pub name: ImageName,
    /// Folders of public modules it stands in.
    pub categories: Vec<String>,
    /// What is recorded of it.
    pub recorded: Recorded,
}

/// A tool in one version; builds of it share their module files.
pub type Pair = (AppName, AppVersion);

impl DesiredImage {
    /// Its tool and version.
    pub fn pair(&self) -> Pair {
        (self.name.app.clone(), self.name.version.clone())
    }
}

/// Everything that should be published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Images in the order of the catalogue, each once.
    pub images: Vec<DesiredImage>,
}

impl Desired {
    /// Reads a catalogue, in any of its forms: `log.txt`, `applist.json`, `apps.json`.
    pub fn read(text: &str, file: FileId, sink: &mut Sink) -> Result<Self, DesiredError> {
        let listed = listed_images(text, file, sink).ok_or(DesiredError::Unreadable)?;
        Self::of(listed)
    }

    /// The images of a list. One that stands twice is one with the categories of both.
    pub fn of(listed: Vec<ListedImage>) -> Result<Self, DesiredError> {
        let mut images: Vec<DesiredImage> = Vec::with_capacity(listed.len());
        let mut places = BTreeMap::new();
        for ListedImage { name, categories } in listed {
            let place = *places.entry(name.clone()).or_insert_with(|| {
                images.push(DesiredImage {
                    name: name.clone(),
                    categories: Vec::new(),
                    recorded: Recorded::default(),
                });
                images.len() - 1
            });
            for category in categories {
                let folder = folder(&category).ok_or_else(|| DesiredError::Category {
                    image: name.stem(),
                    category,
                })?;
                let known = &mut images[place].categories;
                if !known.contains(&folder) {
                    known.push(folder);
                }
            }
        }
        Ok(Self { images })
    }

    /// Adds what release records say of images.
    pub fn record(&mut self, releases: &[Release]) {
        let mut all = BTreeMap::new();
        for release in releases {
            let artifacts = release.document.get("artifacts");
            let sif = artifacts.and_then(|artifacts| artifacts.get("sif"));
            let text = |node: Option<&Node>, key: &str| {
                let text = node?.get(key)?.as_text()?;
                Some(text.to_owned())
            };
            let Some(Ok(name)) = text(sif, "name").map(|name| name.parse::<ImageName>()) else {
                continue;
            };
            let bytes = sif.and_then(|sif| match &sif.get("size")?.value {
                Value::Number(number) => number.parse().ok(),
                _ => None,
            });
            let recorded = Recorded {
                tree: text(artifacts, "tree"),
                bytes,
                sha256: text(sif, "sha256"),
            };
            all.insert(name, recorded);
        }
        for image in &mut self.images {
            if let Some(recorded) = all.remove(&image.name) {
                image.recorded = recorded;
            }
        }
    }

    /// Whether an image is among them.
    pub fn has(&self, name: &ImageName) -> bool {
        self.images.iter().any(|image| image.name == *name)
    }

    /// Categories of each tool and version: those of all its builds, in the order in which they are
    /// first named.
    pub fn categories(&self) -> BTreeMap<Pair, Vec<String>> {
        let mut all: BTreeMap<Pair, Vec<String>> = BTreeMap::new();
        for image in &self.images {
            let known = all.entry(image.pair()).or_default();
            for category in &image.categories {
                if !known.contains(category) {
                    known.push(category.clone());
                }
            }
        }
        all
    }
}

/// The folder of a category: blanks become `_`, and nothing leads elsewhere.
fn folder(category: &str) -> Option<String> {
    let name = category.trim().replace(' ', "_");
    let plain = |c: char| c.is_alphanumeric() || "_-+&().".contains(c);
    (!name.is_empty() && !name.starts_with('.') && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    //! Catalogues that are merged, and hostile ones.

    use super::*;

    fn read(text: &str) -> Result<Desired, DesiredError> {
        Desired::read(text, FileId(0), &mut Sink::new())
    }

    #[test]
    fn builds_of_one_version_share_categories() {
        let desired = read(
            "a_1_20240101 categories:x y,cryo EM,\na_1_20250101 categories:z,x y,\na_1_20240101 categories:w,\n",
        )
        .unwrap();
        assert_eq!(desired.images.len(), 2);
        let categories: Vec<_> = desired.categories().into_values().collect();
        assert_eq!(categories, [["x_y", "cryo_EM", "w", "z"]]);
    }

    #[test]
    fn a_category_leads_nowhere_else() {
        for bad in ["..", "a/b", "a/../../etc", "x;y", "a\u{202e}b", "$(x)"] {
            let text = format!("a_1_20240101 categories:{bad},\n");
            assert!(
                matches!(read(&text), Err(DesiredError::Category { .. })),
                "{bad}"
            );
        }
    }
}
