//! The steps of a build.

use nd_yaml::{Entry, Map, Node};

use super::{Deploy, File};

/// One entry of a list of directives.
#[derive(Debug, Clone)]
pub struct Directive<'d> {
    /// The whole mapping.
    pub node: &'d Node,
    /// The key that names the action.
    pub key: &'d Node,
    /// When it applies; always if absent.
    pub condition: Option<&'d Node>,
    /// What it does.
    pub action: Action<'d>,
}

/// What a directive does. Nodes are templates.
#[derive(Debug, Clone)]
pub enum Action<'d> {
    /// Installs packages: a string of words, or a list.
    Install(&'d Node),
    /// Runs commands: a string, or a list.
    Run(&'d Node),
    /// Sets the working directory.
    Workdir(&'d Node),
    /// Sets the user.
    User(&'d Node),
    /// Sets the program that the image runs.
    Entrypoint(&'d Node),
    /// Sets environment variables.
    Environment(&'d Map),
    /// Copies files: words or a list, the destination last.
    Copy(&'d Node),
    /// Sets variables of the recipe.
    Variables(&'d Node),
    /// Applies directives in one scope.
    Group {
        /// The directives.
        children: Vec<Directive<'d>>,
        /// Variables of the scope.
        with: Option<&'d Node>,
    },
    /// Applies the directives of another file.
    Include {
        /// Path of the file in an include folder.
        name: &'d Node,
        /// Variables of the scope.
        with: Option<&'d Node>,
    },
    /// Declares a file.
    File(File<'d>),
    /// Adds to what the image offers.
    Deploy(Deploy<'d>),
    /// Applies an installation template.
    Template {
        /// Its name.
        name: &'d Node,
        /// Its parameters.
        parameters: Vec<&'d Entry>,
    },
    /// Adds a Boutiques descriptor.
    Boutique(&'d Node),
    /// A test of an older form, without effect.
    Test,
}

impl Action<'_> {
    /// Keys that name an action, in the order of precedence that upstream's compiler has.
    pub const KEYS: [&'static str; 15] = [
        "install",
        "run",
        "workdir",
        "user",
        "entrypoint",
        "environment",
        "copy",
        "variables",
        "group",
        "include",
        "file",
        "deploy",
        "template",
        "boutique",
        "test",
    ];
}
