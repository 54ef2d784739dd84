//! The keys of a deployment file.

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text without control characters.
    Text,
    /// A lower-case word: a letter, then letters, digits and `-`.
    Word,
    /// An absolute path without `..`.
    Path,
    /// A list of text.
    List,
    /// A boolean.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// A key of the file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it says, for the documentation.
    pub about: &'static str,
}

const fn key(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, about }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key(
        "brand",
        Kind::Text,
        "the project as people read it; the menu is called so",
    ),
    key(
        "slug",
        Kind::Word,
        "the project in names of folders and files; else made from `brand`",
    ),
    key("help_url", Kind::Text, "page that the entry Help opens"),
    key(
        "desktop",
        Kind::Choice(&["cli", "lxde", "mate", "xfce", "gnome", "kde"]),
        "desktop that menus are made for; `cli` for launchers only",
    ),
    key(
        "prefix",
        Kind::Path,
        "folder that gets launchers, menu entries and icons",
    ),
    key("catalogue", Kind::Path, "the catalogue of the site"),
    key(
        "catalogue_url",
        Kind::Text,
        "where `catalogue refresh` gets the catalogue from",
    ),
    key("icons", Kind::Path, "folder of icons, `NAME.png`"),
    key(
        "registries",
        Kind::List,
        "registries that images come from, the first wanted first",
    ),
    key(
        "stores",
        Kind::List,
        "object stores that images come from, the first wanted first",
    ),
    key(
        "repository",
        Kind::Text,
        "CVMFS repository with everything installed",
    ),
    key(
        "module_root",
        Kind::Path,
        "folder of modules, `CATEGORY/NAME/VERSION`, which `info` looks into",
    ),
    key(
        "system_menu",
        Kind::Path,
        "menu of the desktop that a line is added to",
    ),
    key(
        "applications_dir",
        Kind::Path,
        "folder of menu entries of the machine",
    ),
    key(
        "directories_dir",
        Kind::Path,
        "folder of menu folders of the machine",
    ),
    key(
        "edit_system_menu",
        Kind::Flag,
        "whether `system_menu` is replaced by one with that line",
    ),
    key(
        "launcher",
        Kind::List,
        "program and arguments that launchers call; else this program",
    ),
    key(
        "launch_prefix",
        Kind::Text,
        "shell text at the start of launchers, `module load apptainer;`",
    ),
    key(
        "runtime_options",
        Kind::Text,
        "options for the container runtime, as shell words",
    ),
];

/// The key called `name`.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}
