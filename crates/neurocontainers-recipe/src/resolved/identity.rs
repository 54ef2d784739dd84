//! Who a concrete container is.

use indexmap::IndexMap;
use nd_names::Architecture;
use serde::Serialize;

/// One container that a recipe declares: a recipe variant (or none) on an architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Concrete {
    /// How it is selected: empty, `arm64`, `gpu`, `gpu_arm64`.
    #[serde(rename = "variant")]
    pub selector: String,
    /// Name of the container: `demo`, `demo_gpu_arm64`.
    pub name: String,
    /// Its architecture.
    pub architecture: Architecture,
    /// The named variant; empty for none.
    #[serde(skip)]
    pub recipe_variant: String,
    /// Values of options that the variant fixes.
    #[serde(skip)]
    pub presets: IndexMap<String, bool>,
}

impl Concrete {
    /// Names the container of `recipe` for a variant (empty for none) on an architecture.
    pub fn named(
        recipe: &str,
        recipe_variant: &str,
        architecture: Architecture,
        presets: IndexMap<String, bool>,
    ) -> Self {
        let suffix = match architecture {
            Architecture::X86_64 => "",
            Architecture::Aarch64 => "arm64",
        };
        let words = [recipe_variant, suffix].map(str::to_owned);
        let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let selector = words.join("_");
        let name = if selector.is_empty() {
            recipe.to_owned()
        } else {
            format!("{recipe}_{selector}")
        };
        Self {
            selector,
            name,
            architecture,
            recipe_variant: recipe_variant.to_owned(),
            presets,
        }
    }
}

/// Who a compiled container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name of the container, variant and architecture included.
    pub name: String,
    /// Name of the recipe.
    pub base_name: String,
    /// Selector of the variant; empty for the default container.
    pub variant: String,
    /// Named variant of the recipe; empty for none.
    pub recipe_variant: String,
    /// Version with the suffixes of the options that are on.
    pub version: String,
    /// Version as the recipe has it.
    pub original_version: String,
    /// Architecture of the image.
    pub architecture: Architecture,
    /// Values of all options.
    pub options: IndexMap<String, bool>,
    /// Values of options that the variant fixes.
    pub presets: IndexMap<String, bool>,
}

impl Identity {
    /// `NAME:VERSION` in lower case, the tag of a local image.
    pub fn tag(&self) -> String {
        format!("{}:{}", self.name, self.version).to_lowercase()
    }

    /// Name of the Dockerfile in the build folder.
    pub fn dockerfile_name(&self) -> String {
        let version = self.version.replace(':', "_");
        format!("{}_{version}", self.name).to_lowercase() + ".Dockerfile"
    }

    /// Where the release record belongs, below the folder that holds `releases`.
    pub fn release_path(&self) -> String {
        format!("releases/{}/{}.json", self.name, self.version)
    }
}
