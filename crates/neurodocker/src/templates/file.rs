//! The form of a template file.

use nd_jinja::Value as Jinja;
use nd_report::{Diagnostic, FileId, Severity, Sink};
use nd_yaml::{Entry, Limits, Map, Node, Value, python_str};

use super::{MethodInfo, TemplateInfo};
use crate::codes;

/// A template.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) url: Option<String>,
    pub(super) alert: Option<String>,
    /// Name and method, `binaries` first.
    pub(super) methods: Vec<(String, Method)>,
}

/// One way to install.
#[derive(Debug, Default)]
pub(super) struct Method {
    pub(super) required: Vec<String>,
    pub(super) optional: Vec<(String, String)>,
    /// Version to address; addresses may be mappings themselves.
    pub(super) urls: Option<Jinja>,
    pub(super) versions: Vec<String>,
    /// Key (`apt`, `yum`, `debs`) and entries.
    pub(super) dependencies: Vec<(String, Vec<String>)>,
    pub(super) directives: Vec<Directive>,
}

/// One step of a method.
#[derive(Debug)]
pub(super) enum Directive {
    Environment(Vec<(String, String)>),
    Install(Vec<String>),
    Run(Vec<String>),
}

impl Template {
    /// Reads a file. `None` when it is no template, with the reasons in `sink`.
    pub(super) fn parse(bytes: &[u8], file: FileId, sink: &mut Sink) -> Option<Self> {
        let before = sink.diagnostics().len();
        let root = nd_yaml::parse(bytes, file, &Limits::default(), sink)?;
        let mut reader = Reader { sink };
        let template = reader.template(&root);
        let failed = sink.diagnostics()[before..]
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error);
        template.filter(|_| !failed)
    }

    pub(super) fn method(&self, name: &str) -> Option<&Method> {
        let (_, method) = self.methods.iter().find(|(known, _)| known == name)?;
        Some(method)
    }

    pub(super) fn info(&self, name: &str) -> TemplateInfo {
        TemplateInfo {
            name: name.to_owned(),
            url: self.url.clone(),
            alert: self.alert.clone(),
            methods: self
                .methods
                .iter()
                .map(|(name, method)| MethodInfo {
                    name: name.clone(),
                    required: method.required.clone(),
                    optional: method.optional.clone(),
                    versions: method.versions.clone(),
                })
                .collect(),
        }
    }
}

struct Reader<'s> {
    sink: &'s mut Sink,
}

