//! From the document to the checked view, with everything that is wrong.

use std::collections::HashMap;

use nd_names::BuildDate;
use nd_report::{Code, Diagnostic, Severity, Sink, Span, nearest};
use neurocontainers_recipe::{CATEGORIES, LEGACY_CATEGORIES};

use super::{
    model::{App, Catalogue, Container, basename},
    names::{AppIdentity, is_primary, unsafe_character},
    words,
};
use crate::{
    codes,
    json::{Member, Node, Object, Value, shown},
};

const CONTAINER_KEYS: &[&str] = &["show_in_menu", "show_in_applist", "apps", "categories"];
const APP_KEYS: &[&str] = &[
    "version",
    "exec",
    "terminal",
    "apptainer_args",
    "show_in_menu",
    "show_in_applist",
    // Carried by release records, of no meaning here.
    "architecture",
    "image",
];

/// Most problems of one kind that are told one by one; a hostile file has as many as it likes.
const MOST_PROBLEMS: usize = 10_000;

/// The categories that menus know, current and older ones.
pub fn names_of_categories() -> impl Iterator<Item = &'static str> {
    CATEGORIES.iter().chain(LEGACY_CATEGORIES).copied()
}

/// Reads the catalogue in `document`; every problem goes to `sink`. Containers and applications with
/// an error are left out of the result, so a caller that changes anything has to look at the sink.
pub fn decode(document: &Node, sink: &mut Sink) -> Catalogue {
    let mut decoder = Decoder {
        sink,
        owners: HashMap::new(),
        files: HashMap::new(),
    };
    let Some(members) = document.members() else {
        let message = format!("the catalogue is {}, not an object", document.kind());
        decoder.error(codes::WRONG_KIND, document.span, message);
        return Catalogue::default();
    };
    let containers = members
        .iter()
        .filter_map(|(name, member)| decoder.container(name, member))
        .collect();
    Catalogue { containers }
}

struct Decoder<'s> {
    sink: &'s mut Sink,
    /// Application, its container and place.
    owners: HashMap<String, (String, Span)>,
    /// File name, the application that has it and its place.
    files: HashMap<String, (String, Span)>,
}

