//! What a suite and its recipe have to agree on.

use nd_report::{Diagnostic, Severity, Sink};

use crate::{Compat, codes};

use super::Suite;

/// Reports a suite whose name or version is not that of its recipe.
pub fn check_contract(suite: &Suite, name: &str, version: &str, compat: Compat, sink: &mut Sink) {
    let mut report = |code, span: Option<_>, message: String, hint: Option<&str>| {
        let mut found = Diagnostic::new(code, Severity::Error, message);
        if let Some(span) = span.or(suite.name_span).or(suite.version_span) {
            found = found.at(span, "");
        }
        sink.push(match hint {
            Some(hint) => found.hint(hint),
            None => found,
        });
    };
    if suite.name != name || suite.name_span.is_none() {
        let message = format!("the suite is called `{}`, the recipe `{name}`", suite.name);
        report(codes::TEST_NAME, suite.name_span, message, None);
    }
    let found = suite.expanded_version(compat).unwrap_or_default();
    if found.trim().is_empty() {
        let message = "the suite has no version".to_owned();
        report(codes::TEST_VERSION, suite.version_span, message, None);
    } else if found.contains("${") || found.starts_with('$') {
        let message = format!("version `{found}` names a variable that the suite does not declare");
        report(
            codes::UNEXPANDED_VARIABLE,
            suite.version_span,
            message,
            None,
        );
    } else if found != version {
        let message = format!("the suite tests version `{found}`, the recipe has `{version}`");
        let hint = Some("update both files in the same change");
        report(codes::TEST_VERSION, suite.version_span, message, hint);
    }
}
