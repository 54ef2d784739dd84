//! Versions that servers do not know.

use nd_report::{Diagnostic, Fix, Severity, Sink};
use nd_yaml::{Map, Node};

use super::{Recipe, Rule, codes};

/// Versions with suffixes of options where the plain one is meant.
pub(super) struct Version;

const WRITTEN: &str = "context.version";

impl Rule for Version {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        let options = recipe.root.get("options").and_then(Node::as_map);
        let suffixed = options.into_iter().flat_map(Map::iter).any(|option| {
            let suffix = option.value.get("version_suffix").and_then(Node::as_str);
            suffix.is_some_and(|suffix| !suffix.is_empty())
        });
        if !suffixed {
            return;
        }
        for node in recipe.files().filter_map(|file| file.get("url")) {
            if node.as_str().is_none_or(|url| !url.contains(WRITTEN)) {
                continue;
            }
            let span = recipe.place(node, WRITTEN, 0);
            let found = Diagnostic::new(
                codes::SUFFIXED_VERSION,
                Severity::Warning,
                "this version carries the suffixes of options",
            )
            .at(span, "");
            out.push(found.fix(
                "use `context.original_version`",
                Fix {
                    span,
                    replacement: "context.original_version".to_owned(),
                    safe: false,
                },
            ));
        }
    }
}
