//! Plain lists made from the catalogue: `log.txt` and `applist.json`.

use std::{collections::HashSet, fmt::Write as _};

use nd_report::{Diagnostic, Severity, Sink};

use super::names::is_primary;
use crate::{
    codes,
    json::{Node, Object, Style, Value, shown, to_text},
};

/// How entries without categories are listed in `applist.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListForm {
    /// With an empty list.
    #[default]
    Improved,
    /// With a list of one empty text, as upstream has it.
    Upstream,
}

/// The lines of `log.txt`: for every application that stands for an image, in the order of the file,
/// `NAME_VERSION_DATE categories:A,B,` and a line feed.
///
/// Brackets vanish, since older readers take lines for section headers. `None` when something is
/// missing that a line needs; `sink` says what.
pub fn log(document: &Node, sink: &mut Sink) -> Option<String> {
    let mut text = String::new();
    let mut good = true;
    for (container, fields) in containers(document, sink)? {
        let categories = match fields.get("categories").map(|member| &member.node.value) {
            Some(Value::List(items)) => items.iter().filter_map(Node::as_text).collect(),
            _ => Vec::new(),
        };
        for (name, app) in apps(fields) {
            if !is_primary(name, container) {
                continue;
            }
            let version = app.node.get("version").map(|node| &node.value);
            let Some(Value::Text(version) | Value::Number(version)) = version else {
                let message = format!(
                    "application `{}` has no `version`, its build date",
                    shown(name)
                );
                sink.push(
                    Diagnostic::new(codes::MISSING_MEMBER, Severity::Error, message)
                        .at(app.key, ""),
                );
                good = false;
                continue;
            };
            let mut line = format!("{}_{version} categories:", name.replace(' ', "_"));
            for category in &categories {
                let _ = write!(line, "{category},");
            }
            if line.contains(['\n', '\r']) {
                let message = format!("application `{}` does not fit into a line", shown(name));
                sink.push(
                    Diagnostic::new(codes::BRACKETS, Severity::Error, message).at(app.key, ""),
                );
                good = false;
                continue;
            }
            let line = line.replace(['[', ']'], "");
            let line = line.trim_matches([' ', '\t']);
            if !line.is_empty() {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    good.then_some(text)
}

/// The text of `applist.json` from the lines of `log.txt` and the catalogue.
///
/// An entry is left out when its application is hidden by `show_in_applist`, whatever build date the
/// line has. Without a catalogue nothing is hidden.
pub fn applist(log: &str, document: Option<&Node>, form: ListForm) -> String {
    let hidden = document.map(hidden).unwrap_or_default();
    let mut list = Vec::new();
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let Some(application) = words.next() else {
            continue;
        };
        let id = application
            .rsplit_once('_')
            .map_or(application, |(id, _)| id);
        if hidden.contains(id) {
            continue;
        }
        let rest: Vec<&str> = words.collect();
        let rest = rest.join(" ").replace("categories:", "");
        let rest = rest.trim_end_matches(',');
        let categories = if rest.is_empty() && form == ListForm::Improved {
            Vec::new()
        } else {
            rest.split(',').map(Node::text).collect()
        };
        list.push(Node::object([
            ("application", Node::text(application)),
            ("categories", Node::new(Value::List(categories))),
        ]));
    }
    let document = Node::object([("list", Node::new(Value::List(list)))]);
    to_text(&document, Style { indent: 4 })
}

/// Names, with `_` for blanks, of the applications that lists leave out.
fn hidden(document: &Node) -> HashSet<String> {
    let mut hidden = HashSet::new();
    let hides = |fields: &Object, default: bool| {
        fields
            .get("show_in_applist")
            .map_or(default, |member| member.node.value == Value::Bool(false))
    };
    for (_, member) in document.members().into_iter().flatten() {
        let Some(fields) = member.node.members() else {
            continue;
        };
        let all = hides(fields, false);
        for (name, app) in apps(fields) {
            if app.node.members().is_some_and(|fields| hides(fields, all)) {
                hidden.insert(name.replace(' ', "_"));
            }
        }
    }
    hidden
}

/// Containers with their fields; `None` when the document is no catalogue.
fn containers<'d>(document: &'d Node, sink: &mut Sink) -> Option<Vec<(&'d str, &'d Object)>> {
    let mut wrong = |node: &Node, what: &str| {
        let message = format!("{what} is {}, not an object", node.kind());
        sink.push(Diagnostic::new(codes::WRONG_KIND, Severity::Error, message).at(node.span, ""));
    };
    let Some(members) = document.members() else {
        wrong(document, "the catalogue");
        return None;
    };
    let mut all = Vec::with_capacity(members.len());
    for (name, member) in members {
        let Some(fields) = member.node.members() else {
            wrong(&member.node, &format!("container `{}`", shown(name)));
            return None;
        };
        all.push((name.as_str(), fields));
    }
    Some(all)
}

fn apps(fields: &Object) -> impl Iterator<Item = (&String, &crate::json::Member)> {
    let apps = fields.get("apps").and_then(|member| member.node.members());
    apps.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use nd_report::FileId;

    use super::*;
    use crate::json::{Limits, parse};

    fn read(text: &str) -> Node {
        parse(text, FileId(0), &Limits::default(), &mut Sink::new()).unwrap()
    }

    #[test]
    fn lines_are_those_of_the_specification() {
        let document = read(
            r#"{"abc": {"apps": {"abc 1.0": {"version": "20240131", "exec": ""},
                 "viewGUI-abc 1.0": {"version": "20240131", "exec": "abcview --big"}},
                 "categories": ["visualization", "data organisation"]},
                "hy-phen": {"apps": {"hy-phen 1.0": {"version": "20240101"}, "hy-phen 1.0 arm64": {"version": "20240101"},
                 "xGUI-hy-phen 1.0": {"version": "20240101", "exec": "x"}}},
                "plain": {"apps": {"plain 2.1.0 arm64": {"version": "20240101"}}, "categories": ["[odd]"]}}"#,
        );
        let lines = log(&document, &mut Sink::new()).unwrap();
        assert_eq!(
            lines,
            "abc_1.0_20240131 categories:visualization,data organisation,\n\
             hy-phen_1.0_20240101 categories:\n\
             plain_2.1.0_arm64_20240101 categories:odd,\n"
        );
        let list = applist(&lines, Some(&document), ListForm::Improved);
        assert!(list.contains("\"categories\": []\n"), "{list}");
        let list = applist(&lines, None, ListForm::Upstream);
        assert!(
            list.contains("\"categories\": [\n                \"\"\n"),
            "{list}"
        );
    }

    #[test]
    fn hiding_survives_another_build_date() {
        let document = read(
            r#"{"lite": {"show_in_applist": false, "apps": {"lite 20260428": {"version": "20260813"},
                 "lite 2": {"version": "20260813", "show_in_applist": true}}}}"#,
        );
        let lines = "lite_20260428_20260101 categories:\n\nlite_2_20260813 categories:x,\n";
        let list = read(&applist(lines, Some(&document), ListForm::Improved));
        assert_eq!(list.get("list").unwrap().items().unwrap().len(), 1);
    }

    #[test]
    fn a_missing_date_gives_no_half_list() {
        let document =
            read(r#"{"a": {"apps": {"a 1": {"version": "20240101"}, "a 2": {"exec": ""}}}}"#);
        let mut sink = Sink::new();
        assert_eq!(log(&document, &mut sink), None);
        assert_eq!(
            sink.diagnostics()[0].message,
            "application `a 2` has no `version`, its build date"
        );
    }
}
