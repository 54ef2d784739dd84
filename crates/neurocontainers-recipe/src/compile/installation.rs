//! Installation templates.

use std::sync::LazyLock;

use indexmap::IndexMap;
use nd_report::{Diagnostic, Severity, Span};
use nd_yaml::{Entry, Node};
use neurodocker::{Argument, Call, Problem, ProblemKind, Strictness, Templates};

use crate::{codes, text::nearest};

use super::{
    Compiler,
    directive::items,
    value::{boolean_of, is_list, text_of},
};

/// The built-in templates; parsing them takes longer than expanding one.
static TEMPLATES: LazyLock<Templates> = LazyLock::new(Templates::new);

impl Compiler<'_, '_> {
    /// Applies an installation template.
    pub(super) fn apply_template(&mut self, name: &Node, parameters: &[&Entry], place: Span) {
        let template = self.render_text(name);
        let mut arguments = IndexMap::new();
        let mut fine = true;
        for entry in parameters {
            let Some(value) = self.render(&entry.value) else {
                fine = false;
                continue;
            };
            let key = nd_yaml::python_str(&entry.key.value);
            let argument = if let Some(value) = boolean_of(&value) {
                Argument::Bool(value)
            } else if is_list(&value) && !self.upstream {
                Argument::List(items(&value).map(|item| text_of(&item)).collect())
            } else {
                Argument::Text(text_of(&value))
            };
            arguments.insert(key, argument);
        }
        let (Some(template), true) = (template, fine) else {
            return;
        };
        let architecture = self.world.identity().architecture;
        let call = Call {
            name: &template,
            arguments: &arguments,
            package_manager: &self.package_manager,
            architecture: architecture.as_str(),
            strictness: if self.upstream {
                Strictness::Compat
            } else {
                Strictness::Strict
            },
        };
        let templates = self.templates.as_deref().unwrap_or(&TEMPLATES);
        match templates.expand(&call) {
            Ok(expansion) => {
                for op in expansion.ops {
                    self.emit(op, Some(place));
                }
            }
            Err(problems) => {
                for problem in &problems {
                    let found = describe(problem, name, parameters);
                    self.sink.push(found);
                }
            }
        }
    }
}

/// A diagnostic at the argument that a problem is about.
fn describe(problem: &Problem, name: &Node, parameters: &[&Entry]) -> Diagnostic {
    let entry = problem.argument.as_deref().and_then(|argument| {
        parameters
            .iter()
            .find(|entry| entry.key.as_str() == Some(argument))
    });
    let span = match (entry, problem.kind) {
        (Some(entry), ProblemKind::UnknownArgument) => entry.key.span,
        (Some(entry), _) => entry.value.span,
        (None, _) => name.span,
    };
    let mut found = Diagnostic::new(
        codes::INSTALLATION_TEMPLATE,
        Severity::Error,
        problem.message.clone(),
    )
    .at(span, "");
    if problem.valid.is_empty() {
        return found;
    }
    let written = match (entry, problem.kind) {
        (Some(entry), ProblemKind::UnknownArgument) => entry.key.as_str(),
        (Some(entry), _) => entry.value.written(),
        (None, _) => name.as_str(),
    };
    if let Some(meant) = nearest(
        written.unwrap_or_default(),
        problem.valid.iter().map(String::as_str),
    ) {
        found = found.hint(format!("did you mean `{meant}`?"));
    }
    let valid: Vec<String> = problem
        .valid
        .iter()
        .map(|valid| format!("`{valid}`"))
        .collect();
    found.hint(format!("valid: {}", valid.join(", ")))
}
