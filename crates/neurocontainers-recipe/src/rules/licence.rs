//! Licences that programs can read.

use nd_report::{Diagnostic, Fix, Severity, Sink};
use nd_yaml::Node;
use spdx::{Expression, LicenseItem, ParseMode};

use crate::codes::LICENCE;

use super::{Recipe, Rule};

/// Whether each `license` is an SPDX expression of current identifiers.
pub(super) struct Licence;

impl Rule for Licence {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        let list = recipe.root.get("copyright").and_then(Node::as_seq);
        for node in list
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| entry.get("license"))
        {
            if let Some(text) = node.as_str() {
                check(node, text, out);
            }
        }
    }
}

/// The letter of SPDX, outdated identifiers included: those get an advice of their own.
const MODE: ParseMode = ParseMode {
    allow_deprecated: true,
    ..ParseMode::STRICT
};

fn check(node: &Node, text: &str, out: &mut Sink) {
    let text = text.trim();
    // What SPDX says where nobody knows; both are words of their own.
    if text.is_empty() || matches!(text, "NOASSERTION" | "NONE") {
        return;
    }
    let report =
        |message: String| Diagnostic::new(LICENCE, Severity::Warning, message).at(node.span, "");
    if let Ok(expression) = Expression::parse_mode(text, MODE) {
        for requirement in expression.requirements() {
            let LicenseItem::Spdx { id, .. } = requirement.req.license else {
                continue;
            };
            if id.is_deprecated() {
                let newer = format!("{}-only", id.name);
                let advice = if spdx::license_id(&newer).is_some() {
                    format!(
                        "write `{newer}` or `{}-or-later`, whichever the authors say",
                        id.name
                    )
                } else {
                    "the list of SPDX says what replaces it".to_owned()
                };
                out.push(
                    report(format!("licence identifier `{}` is outdated", id.name)).hint(advice),
                );
            }
        }
    } else {
        let found = report(format!("`{text}` is not an SPDX expression"));
        out.push(match spelling(text) {
            Some((right, safe)) => found.fix(
                format!("write `{right}`"),
                Fix {
                    span: node.span,
                    replacement: right,
                    safe,
                },
            ),
            None => {
                found.hint("give a licence that SPDX does not list by `name` instead of `license`")
            }
        });
    }
}

/// The expression that a text probably means, and whether that is certain.
fn spelling(text: &str) -> Option<(String, bool)> {
    // `LGPL-2.1+`: SPDX itself says what the sign means.
    if let Some(right) = text
        .strip_suffix('+')
        .map(|name| format!("{name}-or-later"))
        && spdx::license_id(&right).is_some()
    {
        return Some((right, true));
    }
    let (id, taken) = spdx::imprecise_license_id(text)?;
    // Differences of case alone leave no doubt.
    (taken == text.len()).then(|| (id.name.to_owned(), id.name.eq_ignore_ascii_case(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_meant() {
        assert_eq!(
            spelling("LGPL-2.1+"),
            Some(("LGPL-2.1-or-later".to_owned(), true))
        );
        assert_eq!(spelling("mit"), Some(("MIT".to_owned(), true)));
        assert_eq!(spelling("FreeSurfer Software License Agreement"), None);
    }
}