impl Decoder<'_> {
    fn push(&mut self, found: Diagnostic) {
        if self.sink.diagnostics().len() < MOST_PROBLEMS {
            self.sink.push(found);
        }
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::new(code, Severity::Error, message).at(span, ""));
    }

    fn warning(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.push(Diagnostic::new(code, Severity::Warning, message).at(span, ""));
    }

    fn container(&mut self, name: &str, member: &Member) -> Option<Container> {
        let mut good = self.name("container", name, member.key);
        let Some(fields) = member.node.members() else {
            let message = format!(
                "container `{}` is {}, not an object",
                shown(name),
                member.node.kind()
            );
            self.error(codes::WRONG_KIND, member.node.span, message);
            return None;
        };
        self.unknown_keys(fields, CONTAINER_KEYS);
        let in_menu = self.visible(fields, "show_in_menu", true);
        let in_applist = self.visible(fields, "show_in_applist", true);
        let categories = self.categories(fields);
        let mut apps = Vec::new();
        match fields.get("apps") {
            None => {}
            Some(member) => match &member.node.value {
                Value::Null => {}
                Value::Object(members) => {
                    for (key, member) in members {
                        apps.extend(self.app(name, key, member, in_menu, in_applist));
                    }
                }
                _ => {
                    let message = format!("`apps` is {}, not an object", member.node.kind());
                    self.error(codes::WRONG_KIND, member.node.span, message);
                    good = false;
                }
            },
        }
        good.then(|| Container {
            name: name.to_owned(),
            span: member.key,
            categories,
            apps,
        })
    }

    fn app(
        &mut self,
        container: &str,
        name: &str,
        member: &Member,
        in_menu: bool,
        in_applist: bool,
    ) -> Option<App> {
        let good = self.name("application", name, member.key);
        let Some(fields) = member.node.members() else {
            let message = format!(
                "application `{}` is {}, not an object",
                shown(name),
                member.node.kind()
            );
            self.error(codes::WRONG_KIND, member.node.span, message);
            return None;
        };
        self.unknown_keys(fields, APP_KEYS);
        let build_date = self.build_date(name, member.key, fields);
        let exec = self.text(fields, "exec");
        let apptainer_args = self.texts(fields, "apptainer_args");
        let terminal = self.visible(fields, "terminal", true);
        let show_in_menu = self.visible(fields, "show_in_menu", in_menu);
        let show_in_applist = self.visible(fields, "show_in_applist", in_applist);
        let exec = exec?;
        let words = self.words(fields, &exec);
        let identity = AppIdentity::of(name, !exec.is_empty());
        let Some(identity) = identity else {
            let message = format!(
                "application `{}` has a command, but no label before a `-`",
                shown(name)
            );
            self.push(
                Diagnostic::new(codes::NO_LABEL, Severity::Error, message)
                    .at(member.key, "")
                    .hint(format!("call it `LABELGUI-{}`", shown(name))),
            );
            return None;
        };
        if !good {
            return None;
        }
        if identity.container != container {
            let message = format!(
                "application `{name}` is of `{}`, but stands in `{}`",
                shown(&identity.container),
                shown(container)
            );
            self.warning(codes::NO_SUCH_MODULE, member.key, message);
        }
        self.unique(container, name, member.key)?;
        Some(App {
            name: name.to_owned(),
            span: member.key,
            identity,
            build_date: build_date?,
            exec,
            words: words?,
            apptainer_args: apptainer_args?,
            terminal,
            show_in_menu,
            show_in_applist,
            primary: is_primary(name, container),
        })
    }

    /// One application belongs to one container and has a file name of its own.
    fn unique(&mut self, container: &str, name: &str, place: Span) -> Option<()> {
        if let Some((other, first)) = self.owners.get(name) {
            let message = format!(
                "application `{name}` is in `{}` and in `{}`",
                shown(other),
                shown(container)
            );
            let found = Diagnostic::new(codes::DUPLICATE_APP, Severity::Error, message)
                .at(place, "here again")
                .at(*first, "here first");
            self.push(found);
            return None;
        }
        self.owners
            .insert(name.to_owned(), (container.to_owned(), place));
        let file = basename(name);
        if let Some((other, first)) = self.files.get(&file) {
            let message = format!("applications `{other}` and `{name}` would both be `{file}`");
            let found = Diagnostic::new(codes::COLLISION, Severity::Error, message)
                .at(place, "")
                .at(*first, "the other one");
            self.push(found);
            return None;
        }
        self.files.insert(file, (name.to_owned(), place));
        Some(())
    }

    fn build_date(&mut self, name: &str, key: Span, fields: &Object) -> Option<String> {
        let Some(member) = fields.get("version") else {
            let message = format!(
                "application `{}` has no `version`, its build date",
                shown(name)
            );
            self.error(codes::MISSING_MEMBER, key, message);
            return None;
        };
        let date = match &member.node.value {
            Value::Text(text) => text.parse::<BuildDate>(),
            // Older records have numbers.
            Value::Number(number) => number.parse::<BuildDate>(),
            _ => {
                let message = format!("`version` is {}, not text", member.node.kind());
                self.error(codes::WRONG_KIND, member.node.span, message);
                return None;
            }
        };
        if let Ok(date) = date {
            return Some(date.into());
        }
        let text = member.node.as_text().unwrap_or("a number");
        let message = format!("`{}` is not a build date of the form YYYYMMDD", shown(text));
        self.error(codes::BAD_DATE, member.node.span, message);
        None
    }

    fn words(&mut self, fields: &Object, exec: &str) -> Option<Vec<String>> {
        let place = fields.get("exec").map(|member| member.node.span);
        let split = words::split(exec);
        let bad = |c: char| c == '\0' || (c.is_control() && c != '\t');
        let message = match &split {
            None => "the command cannot be split into words",
            Some(_) if exec.contains(bad) => "the command holds a control character",
            Some(words) => return Some(words.clone()),
        };
        if let Some(place) = place {
            self.error(codes::BAD_WORDS, place, message);
        }
        None
    }

    fn categories(&mut self, fields: &Object) -> Vec<String> {
        let Some(member) = fields.get("categories") else {
            return Vec::new();
        };
        let items = match &member.node.value {
            Value::Null => return Vec::new(),
            Value::List(items) => items,
            _ => {
                let message = format!("`categories` is {}, not a list", member.node.kind());
                self.error(codes::WRONG_KIND, member.node.span, message);
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for item in items {
            let Some(text) = item.as_text() else {
                let message = format!("a category is {}, not text", item.kind());
                self.error(codes::WRONG_KIND, item.span, message);
                continue;
            };
            if text.contains([',', '[', ']', '\n', '\r', '\t']) {
                let message = format!("category `{}` does not fit into plain lists", shown(text));
                self.warning(codes::BRACKETS, item.span, message);
            }
            if !names_of_categories().any(|known| known == text) {
                let message = format!("category `{}` is unknown", shown(text));
                let found = Diagnostic::new(codes::UNKNOWN_CATEGORY, Severity::Warning, message)
                    .at(item.span, "");
                let found = match nearest(text, names_of_categories()) {
                    Some(name) => found.hint(format!("did you mean `{name}`?")),
                    None => found,
                };
                self.push(found);
            }
            all.push(text.to_owned());
        }
        all
    }

    fn name(&mut self, what: &str, name: &str, place: Span) -> bool {
        let message = if name.trim().is_empty() {
            format!("a {what} has no name")
        } else if let Some((_, c)) = unsafe_character(name) {
            format!("{what} `{}` must not contain {c:?} there", shown(name))
        } else if name.len() > 200 {
            format!("{what} `{}` has a name of more than 200 bytes", shown(name))
        } else {
            return true;
        };
        self.push(
            Diagnostic::new(codes::UNSAFE_NAME, Severity::Error, message)
                .at(place, "")
                .hint("a letter or digit, then also blank, `.`, `_`, `-`, `+`"),
        );
        false
    }

    fn unknown_keys(&mut self, fields: &Object, known: &[&'static str]) {
        for (key, member) in fields {
            if known.contains(&key.as_str()) {
                continue;
            }
            let message = format!("key `{}` is not part of the catalogue", shown(key));
            let found = Diagnostic::new(codes::UNKNOWN_MEMBER, Severity::Warning, message)
                .at(member.key, "");
            let found = match nearest(key, known.iter().copied()) {
                Some(name) => found.hint(format!("did you mean `{name}`?")),
                None => found,
            };
            self.push(found);
        }
    }

    /// Only `false` hides; whatever else is no boolean is told.
    fn visible(&mut self, fields: &Object, key: &str, default: bool) -> bool {
        let Some(member) = fields.get(key) else {
            return default;
        };
        if let Value::Bool(value) = member.node.value {
            return value;
        }
        let message = format!(
            "`{key}` is {}, not a boolean, and counts as `true`",
            member.node.kind()
        );
        self.warning(codes::WRONG_KIND, member.node.span, message);
        true
    }

    fn text(&mut self, fields: &Object, key: &str) -> Option<String> {
        let Some(node) = fields.get(key).map(|member| &member.node) else {
            return Some(String::new());
        };
        let text = node.as_text().map(str::to_owned);
        if text.is_none() {
            let message = format!("`{key}` is {}, not text", node.kind());
            self.error(codes::WRONG_KIND, node.span, message);
        }
        text
    }

    fn texts(&mut self, fields: &Object, key: &str) -> Option<Vec<String>> {
        let Some(member) = fields.get(key) else {
            return Some(Vec::new());
        };
        let texts = match &member.node.value {
            Value::Null => Some(Vec::new()),
            Value::List(items) => items
                .iter()
                .map(|item| item.as_text().map(str::to_owned))
                .collect(),
            _ => None,
        };
        if texts.is_none() {
            let message = format!("`{key}` is no list of text");
            self.error(codes::WRONG_KIND, member.node.span, message);
        }
        texts
    }
}
