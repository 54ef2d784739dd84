//! The catalogue from release records.

use std::collections::{BTreeMap, HashMap};

use nd_report::{Diagnostic, Severity, Sink, Span};

use super::names::unsafe_character;
use crate::{
    codes,
    json::{Member, Node, Object, Value, shown},
};

/// A release record, `releases/CONTAINER/STEM.json`.
#[derive(Debug, Clone)]
pub struct Release {
    /// Name of its folder.
    pub container: String,
    /// Name of its file without `.json`; the version.
    pub stem: String,
    /// What it holds.
    pub document: Node,
}

/// Keys about visibility, in the order in which they are written.
pub(super) const VISIBILITY: [&str; 2] = ["show_in_menu", "show_in_applist"];

/// What the records of one container come to.
#[derive(Debug, Default)]
struct Merging {
    visibility: [Option<Node>; 2],
    apps: Object,
    categories: Vec<String>,
}

/// The catalogue of `releases`, byte for byte what upstream's generator makes of the same files.
///
/// Containers are sorted by name, records of one by their stems; later ones overwrite applications of
/// earlier ones, categories are united and sorted, and `false` of any record hides. Records of the older
/// form for ARM leave nothing but the container. Problems go to `sink`; with an error the result is of
/// no use, where upstream leaves out what it cannot read.
pub fn build(releases: &[Release], sink: &mut Sink) -> Node {
    let mut order: Vec<&Release> = releases.iter().collect();
    order.sort_by(|a, b| (&a.container, &a.stem).cmp(&(&b.container, &b.stem)));
    let mut containers: BTreeMap<&str, Merging> = BTreeMap::new();
    let mut owners: HashMap<&str, (&str, Span)> = HashMap::new();
    for release in order {
        let merging = containers.entry(&release.container).or_default();
        let Some(checked) = Checked::of(release, sink) else {
            continue;
        };
        if checked.is_older_form() {
            let message = format!(
                "release `{}/{}` is of the older form for ARM and left out",
                shown(&release.container),
                shown(&release.stem)
            );
            sink.push(
                Diagnostic::new(codes::SKIPPED_RELEASE, Severity::Note, message)
                    .at(release.document.span, ""),
            );
            continue;
        }
        for (key, member) in checked.apps {
            if let Some((other, first)) = owners.get(key.as_str())
                && *other != release.container
            {
                let message = format!(
                    "application `{}` is in `{}` and in `{}`",
                    shown(key),
                    shown(other),
                    shown(&release.container)
                );
                sink.push(
                    Diagnostic::new(codes::DUPLICATE_APP, Severity::Error, message)
                        .at(member.key, "here again")
                        .at(*first, "here first"),
                );
            }
            owners.insert(key, (&release.container, member.key));
        }
        checked.merge_into(merging);
    }
    Node::object(
        containers
            .into_iter()
            .map(|(name, merging)| (name, merging.finish())),
    )
}

impl Merging {
    fn finish(self) -> Node {
        let mut members = Object::new();
        for (key, value) in VISIBILITY.iter().zip(self.visibility) {
            if let Some(value) = value {
                members.insert((*key).to_owned(), Member::new(value));
            }
        }
        members.insert(
            "apps".to_owned(),
            Member::new(Node::new(Value::Object(self.apps))),
        );
        let categories = self.categories.into_iter().map(Node::text).collect();
        members.insert(
            "categories".to_owned(),
            Member::new(Node::new(Value::List(categories))),
        );
        Node::new(Value::Object(members))
    }
}

/// A record whose parts have the types they need.
pub(super) struct Checked<'r> {
    document: &'r Object,
    pub(super) apps: &'r Object,
    pub(super) categories: Vec<&'r str>,
}

