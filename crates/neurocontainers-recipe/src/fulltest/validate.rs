//! What is wrong with a suite that has the right form.

use indexmap::IndexMap;
use nd_report::{Diagnostic, Severity, Span};

use crate::{
    codes,
    decode::{Decoder, MOST_HINTS},
    is_confined,
    text::nearest,
};

use super::{ExpectedExit, Suite};

/// Reports names, dependencies and outputs that cannot be meant so.
pub(super) fn validate(suite: &Suite, out: &mut Decoder<'_>) {
    if out.upstream() {
        return;
    }
    if suite.tests.is_empty() {
        let found = Diagnostic::new(codes::NO_TESTS, Severity::Error, "the suite has no tests");
        out.sink.push(match suite.name_span {
            Some(span) => found.at(span, ""),
            None => found,
        });
    }
    let output = suite
        .test_data
        .get("output_dir")
        .or_else(|| suite.variables.get("output_dir"));
    if let (Some(output), Some(span)) = (output, suite.name_span.or(suite.version_span))
        && !is_confined(output.trim_end_matches('/'))
    {
        let message = format!("`output_dir` `{output}` is not a path below the work folder");
        out.error(codes::UNSAFE_OUTPUT, span, message);
    }
    // In order, so that the same suite always gives the same advice.
    let mut known: IndexMap<&str, Span> = IndexMap::new();
    for test in &suite.tests {
        for name in &test.depends_on {
            if known.contains_key(name.as_str()) {
                continue;
            }
            let message = format!(
                "test `{}` depends on `{name}`, which is no earlier test",
                test.name
            );
            let mut found = Diagnostic::new(codes::DANGLING_DEPENDENCY, Severity::Error, message)
                .at(test.span, "");
            if out.sink.diagnostics().len() < MOST_HINTS
                && let Some(meant) = nearest(name, known.keys().copied())
            {
                found = found.hint(format!("did you mean `{meant}`?"));
            }
            out.sink.push(found);
        }
        if let Some(first) = known.insert(&test.name, test.span) {
            let message = format!("two tests are called `{}`", test.name);
            let found = Diagnostic::new(codes::DUPLICATE_TEST, Severity::Error, message)
                .at(test.span, "again here")
                .at(first, "first here");
            out.sink.push(found);
        }
        let says_nothing = test.exit == ExpectedExit::Any
            && test.expected_output.is_empty()
            && test.checks.is_empty();
        if says_nothing {
            let message = format!("test `{}` accepts whatever happens", test.name);
            let found =
                Diagnostic::new(codes::NO_ASSERTION, Severity::Warning, message).at(test.span, "");
            out.sink.push(found.hint(
                "say what it prints with `expected_output_contains`, or what it makes with `validate`",
            ));
        }
    }
}
