//! Compiling and rendering.

use std::{borrow::Cow, fmt};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use crate::{
    error::{TemplateError, TemplateErrorKind},
    globals, methods, python, simple, source,
};

/// Most instructions (and bytes made, roughly) that one rendering may take.
pub const MAX_FUEL: u64 = 500_000;

/// Deepest nesting of macro calls and the like.
const RECURSION: usize = 100;

/// Longest template that is compiled.
const MAX_SOURCE: usize = 1 << 20;

/// How names that do not exist behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Undefined {
    /// Any use but `default` and `is defined` is an error, as Jinja2's `StrictUndefined`.
    Strict,
    /// They print as nothing and are false; using their attributes is an error. Jinja2's default.
    Lenient,
}

/// A template engine; cheap to share, slow to make.
pub struct Engine {
    environment: Environment<'static>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Whether text has anything for the engine to do; text without is its own result, but for a
/// final newline and carriage returns.
pub fn is_template(text: &str) -> bool {
    let mut rest = text;
    // Searching for one byte is what the standard library does fastest.
    while let Some(at) = rest.find('{') {
        rest = &rest[at + 1..];
        if rest.starts_with(['{', '%', '#']) {
            return true;
        }
    }
    false
}

/// Result of text without marks.
fn plain(text: &str) -> String {
    let text = if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    };
    text.strip_suffix('\n').unwrap_or(&text).to_owned()
}

impl Engine {
    /// An engine with Jinja2's filters, tests and functions, `raise(message)`, and Python's
    /// methods.
    pub fn new(undefined: Undefined) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(match undefined {
            Undefined::Strict => UndefinedBehavior::Strict,
            Undefined::Lenient => UndefinedBehavior::Lenient,
        });
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_debug(true);
        environment.set_fuel(Some(MAX_FUEL));
        environment.set_recursion_limit(RECURSION);
        environment.set_unknown_method_callback(methods::call);
        // Templates that are rendered again and again are kept under their own text.
        environment.set_loader(|name| Ok(name.strip_prefix(CACHED).map(str::to_owned)));
        environment.set_formatter(python::format);
        globals::add(&mut environment);
        Self { environment }
    }

    /// Adds a name that every template sees unless its context has it too.
    pub fn add_global(&mut self, name: &'static str, value: Value) {
        self.environment.add_global(name, value);
    }

    /// Parses only.
    pub fn check(&self, template: &str) -> Result<(), TemplateError> {
        if !is_template(template) || simple::pieces(template).is_some() {
            return Ok(());
        }
        let source = prepare(template)?;
        self.environment
            .template_from_str(&source)
            .map(drop)
            .map_err(|problem| TemplateError::from_engine(&problem, &source))
    }

    /// Renders a template against the attributes of `context`.
    ///
    /// One final newline of the template is dropped, as Jinja2 does.
    pub fn render(&self, template: &str, context: &Value) -> Result<String, TemplateError> {
        if let Some(text) = at_once(template, context) {
            return Ok(text);
        }
        let source = prepare(template)?;
        self.environment
            .template_from_str(&source)
            .and_then(|template| template.render(context.clone()))
            .map_err(|problem| TemplateError::from_engine(&problem, &source))
    }

    /// Like [`Engine::render`], keeping the compiled template for the next time. For texts that
    /// come from files of ours, not for those that a rendering made.
    pub fn render_cached(&self, template: &str, context: &Value) -> Result<String, TemplateError> {
        if let Some(text) = at_once(template, context) {
            return Ok(text);
        }
        let source = prepare(template)?;
        self.environment
            .get_template(&format!("{CACHED}{source}"))
            .and_then(|template| template.render(context.clone()))
            .map_err(|problem| TemplateError::from_engine(&problem, &source))
    }

    /// Whether `{{ condition }}` renders as `True`; white space round it does not count.
    pub fn condition(&self, condition: &str, context: &Value) -> Result<bool, TemplateError> {
        let text = self
            .render(&format!("{{{{ {condition} }}}}"), context)
            .map_err(|problem| shift(problem, 3, condition.len()))?;
        Ok(text.trim() == "True")
    }

    /// Checks that a condition parses.
    pub fn check_condition(&self, condition: &str) -> Result<(), TemplateError> {
        self.check(&format!("{{{{{condition}}}}}"))
            .map_err(|problem| shift(problem, 2, condition.len()))
    }

    /// The value of an expression, for callers that care for more than its text.
    pub fn evaluate(&self, expression: &str, context: &Value) -> Result<Value, TemplateError> {
        prepare(&format!("{{{{{expression}}}}}"))?;
        let source = prepare(expression)?;
        self.environment
            .compile_expression(&source)
            .and_then(|compiled| compiled.eval(context.clone()))
            .map_err(|problem| TemplateError::from_engine(&problem, &source))
    }
}

/// The result for templates that need no engine. What is wrong with them is for the engine to say.
fn at_once(template: &str, context: &Value) -> Option<String> {
    if !is_template(template) {
        return Some(plain(template));
    }
    simple::render(&simple::pieces(template)?, context)
}

/// Prefix of names of kept templates.
const CACHED: &str = "\0kept:";

/// Brings the source into the form the engine reads.
fn prepare(template: &str) -> Result<Cow<'_, str>, TemplateError> {
    if template.len() > MAX_SOURCE {
        return Err(TemplateError {
            kind: TemplateErrorKind::Limit,
            message: format!("template is longer than {MAX_SOURCE} bytes"),
            range: None,
        });
    }
    if !source::is_shallow(template) {
        return Err(TemplateError {
            kind: TemplateErrorKind::Limit,
            message: "expression is too long or too deep".into(),
            range: None,
        });
    }
    Ok(source::prepare(template))
}

/// From bytes of `{{condition}}`, `before` of which stand before it, to bytes of the condition.
fn shift(mut problem: TemplateError, before: usize, length: usize) -> TemplateError {
    problem.range = problem.range.map(|range| {
        let start = range.start.saturating_sub(before).min(length);
        start..range.end.saturating_sub(before).clamp(start, length)
    });
    problem
}
