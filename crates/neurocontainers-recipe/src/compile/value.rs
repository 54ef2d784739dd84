//! Rendering of nodes: text, lists, mappings, alternatives, conditions, variables.

use indexmap::IndexMap;
use nd_jinja::{ObjectRepr, TemplateError, TemplateErrorKind, Value};
use nd_report::{Diagnostic, Severity, Span};
use nd_yaml::{Entry, Node, Value as Yaml, python_str};

use crate::{
    codes,
    decode::MOST_HINTS,
    text::nearest,
    trouble::{self, Syntax},
};

use super::{Compiler, RENDER_LIMIT, world::World};

/// The text that Python's `str` gives for a rendered value.
pub(super) fn text_of(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => match f64::try_from(value.clone()) {
            Ok(number) if value.is_number() && !value.is_integer() => nd_report::float_repr(number),
            _ => value.to_string(),
        },
    }
}

/// The boolean, if the value is one.
pub(super) fn boolean_of(value: &Value) -> Option<bool> {
    bool::try_from(value.clone()).ok()
}

/// Whether the value is a list.
pub(super) fn is_list(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| matches!(object.repr(), ObjectRepr::Seq))
}

impl Compiler<'_, '_> {
    /// Renders a template of text. `None` after a report.
    pub(super) fn render_str(&mut self, text: &str, node: &Node) -> Option<String> {
        if self.over_limit {
            return None;
        }
        match self.engine.render(text) {
            Ok(text) => {
                self.rendered = self.rendered.saturating_add(text.len());
                if self.rendered > RENDER_LIMIT {
                    self.limit(
                        node.span,
                        &format!("more than {RENDER_LIMIT} bytes of text"),
                    );
                    return None;
                }
                self.check_misplaced(node.span);
                Some(text)
            }
            Err(trouble) => {
                self.trouble(&trouble, node, Syntax::Template);
                None
            }
        }
    }

    /// Renders a node and makes it text.
    pub(super) fn render_text(&mut self, node: &Node) -> Option<String> {
        if let Yaml::Str(text) = &node.value {
            return self.render_str(text, node);
        }
        self.render(node).map(|value| text_of(&value))
    }

    /// Renders a node: text becomes text, lists and mappings are rendered inside, alternatives
    /// are chosen from, everything else stays.
    pub(super) fn render(&mut self, node: &Node) -> Option<Value> {
        Some(match &node.value {
            Yaml::Str(text) => Value::from(self.render_str(text, node)?),
            Yaml::Seq(items) => {
                let all: Vec<_> = items.iter().map(|item| self.render(item)).collect();
                Value::from(all.into_iter().collect::<Option<Vec<_>>>()?)
            }
            Yaml::Map(map) => {
                if let Some(options) = map.get("try").and_then(Node::as_seq) {
                    return self.render_try(node, options);
                }
                let all: Vec<_> = map.iter().map(|entry| self.render_entry(entry)).collect();
                let pairs = all
                    .into_iter()
                    .collect::<Option<IndexMap<String, Value>>>()?;
                Value::from_pairs(pairs)
            }
            other => plain(other),
        })
    }

    /// Renders key and value of an entry.
    pub(super) fn render_entry(&mut self, entry: &Entry) -> Option<(String, Value)> {
        let key = self.render_text(&entry.key);
        let value = self.render(&entry.value);
        Some((key?, value?))
    }

    fn render_try(&mut self, node: &Node, options: &[Node]) -> Option<Value> {
        for option in options {
            let Some(map) = option.as_map() else {
                if !self.upstream {
                    let message = "an alternative is a mapping with `condition` and `value`";
                    self.error(codes::WRONG_TYPE, option.span, message);
                    return None;
                }
                continue;
            };
            let holds = match map.get("condition") {
                Some(condition) if condition.as_str().is_some() => self.holds(condition)?,
                // Upstream never selects an alternative without a condition, or with a boolean.
                _ if self.upstream => false,
                None => true,
                Some(condition) => self.holds(condition)?,
            };
            if holds {
                return match map.get("value") {
                    Some(value) => self.render(value),
                    None => Some(Value::from(())),
                };
            }
        }
        let mut found = Diagnostic::new(
            codes::NO_TRY_MATCHED,
            Severity::Error,
            "no try condition matched",
        )
        .at(node.span, "");
        if !self.upstream {
            found = found.hint("an alternative without `condition`, placed last, always holds");
        }
        self.sink.push(found);
        None
    }

