//! Templates in upstream's schema: one file, one piece of software, one or two methods.

use nd_report::{Diagnostic, FileId, Severity, Sink};
use nd_yaml::{Limits, Map, Node, Value};

use crate::codes;

/// A template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftwareTemplate {
    /// Name as written; looked up without regard to case.
    pub name: String,
    /// Home page.
    pub url: String,
    /// What users are asked to agree to before the template is used.
    pub alert: Option<String>,
    /// Licence of the software, as an SPDX expression or in words (our dialect only).
    pub license: Option<String>,
    /// Method `binaries`, then `source`.
    pub methods: Vec<SoftwareMethod>,
}

/// One way to install.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoftwareMethod {
    /// `binaries` or `source`.
    pub name: String,
    /// Shell text, unrendered.
    pub instructions: String,
    /// Arguments that a call must give.
    pub required: Vec<String>,
    /// Other arguments and their defaults, unrendered.
    pub optional: Vec<(String, String)>,
    /// Variables of the image, unrendered.
    pub env: Vec<(String, String)>,
    /// Package manager (`apt`, `yum`, and `debs` for addresses of packages) and packages.
    pub dependencies: Vec<(String, Vec<String>)>,
    /// Version and address; `*` stands for any version.
    pub urls: Vec<(String, String)>,
    /// SHA-256 of what is behind an address, by version (our dialect only).
    pub sha256: Vec<(String, String)>,
    /// Command that proves the installation (our dialect only).
    pub test: Option<String>,
    /// Arguments whose values nobody but the caller should know (our dialect only).
    pub secret: Vec<String>,
}

/// Members of the object `self` that no argument may be called like.
pub(crate) const MEMBERS: &[&str] = &[
    "arguments",
    "dependencies",
    "env",
    "install",
    "install_dependencies",
    "instructions",
    "optional_arguments",
    "pkg_manager",
    "required_arguments",
    "template",
    "urls",
    "versions",
];

/// Options of `generate` that are no template.
pub(crate) const FIXED_OPTIONS: &[&str] = &[
    "pkg-manager",
    "base-image",
    "arg",
    "copy",
    "add",
    "env",
    "entrypoint",
    "install",
    "label",
    "run",
    "run-bash",
    "user",
    "workdir",
    "yes",
    "json",
    "help",
];

impl SoftwareTemplate {
    /// Reads a file. `None` when it is no template, with every reason in `sink`.
    ///
    /// `dialect` also takes our own keys (`license`; in a method `sha256`, `test`, `secret`).
    pub fn parse(bytes: &[u8], file: FileId, dialect: bool, sink: &mut Sink) -> Option<Self> {
        let before = sink.diagnostics().len();
        let root = nd_yaml::parse(bytes, file, &Limits::default(), sink)?;
        let template = Reader { sink, dialect }.template(&root);
        let failed = sink.diagnostics()[before..]
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error);
        template.filter(|_| !failed)
    }

    /// Name that it is registered and offered under.
    pub fn key(&self) -> String {
        self.name.to_lowercase()
    }

    /// The method of a name.
    pub fn method(&self, name: &str) -> Option<&SoftwareMethod> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// Whether it is kept from the command line.
    pub fn is_private(&self) -> bool {
        self.name.starts_with('_')
    }
}

impl SoftwareMethod {
    /// Every argument that a call may give.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        let optional = self.optional.iter().map(|(name, _)| name.as_str());
        self.required.iter().map(String::as_str).chain(optional)
    }

    /// Packages under a key of `dependencies`.
    pub fn packages(&self, key: &str) -> &[String] {
        let mut all = self.dependencies.iter();
        all.find(|(known, _)| known == key)
            .map_or(&[], |(_, packages)| packages)
    }
}

/// Key of dependencies that are not of the right form.
pub(crate) const NO_MAPPING: &str = "\0no mapping";

struct Reader<'s> {
    sink: &'s mut Sink,
    dialect: bool,
}