impl<'r> Checked<'r> {
    /// Looks at the record; what is wrong goes to `sink`.
    pub(super) fn of(release: &'r Release, sink: &mut Sink) -> Option<Self> {
        let node = &release.document;
        let mut wrong = |code, span, message: String| {
            sink.push(Diagnostic::new(code, Severity::Error, message).at(span, ""));
        };
        for (what, name) in [
            ("container", &release.container),
            ("version", &release.stem),
        ] {
            if name.contains(' ') || unsafe_character(name).is_some() {
                let message = format!("`{}` cannot be the name of a {what}", shown(name));
                wrong(codes::UNSAFE_NAME, node.span, message);
                return None;
            }
        }
        let Some(document) = node.members() else {
            wrong(
                codes::WRONG_KIND,
                node.span,
                format!("the record is {}, not an object", node.kind()),
            );
            return None;
        };
        let Some(apps) = document.get("apps").map(|member| &member.node) else {
            wrong(
                codes::MISSING_MEMBER,
                node.span,
                "the record has no `apps`".to_owned(),
            );
            return None;
        };
        let Some(members) = apps.members() else {
            wrong(
                codes::WRONG_KIND,
                apps.span,
                format!("`apps` is {}, not an object", apps.kind()),
            );
            return None;
        };
        for (name, member) in members {
            if member.node.members().is_none() {
                let message = format!(
                    "application `{}` is {}, not an object",
                    shown(name),
                    member.node.kind()
                );
                wrong(codes::WRONG_KIND, member.node.span, message);
                return None;
            }
        }
        let mut categories = Vec::new();
        if let Some(member) = document.get("categories") {
            let texts: Option<Vec<&str>> = match &member.node.value {
                Value::Null => Some(Vec::new()),
                Value::List(items) => items.iter().map(Node::as_text).collect(),
                _ => None,
            };
            let Some(texts) = texts else {
                wrong(
                    codes::WRONG_KIND,
                    member.node.span,
                    "`categories` is no list of text".to_owned(),
                );
                return None;
            };
            categories = texts;
        }
        let checked = Self {
            document,
            apps: members,
            categories,
        };
        checked.remarks(release, sink);
        Some(checked)
    }

    /// What is odd, and does no harm.
    fn remarks(&self, release: &Release, sink: &mut Sink) {
        let span = release.document.span;
        if self.apps.is_empty() {
            let message = format!(
                "release `{}/{}` names no application",
                release.container, release.stem
            );
            sink.push(
                Diagnostic::new(codes::EMPTY_RELEASE, Severity::Warning, message).at(span, ""),
            );
            return;
        }
        let wanted = format!("{} {}", release.container, release.stem);
        if !self.is_older_form() && !self.apps.contains_key(&wanted) {
            let message = format!(
                "release `{}/{}` has no application `{wanted}`",
                release.container, release.stem
            );
            sink.push(
                Diagnostic::new(codes::RELEASE_NAME, Severity::Warning, message).at(span, ""),
            );
        }
    }

    /// Whether the record is of the older form for ARM: an architecture without a variant.
    fn is_older_form(&self) -> bool {
        let arm = |fields: &Object| {
            let text = fields
                .get("architecture")
                .and_then(|member| member.node.as_text());
            matches!(text, Some("aarch64" | "arm64"))
        };
        let variant = self
            .document
            .get("variant")
            .map(|member| &member.node.value);
        let has_variant = match variant {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Text(text)) => !text.is_empty(),
            Some(_) => true,
        };
        let apps = self
            .apps
            .values()
            .filter_map(|member| member.node.members());
        !has_variant && (arm(self.document) || apps.into_iter().any(arm))
    }

    fn merge_into(&self, merging: &mut Merging) {
        for (key, seen) in VISIBILITY.iter().zip(&mut merging.visibility) {
            if let Some(member) = self.document.get(*key) {
                merge_visibility(seen, &member.node);
            }
        }
        for (key, member) in self.apps {
            merging.apps.insert(key.clone(), member.clone());
        }
        unite(&mut merging.categories, &self.categories);
    }

    /// The value of a key about visibility.
    pub(super) fn visibility(&self, key: &str) -> Option<&'r Node> {
        Some(&self.document.get(key)?.node)
    }
}

