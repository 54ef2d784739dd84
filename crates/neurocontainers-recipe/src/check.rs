//! Parsing every template of a recipe without rendering any.

use nd_report::Sink;
use nd_yaml::{Map, Node, Value};

use crate::{
    Sources,
    compile::parser,
    decode::Draft,
    raw::{Action, Deploy, Directive, File},
    trouble::{self, Syntax},
};

/// Parses templates and reports those that do not parse.
pub(crate) struct TemplateCheck<'a> {
    /// Whether only those fields count that upstream checks.
    pub(crate) upstream: bool,
    /// The texts of all files.
    pub(crate) sources: &'a Sources,
    /// Where problems go.
    pub(crate) sink: &'a mut Sink,
}

impl TemplateCheck<'_> {
    /// Checks all templates of `build.yaml`.
    pub(crate) fn recipe(&mut self, recipe: &Draft<'_>) {
        let about = &recipe.about;
        self.optional(about.readme);
        self.optional(about.readme_url);
        if let Some(variables) = recipe.variables {
            self.entries(variables);
        }
        if let Some(deploy) = &recipe.deploy {
            self.deploy(deploy);
        }
        for file in &recipe.files {
            self.file(file);
        }
        if let Some(build) = &recipe.build {
            self.optional(build.base_image);
            self.optional(build.pkg_manager);
            self.directives(build.directives.as_deref().unwrap_or_default());
        }
        if self.upstream {
            return;
        }
        if let Some(parts) = &about.structured_readme {
            self.node(parts.description);
            self.node(parts.example);
            self.optional(parts.documentation);
            self.optional(parts.citation);
        }
        for node in [
            about.categories,
            about.apptainer_args,
            about.show_in_menu,
            about.show_in_applist,
        ] {
            self.optional(node);
        }
        for entry in &about.gui_apps {
            self.node(entry.name);
            self.node(entry.exec);
        }
    }

    /// Checks the file `README.md`.
    pub(crate) fn readme_file(&mut self, text: &str) {
        if let Err(problem) = parser().check(text) {
            let source = self.sources.iter().find(|source| source.text == text);
            self.sink
                .push(trouble::in_file(&problem, source, Syntax::Template));
        }
    }

    /// Checks the templates of directives.
    pub(crate) fn directives(&mut self, directives: &[Directive<'_>]) {
        for directive in directives {
            self.condition(directive.condition);
            match &directive.action {
                Action::Install(node)
                | Action::Run(node)
                | Action::Workdir(node)
                | Action::User(node)
                | Action::Entrypoint(node)
                | Action::Copy(node)
                | Action::Variables(node) => self.node(node),
                Action::Environment(map) => self.entries(map),
                Action::Group { children, with } => {
                    self.optional(*with);
                    self.directives(children);
                }
                Action::Include { name, with } => {
                    self.node(name);
                    self.optional(*with);
                }
                Action::File(file) => self.file(file),
                Action::Deploy(deploy) => self.deploy(deploy),
                Action::Template { name, parameters } => {
                    self.node(name);
                    for entry in parameters {
                        self.node(&entry.value);
                    }
                }
                Action::Boutique(node) => {
                    if !self.upstream {
                        self.node(node);
                    }
                }
                Action::Test => {}
            }
        }
    }

    fn deploy(&mut self, deploy: &Deploy<'_>) {
        self.optional(deploy.bins);
        self.optional(deploy.path);
    }

    fn file(&mut self, file: &File<'_>) {
        self.node(file.name);
        self.optional(file.url);
        self.optional(file.contents);
        self.condition(file.condition);
        if !self.upstream {
            self.optional(file.filename);
        }
    }

    fn entries(&mut self, map: &Map) {
        for entry in map {
            self.node(&entry.key);
            self.node(&entry.value);
        }
    }

    fn optional(&mut self, node: Option<&Node>) {
        if let Some(node) = node {
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        match &node.value {
            Value::Str(text) => {
                if let Err(problem) = parser().check(text) {
                    self.sink.push(trouble::in_node(
                        &problem,
                        node,
                        Syntax::Template,
                        self.sources,
                    ));
                }
            }
            Value::Seq(items) => items.iter().for_each(|item| self.node(item)),
            Value::Map(map) => match map.get("try").and_then(Node::as_seq) {
                Some(options) => {
                    for option in options {
                        self.condition(option.get("condition"));
                        self.optional(option.get("value"));
                    }
                }
                None => self.entries(map),
            },
            _ => {}
        }
    }

    fn condition(&mut self, node: Option<&Node>) {
        let Some(node) = node else {
            return;
        };
        let Some(text) = node.as_str() else {
            return;
        };
        // Upstream skips blank conditions here and fails when it compiles.
        if text.trim().is_empty() && self.upstream {
            return;
        }
        if let Err(problem) = parser().check_condition(text) {
            self.sink.push(trouble::in_node(
                &problem,
                node,
                Syntax::Condition,
                self.sources,
            ));
        }
    }
}
