//! The deployment file: everything that is particular to one project or site, in one place.

mod ini;
mod keys;
mod layers;
mod sources;

pub use ini::{Migrated, migrate};
pub use keys::{KEYS, Key, Kind};
pub use layers::{Layer, Resolved, Setting, Value, resolve};
pub use sources::registry;

use camino::{Utf8Path, Utf8PathBuf};

/// The deployment that is shipped.
pub const SHIPPED: &str = include_str!("../../data/neurodesk.toml");

/// What a deployment comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The project as people read it; the menu is called so.
    pub brand: String,
    /// The project in names of folders and files.
    pub slug: String,
    /// Page of the entry *Help*; none without.
    pub help_url: Option<String>,
    /// Desktop that menus are made for.
    pub desktop: Desktop,
    /// Folder that gets launchers, entries and icons.
    pub prefix: Option<Utf8PathBuf>,
    /// The catalogue.
    pub catalogue: Option<Utf8PathBuf>,
    /// Where the catalogue is published.
    pub catalogue_url: Option<String>,
    /// Folder of icons, `NAME.png`.
    pub icons: Option<Utf8PathBuf>,
    /// Registries that images come from, `HOST/NAMESPACE`, the first wanted first.
    pub registries: Vec<String>,
    /// Addresses of stores that images come from, the first wanted first.
    pub stores: Vec<String>,
    /// CVMFS repository with everything installed.
    pub repository: Option<String>,
    /// Folder of modules of the repository, `CATEGORY/NAME/VERSION`.
    pub module_root: Option<Utf8PathBuf>,
    /// Menu of the desktop that a line is added to.
    pub system_menu: Option<Utf8PathBuf>,
    /// Folder of menu entries of the machine.
    pub applications_dir: Utf8PathBuf,
    /// Folder of menu folders of the machine.
    pub directories_dir: Utf8PathBuf,
    /// Whether [`Self::system_menu`] is replaced by one with the line.
    pub edit_system_menu: bool,
    /// Program that launchers call, as words; this program without.
    pub launcher: Vec<String>,
    /// Shell text before that.
    pub launch_prefix: String,
    /// Options for the container runtime, shell words.
    pub runtime_options: String,
}

/// Desktops whose menus differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Desktop {
    /// None: launchers only.
    Cli,
    /// LXDE, XFCE, GNOME, KDE and whatever else follows the specifications.
    #[default]
    Standard,
    /// MATE, whose terminal is named in the entry.
    Mate,
}

impl Deployment {
    /// What `settings` come to; every value was checked by [`resolve`].
    pub fn of(settings: &Resolved) -> Self {
        let path = |key: &str| settings.text(key).map(Utf8PathBuf::from);
        let text = |key: &str| settings.text(key).unwrap_or_default().to_owned();
        Self {
            brand: text("brand"),
            slug: text("slug"),
            help_url: settings.text("help_url").map(str::to_owned),
            desktop: match settings.text("desktop") {
                Some("cli") => Desktop::Cli,
                Some("mate") => Desktop::Mate,
                _ => Desktop::Standard,
            },
            prefix: path("prefix"),
            catalogue: path("catalogue"),
            catalogue_url: settings.text("catalogue_url").map(str::to_owned),
            icons: path("icons"),
            registries: settings.list("registries").to_vec(),
            stores: settings.list("stores").to_vec(),
            repository: settings.text("repository").map(str::to_owned),
            module_root: path("module_root"),
            system_menu: path("system_menu"),
            applications_dir: path("applications_dir")
                .unwrap_or_else(|| Utf8Path::new("/usr/share/applications").to_owned()),
            directories_dir: path("directories_dir")
                .unwrap_or_else(|| Utf8Path::new("/usr/share/desktop-directories").to_owned()),
            edit_system_menu: settings.flag("edit_system_menu"),
            launcher: settings.list("launcher").to_vec(),
            launch_prefix: text("launch_prefix"),
            runtime_options: text("runtime_options"),
        }
    }

    /// The folder of containers of the repository.
    pub fn containers(&self) -> Option<Utf8PathBuf> {
        let name = self.repository.as_ref()?;
        Some(Utf8PathBuf::from(format!("/cvmfs/{name}/containers")))
    }

    /// The menu category of `name`, as registered categories of others cannot be.
    pub fn category(&self, name: &str) -> String {
        format!("X-{}-{}", self.slug, name.replace(' ', "-"))
    }

    /// The file name of the menu.
    pub fn menu_file(&self) -> String {
        format!("{}-applications.menu", self.slug)
    }
}