/// `false` wins, else the first value that is not null.
pub(super) fn merge_visibility(seen: &mut Option<Node>, new: &Node) {
    let hides = new.value == Value::Bool(false);
    if hides || (seen.is_none() && new.value != Value::Null) {
        *seen = Some(new.clone());
    }
}

/// Adds categories; sorted, none twice.
pub(super) fn unite(all: &mut Vec<String>, more: &[&str]) {
    all.extend(more.iter().map(|&category| category.to_owned()));
    all.sort();
    all.dedup();
}

#[cfg(test)]
mod tests {
    use nd_report::FileId;

    use super::*;
    use crate::{
        catalogue::text,
        json::{Limits, parse},
    };

    fn release(container: &str, stem: &str, json: &str) -> Release {
        let mut sink = Sink::new();
        let document = parse(json, FileId(0), &Limits::default(), &mut sink).unwrap();
        Release {
            container: container.to_owned(),
            stem: stem.to_owned(),
            document,
        }
    }

    #[test]
    fn merges_as_the_specification_says() {
        let releases = [
            release(
                "b",
                "2",
                r#"{"apps":{"b 2":{"version":"20240102","exec":""}},"categories":["z"],"show_in_menu":null}"#,
            ),
            release(
                "b",
                "1",
                r#"{"apps":{"b 1":{"version":"20240101"}},"categories":["y","z"],"show_in_menu":true,"show_in_applist":false}"#,
            ),
            release(
                "a",
                "1-arm64",
                r#"{"apps":{"a 1 arm64":{"version":"20240101","architecture":"aarch64"}},"categories":["q"]}"#,
            ),
            release(
                "b",
                "10",
                r#"{"apps":{"b 10":{"version":"20240103"}},"variant":"gpu","architecture":"arm64","show_in_menu":false}"#,
            ),
        ];
        let mut sink = Sink::new();
        let built = build(&releases, &mut sink);
        assert!(!sink.has_errors());
        assert_eq!(
            text(&built).split_whitespace().collect::<String>(),
            r#"{"a":{"apps":{},"categories":[]},"b":{"show_in_menu":false,"show_in_applist":false,"apps":{"b1":{"version":"20240101"},"b10":{"version":"20240103"},"b2":{"version":"20240102","exec":""}},"categories":["y","z"]}}"#
        );
    }

    #[test]
    fn refuses_what_cannot_be_merged() {
        let cases = [
            (
                release("a", "1", "[]"),
                "the record is a list, not an object",
            ),
            (release("a", "1", "{}"), "the record has no `apps`"),
            (
                release("a", "1", r#"{"apps":[]}"#),
                "`apps` is a list, not an object",
            ),
            (
                release("a", "1", r#"{"apps":{"a 1":3}}"#),
                "application `a 1` is a number, not an object",
            ),
            (
                release("a", "1", r#"{"apps":{},"categories":[1]}"#),
                "`categories` is no list of text",
            ),
            (
                release("..", "1", r#"{"apps":{}}"#),
                "`..` cannot be the name of a container",
            ),
            (
                release("a", "$(x)", r#"{"apps":{}}"#),
                "`$(x)` cannot be the name of a version",
            ),
        ];
        for (bad, wanted) in cases {
            let mut sink = Sink::new();
            build(&[bad], &mut sink);
            let said: Vec<&str> = sink
                .diagnostics()
                .iter()
                .map(|found| found.message.as_str())
                .collect();
            assert!(said.contains(&wanted), "{said:?}");
        }
        let twice = [
            release("a", "1", r#"{"apps":{"x 1":{"version":"20240101"}}}"#),
            release("b", "1", r#"{"apps":{"x 1":{"version":"20240101"}}}"#),
        ];
        let mut sink = Sink::new();
        build(&twice, &mut sink);
        assert!(
            sink.diagnostics()
                .iter()
                .any(|found| found.code == codes::DUPLICATE_APP)
        );
    }
}