impl Reader<'_> {
    fn error(&mut self, node: &Node, message: impl Into<String>) {
        let diagnostic = Diagnostic::new(codes::TEMPLATE_FILE, Severity::Error, message);
        self.sink.push(diagnostic.at(node.span, ""));
    }

    fn template(&mut self, root: &Node) -> Option<SoftwareTemplate> {
        let map = self.map(root, "a template")?;
        let ours: &[&str] = if self.dialect { &["license"] } else { &[] };
        let known = ["name", "url", "alert", "binaries", "source"];
        self.known(map, &known, ours, "a template");
        let name = self.required_text(root, map, "name", "a template");
        let url = self.required_text(root, map, "url", "a template");
        let mut methods = Vec::new();
        for name in ["binaries", "source"] {
            if let Some(node) = map.get(name) {
                methods.extend(self.method(node, name));
            }
        }
        if map.get("binaries").is_none() && map.get("source").is_none() {
            self.error(root, "a template needs the method `binaries` or `source`");
        }
        Some(SoftwareTemplate {
            name: name?,
            url: url?,
            alert: map.get("alert").and_then(|node| self.text(node, "`alert`")),
            license: map
                .get("license")
                .and_then(|node| self.text(node, "`license`")),
            methods,
        })
    }

    fn method(&mut self, node: &Node, name: &str) -> Option<SoftwareMethod> {
        let what = format!("`{name}`");
        let map = self.map(node, &what)?;
        let mut known = vec!["instructions", "arguments", "env", "dependencies"];
        if name == "binaries" {
            known.push("urls");
        }
        let ours: &[&str] = if self.dialect {
            &["sha256", "test", "secret"]
        } else {
            &[]
        };
        self.known(map, &known, ours, &what);
        let mut method = SoftwareMethod {
            name: name.to_owned(),
            instructions: self.required_text(node, map, "instructions", &what)?,
            ..SoftwareMethod::default()
        };
        if let Some(node) = map.get("arguments") {
            self.arguments(node, &mut method);
        }
        if let Some(node) = map.get("env") {
            method.env = self.pairs(node, "`env`", 1, false);
        }
        if let Some(node) = map.get("urls") {
            method.urls = self.pairs(node, "`urls`", 1, true);
        } else if name == "binaries" {
            self.error(node, "`binaries` needs `urls`");
        }
        if let Some(node) = map.get("dependencies")
            && !self.dialect
            && node.as_map().is_none()
        {
            // Upstream's schema takes anything here, and fails when it is used.
            method
                .dependencies
                .push((NO_MAPPING.to_owned(), Vec::new()));
        } else if let Some(node) = map.get("dependencies")
            && let Some(map) = self.map(node, "`dependencies`")
        {
            self.known(map, &["apt", "debs", "yum"], &[], "`dependencies`");
            for entry in map {
                let key = label(&entry.key);
                let packages = self.texts(&entry.value, &format!("`{key}`"));
                method.dependencies.push((key, packages));
            }
        }
        if let Some(node) = map.get("sha256") {
            method.sha256 = self.pairs(node, "`sha256`", 0, true);
        }
        method.test = map.get("test").and_then(|node| self.text(node, "`test`"));
        if let Some(node) = map.get("secret") {
            method.secret = self.texts(node, "`secret`");
        }
        Some(method)
    }

    fn arguments(&mut self, node: &Node, method: &mut SoftwareMethod) {
        let Some(map) = self.map(node, "`arguments`") else {
            return;
        };
        self.known(map, &["required", "optional"], &[], "`arguments`");
        if let Some(node) = map.get("required") {
            method.required = self.texts(node, "`required`");
        }
        if let Some(node) = map.get("optional") {
            method.optional = self.pairs(node, "`optional`", 0, false);
            for (name, _) in &method.optional {
                if MEMBERS.contains(&name.as_str()) || name.starts_with('_') {
                    let message = format!("`{name}` cannot be the name of an argument");
                    self.error(node, message);
                }
            }
        }
    }

    fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Map> {
        let map = node.as_map();
        if map.is_none() {
            let message = format!("{what} must be a mapping, found {}", node.kind());
            self.error(node, message);
        }
        map
    }

    fn known(&mut self, map: &Map, known: &[&str], ours: &[&str], what: &str) {
        for entry in map {
            let name = label(&entry.key);
            if !known.contains(&name.as_str()) && !ours.contains(&name.as_str()) {
                self.error(&entry.key, format!("{what} has no key `{name}`"));
            }
        }
    }

    fn required_text(&mut self, node: &Node, map: &Map, key: &str, what: &str) -> Option<String> {
        if let Some(value) = map.get(key) {
            return self.text(value, &format!("`{key}`"));
        }
        self.error(node, format!("{what} needs `{key}`"));
        None
    }

    fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = node.as_str().map(str::to_owned);
        if text.is_none() {
            let message = format!("{what} must be a text, found {}; quote it", node.kind());
            self.error(node, message);
        }
        text
    }

    fn texts(&mut self, node: &Node, what: &str) -> Vec<String> {
        let Value::Seq(items) = &node.value else {
            self.error(
                node,
                format!("{what} must be a list, found {}", node.kind()),
            );
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| self.text(item, &format!("an item of {what}")))
            .collect()
    }

    /// Keys and texts. In our dialect a version label is taken as it is written, `1.10` as well.
    fn pairs(
        &mut self,
        node: &Node,
        what: &str,
        least: usize,
        labels: bool,
    ) -> Vec<(String, String)> {
        let Some(map) = self.map(node, what) else {
            return Vec::new();
        };
        if map.len() < least {
            self.error(node, format!("{what} must not be empty"));
        }
        let mut pairs = Vec::new();
        for entry in map {
            let key = label(&entry.key);
            if labels && !self.dialect && entry.key.as_str().is_none() {
                // For upstream this is a number, which no version ever equals.
                continue;
            }
            if !labels && entry.key.as_str().is_none() {
                self.error(&entry.key, format!("a key of {what} must be a text"));
            }
            if let Some(text) = self.text(&entry.value, &format!("`{key}` of {what}")) {
                pairs.push((key, text));
            }
        }
        pairs
    }
}

/// A key as it is written.
fn label(key: &Node) -> String {
    match key.written() {
        Some(text) => text.to_owned(),
        None => nd_yaml::python_str(&key.value),
    }
}