    /// Whether a condition holds; `None` after a report.
    pub(super) fn holds(&mut self, condition: &Node) -> Option<bool> {
        if self.upstream {
            return match self.engine.condition(&python_str(&condition.value)) {
                Ok(holds) => Some(holds),
                Err(trouble) => {
                    self.trouble(&trouble, condition, Syntax::Condition);
                    None
                }
            };
        }
        if let Yaml::Bool(value) = condition.value {
            return Some(value);
        }
        let Some(text) = condition.as_str() else {
            self.error(
                codes::WRONG_TYPE,
                condition.span,
                "a condition is an expression or a boolean",
            );
            return None;
        };
        // A name that does not exist is a value to `evaluate`; printing it is the error.
        let value = match self.engine.evaluate(text) {
            Ok(value) if value.is_undefined() => {
                self.engine.condition(text).map(|_| Value::from(false))
            }
            other => other,
        };
        match value {
            Ok(value) => {
                if let Some(holds) = boolean_of(&value) {
                    return Some(holds);
                }
                let shown: String = text_of(&value).chars().take(40).collect();
                let holds = shown.trim() == "True";
                let message = format!(
                    "condition gives `{shown}`, which is no boolean; it {}",
                    if holds { "holds" } else { "does not hold" }
                );
                let found = Diagnostic::new(codes::CONDITION_TYPE, Severity::Warning, message)
                    .at(condition.span, "");
                self.sink
                    .push(found.hint("compare with what you expect, as in `x == \"yes\"`"));
                Some(holds)
            }
            Err(trouble) => {
                self.trouble(&trouble, condition, Syntax::Condition);
                None
            }
        }
    }

    /// Whether an optional condition holds. After a report nothing is done.
    pub(super) fn applies(&mut self, condition: Option<&Node>) -> bool {
        condition.is_none_or(|condition| self.holds(condition) == Some(true))
    }

    /// Renders one entry of `variables` and makes it visible.
    pub(super) fn define(&mut self, entry: &Entry) {
        let Some(name) = self.render_variable_name(&entry.key) else {
            return;
        };
        // After a report the variable exists nevertheless, so that its uses are not reported too.
        let value = self.render(&entry.value).unwrap_or_else(|| Value::from(""));
        if World::is_builtin(&name) {
            let message = format!("variable `{name}` hides the built-in name `{name}`");
            self.warn(codes::SHADOWED_NAME, entry.key.span, message);
        }
        self.world.state().set(name, value);
    }

    fn render_variable_name(&mut self, key: &Node) -> Option<String> {
        match &key.value {
            Yaml::Str(text) if !text.contains('{') => Some(text.clone()),
            _ => self.render_text(key),
        }
    }

    /// Reports a `get_file` that gave a path where no file will be.
    fn check_misplaced(&mut self, place: Span) {
        let misplaced = std::mem::take(&mut self.world.state().misplaced);
        if misplaced && !self.upstream {
            let found = Diagnostic::new(
                codes::GET_FILE_PLACE,
                Severity::Error,
                "`get_file` gives a path that exists only while a `run` uses it directly",
            )
            .at(place, "");
            self.sink.push(
                found.hint("call `get_file` inside the `run`; for `copy` name the file itself"),
            );
        }
    }

    /// The name that the author of an undefined one probably meant, with what stands before it.
    fn meant(&self, message: &str) -> Option<String> {
        let path = message.split('`').nth(1)?;
        let (before, name) = match path.rfind('.') {
            Some(at) => path.split_at(at + 1),
            None => ("", path),
        };
        let state = self.world.state();
        let own = state.variable_names();
        let known: &[&str] = match before {
            "" => &[
                "context",
                "local",
                "arch",
                "parallel_jobs",
                "get_file",
                "has_local",
                "get_local",
            ],
            "context." | "local." => &[
                "name",
                "version",
                "original_version",
                "arch",
                "variant",
                "parallel_jobs",
                "options",
            ],
            "context.options." | "local.options." => {
                let options = self.world.identity().options.keys().map(String::as_str);
                return nearest(name, options).map(|meant| format!("{before}{meant}"));
            }
            _ => return None,
        };
        let meant = nearest(name, known.iter().copied().chain(own))?;
        Some(format!("{before}{meant}"))
    }

    /// Reports what the template engine says.
    pub(super) fn trouble(&mut self, trouble: &TemplateError, node: &Node, syntax: Syntax) {
        let mut found = trouble::in_node(trouble, node, syntax, self.recipe.sources());
        if trouble.kind == TemplateErrorKind::Undefined
            && self.sink.diagnostics().len() < MOST_HINTS
            && let Some(meant) = self.meant(&trouble.message)
        {
            found = found.hint(format!("did you mean `{meant}`?"));
        }
        self.sink.push(found);
    }
}

/// A value that is no template.
fn plain(value: &Yaml) -> Value {
    match value {
        Yaml::Null => Value::from(()),
        Yaml::Bool(value) => Value::from(*value),
        Yaml::Int(value) => Value::from(*value),
        Yaml::Float(value) => Value::from(*value),
        Yaml::BigInt(text) => match text.parse::<i128>() {
            Ok(value) => Value::from(value),
            Err(_) => Value::from(text.to_string()),
        },
        other => Value::from(python_str(other)),
    }
}
