//! What a recipe says about its container.

use nd_yaml::Node;

use super::Spanned;

/// Documentation, topics, licence, appearance.
#[derive(Debug, Clone, Default)]
pub struct About<'d> {
    /// README text, a template.
    pub readme: Option<&'d Node>,
    /// Where the README is, a template.
    pub readme_url: Option<&'d Node>,
    /// README by its parts, templates.
    pub structured_readme: Option<ReadmeParts<'d>>,
    /// Topics; templates for the release record.
    pub categories: Option<&'d Node>,
    /// Data URI of the icon.
    pub icon: Option<&'d Node>,
    /// Licences of what the container holds.
    pub copyright: Vec<Copyright<'d>>,
    /// Desktop entries.
    pub gui_apps: Vec<GuiApp<'d>>,
    /// Arguments that whoever runs the container has to add, templates.
    pub apptainer_args: Option<&'d Node>,
    /// Whether desktops show the container in their menu.
    pub show_in_menu: Option<&'d Node>,
    /// Whether lists of applications show the container.
    pub show_in_applist: Option<&'d Node>,
    /// Where new versions are announced.
    pub auto_update: Option<AutoUpdate<'d>>,
    /// One paragraph about the tool.
    pub description: Option<&'d Node>,
    /// Whether the recipe is unfinished.
    pub draft: bool,
    /// Counter that forces a new release.
    pub epoch: Option<i64>,
}

/// Parts of a README.
#[derive(Debug, Clone, Copy)]
pub struct ReadmeParts<'d> {
    /// What the tool does.
    pub description: &'d Node,
    /// How it is used.
    pub example: &'d Node,
    /// Where its documentation is.
    pub documentation: Option<&'d Node>,
    /// What to cite.
    pub citation: Option<&'d Node>,
}

/// One licence.
#[derive(Debug, Clone, Copy)]
pub struct Copyright<'d> {
    /// Which.
    pub licence: Licence<'d>,
    /// Where its text is.
    pub url: Option<&'d Node>,
}

/// How a licence is named.
#[derive(Debug, Clone, Copy)]
pub enum Licence<'d> {
    /// An SPDX expression.
    Spdx(&'d Node),
    /// A name of the author's own.
    Custom(&'d Node),
}

/// A desktop entry.
#[derive(Debug, Clone, Copy)]
pub struct GuiApp<'d> {
    /// Name, a template.
    pub name: &'d Node,
    /// Command, a template.
    pub exec: &'d Node,
}

/// Where new versions are announced.
#[derive(Debug, Clone, Copy)]
pub struct AutoUpdate<'d> {
    /// `owner/name` on GitHub.
    pub repo: Spanned<&'d str>,
}