impl Reader<'_> {
    fn error(&mut self, node: &Node, message: impl Into<String>) {
        let diagnostic = Diagnostic::new(codes::TEMPLATE_FILE, Severity::Error, message);
        self.sink.push(diagnostic.at(node.span, ""));
    }

    fn template(&mut self, root: &Node) -> Option<Template> {
        let map = self.map(root, "a template")?;
        let mut methods = Vec::new();
        for name in ["binaries", "source"] {
            if let Some(node) = map.get(name)
                && let Some(method) = self.method(node, name)
            {
                methods.push((name.to_owned(), method));
            }
        }
        if methods.is_empty() {
            self.error(root, "a template needs the method `binaries` or `source`");
        }
        for entry in map {
            let known = ["name", "url", "alert", "binaries", "source"];
            self.known(entry, &known, "template");
        }
        let text = |key| map.get(key).map(|node| python_str(&node.value));
        Some(Template {
            url: text("url"),
            alert: text("alert"),
            methods,
        })
    }

    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Map> {
        let map = node.as_map();
        if map.is_none() {
            self.error(
                node,
                format!("{what} must be a mapping, found {}", node.kind()),
            );
        }
        map
    }

    /// Items of a list; null counts as an empty one.
    fn list<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::Seq(items) => items,
            Value::Null => &[],
            _ => {
                self.error(
                    node,
                    format!("{what} must be a list, found {}", node.kind()),
                );
                &[]
            }
        }
    }

    fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        self.list(node, what)
            .iter()
            .filter(|item| !item.is_null())
            .map(|item| python_str(&item.value))
            .collect()
    }

    fn pairs(&mut self, node: &Node, what: &str) -> Vec<(String, String)> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(map) = self.map(node, what) else {
            return Vec::new();
        };
        map.iter()
            .map(|entry| (python_str(&entry.key.value), python_str(&entry.value.value)))
            .collect()
    }

    fn known(&mut self, entry: &Entry, known: &[&str], what: &str) {
        let name = python_str(&entry.key.value);
        if !known.contains(&name.as_str()) {
            let message = format!("unknown key `{name}` in a {what}");
            self.error(&entry.key, message);
        }
    }

    fn method(&mut self, node: &Node, name: &str) -> Option<Method> {
        let map = self.map(node, &format!("`{name}`"))?;
        let mut method = Method::default();
        for entry in map {
            let value = &entry.value;
            match entry.key.as_str() {
                Some("builder") => {
                    if value.as_str() != Some("neurodocker") {
                        let message = "`builder` must be `neurodocker`, the only one there is";
                        self.error(value, message);
                    }
                }
                Some("arguments") => self.arguments(value, &mut method),
                Some("urls") => {
                    if let Some(map) = self.map(value, "`urls`") {
                        method.versions = map.iter().map(|entry| key_text(&entry.key)).collect();
                        method.urls = Some(to_jinja(value));
                    }
                }
                Some("dependencies") => {
                    if let Some(map) = self.map(value, "`dependencies`") {
                        for entry in map {
                            let name = python_str(&entry.key.value);
                            self.known(entry, &["apt", "yum", "debs"], "`dependencies`");
                            let texts = self.texts(&entry.value, &format!("`{name}`"));
                            method.dependencies.push((name, texts));
                        }
                    }
                }
                Some("directives") => {
                    for item in self.list(value, "`directives`") {
                        method.directives.extend(self.directive(item));
                    }
                }
                _ => {
                    let known = ["env", "instructions"];
                    self.known(entry, &known, "method");
                }
            }
        }
        if map.get("directives").is_none() {
            // The older form: an environment and one text.
            if let Some(node) = map.get("env") {
                let pairs = self.pairs(node, "`env`");
                method.directives.push(Directive::Environment(pairs));
            }
            if let Some(node) = map.get("instructions") {
                let text = python_str(&node.value);
                method.directives.push(Directive::Run(vec![text]));
            }
        }
        Some(method)
    }

    fn arguments(&mut self, node: &Node, method: &mut Method) {
        let Some(map) = self.map(node, "`arguments`") else {
            return;
        };
        for entry in map {
            match entry.key.as_str() {
                Some("required") => method.required = self.texts(&entry.value, "`required`"),
                Some("optional") => method.optional = self.pairs(&entry.value, "`optional`"),
                _ => self.known(entry, &["required", "optional"], "`arguments`"),
            }
        }
        for reserved in ["urls", "env"] {
            let given = method.required.iter().map(String::as_str);
            let given = given.chain(method.optional.iter().map(|(name, _)| name.as_str()));
            if given.into_iter().any(|name| name == reserved) {
                let message = format!("`{reserved}` cannot be the name of an argument");
                self.error(node, message);
            }
        }
    }

    fn directive(&mut self, node: &Node) -> Option<Directive> {
        let map = self.map(node, "a directive")?;
        let mut found = None;
        for entry in map {
            let directive = match entry.key.as_str() {
                Some("environment") => {
                    Directive::Environment(self.pairs(&entry.value, "`environment`"))
                }
                Some("install") => Directive::Install(self.texts(&entry.value, "`install`")),
                Some("run") => Directive::Run(match &entry.value.value {
                    Value::Seq(_) => self.texts(&entry.value, "`run`"),
                    value => vec![python_str(value)],
                }),
                _ => {
                    self.known(entry, &["environment", "install", "run"], "directive");
                    continue;
                }
            };
            if found.is_some() {
                self.error(&entry.key, "a directive does one thing; write two of them");
            }
            found = Some(directive);
        }
        found
    }
}

/// A version as written: `1.10` is no number here.
fn key_text(key: &Node) -> String {
    match key.written() {
        Some(text) => text.to_owned(),
        None => python_str(&key.value),
    }
}

fn to_jinja(node: &Node) -> Jinja {
    match &node.value {
        Value::Map(map) => Jinja::from_pairs(
            map.iter()
                .map(|entry| (key_text(&entry.key), to_jinja(&entry.value))),
        ),
        Value::Seq(items) => items.iter().map(to_jinja).collect(),
        value => Jinja::from(python_str(value)),
    }
}
