//! What is said about a container, rendered.

use indexmap::IndexMap;
use serde::Serialize;

/// Topics, licence, appearance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct About {
    /// Topics; `other` when the recipe has none.
    pub categories: Vec<String>,
    /// Licences.
    pub copyright: Vec<Copyright>,
    /// Desktop entries.
    pub gui_apps: Vec<GuiApp>,
    /// Arguments that whoever runs the container has to add; text, but for upstream's mode, which
    /// keeps numbers and the like.
    pub apptainer_args: Vec<serde_json::Value>,
    /// Whether desktops show the container in their menu; absent when the recipe is silent. A
    /// boolean, but for upstream's mode, which keeps whatever the recipe says.
    pub show_in_menu: Option<serde_json::Value>,
    /// Whether lists of applications show the container; as `show_in_menu`.
    pub show_in_applist: Option<serde_json::Value>,
    /// Data URI of the icon.
    pub icon: Option<String>,
    /// One paragraph about the tool.
    pub description: Option<String>,
    /// What to cite, as the structured readme has it.
    pub citation: Option<String>,
    /// The web application that the image holds.
    pub webapp: Option<Webapp>,
}

/// What a recipe says about itself, nothing of it rendered.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// Version of the tool as written.
    pub version: String,
    /// What it is, in words.
    pub description: Option<String>,
    /// Data URI of the icon.
    pub icon: Option<String>,
    /// The web application that the image holds.
    pub webapp: Option<Webapp>,
}

/// A licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copyright {
    /// SPDX expression, or a name of the author's own.
    pub licence: String,
    /// Whether `licence` is an SPDX expression.
    pub spdx: bool,
    /// Where its text is.
    pub url: Option<String>,
}

/// A desktop entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GuiApp {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub exec: String,
}

/// A web application, all keys as the recipe has them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Webapp {
    /// Keys and values.
    pub fields: IndexMap<String, serde_json::Value>,
}
