//! The result of compiling.

use nd_instructions::Definition;
use nd_names::BuildDate;
use nd_records::{ReleaseApp, ReleaseRecord};

use neurodocker::{RenderError, RenderOptions};

use crate::{Compat, raw::Bootstrap};

use super::{About, Deploy, Identity, Staging};

/// One concrete container, ready to be rendered, staged and built.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// Who it is.
    pub identity: Identity,
    /// What is done to build it.
    pub definition: Definition,
    /// Package manager as the recipe names it.
    pub package_manager: String,
    /// Base image with its tag.
    pub base_image: String,
    /// How the base can be built from a distribution's archive.
    pub bootstrap: Option<Bootstrap>,
    /// Text of the README; on disk its end is trimmed and one newline added.
    pub readme: String,
    /// Where the README was taken from, if from a URL.
    pub readme_url: Option<String>,
    /// What the image offers.
    pub deploy: Deploy,
    /// What a build reads.
    pub staging: Staging,
    /// What is said about the container.
    pub about: About,
    /// Whether upstream would blank the first line about `localedef` of its Dockerfile.
    pub fix_locale_def: bool,
}

impl Compiled {
    /// The Dockerfile, in the mode of `compat`: improved, or byte for byte as upstream writes it.
    ///
    /// # Errors
    ///
    /// When the instructions hold something that no Dockerfile can say; compiling refuses most
    /// of that.
    pub fn dockerfile(&self, compat: Compat) -> Result<String, RenderError> {
        let options = RenderOptions {
            compat: compat.is_upstream(),
            package_manager: Some(self.package_manager.clone()),
            fix_locale_def: self.fix_locale_def,
        };
        neurodocker::render_dockerfile(&self.definition, &options)
    }

    /// The README as it lies in the build folder and in the image.
    pub fn readme_file(&self) -> String {
        let mut text = self.readme.trim_end().to_owned();
        text.push('\n');
        text
    }

    /// The release record of a build of `date`.
    pub fn release(&self, date: &BuildDate) -> ReleaseRecord {
        let Identity {
            name,
            version,
            variant,
            architecture,
            ..
        } = &self.identity;
        let app = |exec: &str| ReleaseApp {
            version: date.to_string(),
            exec: exec.to_owned(),
            apptainer_args: Some(self.about.apptainer_args.clone()),
            ..ReleaseApp::default()
        };
        let main = (format!("{name} {version}"), app(""));
        let entries = self
            .about
            .gui_apps
            .iter()
            .map(|entry| (format!("{}-{name} {version}", entry.name), app(&entry.exec)));
        let named = !variant.is_empty();
        ReleaseRecord {
            apps: std::iter::once(main).chain(entries).collect(),
            categories: self.about.categories.clone(),
            variant: named.then(|| variant.clone()),
            architecture: named.then(|| architecture.to_string()),
            show_in_menu: self.about.show_in_menu.clone(),
            show_in_applist: self.about.show_in_applist.clone(),
        }
    }
}
