//! From a call to instructions.

use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;
use nd_instructions::{EnvPair, Network, Op, Script};
use nd_jinja::{Engine, TemplateErrorKind, Undefined, Value};
use nd_report::edits;

use super::{
    Argument, Call, Expansion, Problem, ProblemKind, Strictness, Templates,
    file::{Directive, Method, Template},
    object::Instance,
    words::quote,
};

/// Most passes over one text.
const PASSES: usize = 20;

pub(super) fn expand(templates: &Templates, call: &Call<'_>) -> Result<Expansion, Vec<Problem>> {
    if let Some(why) = templates.refused.get(call.name) {
        return Err(vec![Problem {
            kind: ProblemKind::UnreadableTemplate,
            argument: Some("name".to_owned()),
            message: format!("template `{}` cannot be used: {why}", call.name),
            valid: Vec::new(),
        }]);
    }
    let template = templates
        .find(call.name)
        .ok_or_else(|| vec![unknown_template(templates, call)])?;
    let wanted = call
        .arguments
        .get("method")
        .map(|method| text_of(method, call.strictness));
    let (name, method) = match &wanted {
        Some(name) => template.methods.iter().find(|(known, _)| known == name),
        None => template.methods.first(),
    }
    .ok_or_else(|| vec![unknown_method(&template, call, wanted.as_deref())])?;
    let mut problems = Vec::new();
    let mut arguments: IndexMap<String, String> = method.optional.iter().cloned().collect();
    if call.strictness == Strictness::Strict {
        check_arguments(method, call, &mut problems);
    }
    arguments.insert("arch".to_owned(), call.architecture.to_owned());
    for (name, value) in call.arguments {
        if name != "method" && name != "name" {
            arguments.insert(name.clone(), text_of(value, call.strictness));
        }
    }
    let instance = Arc::new(Instance {
        template: template.clone(),
        method: name.clone(),
        arguments,
        package_manager: call.package_manager.to_owned(),
        strictness: call.strictness,
    });
    if call.strictness == Strictness::Strict {
        check_version(method, call, &instance, &mut problems);
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut ops = Vec::new();
    for directive in &method.directives {
        match lower(directive, &instance) {
            Ok(op) => ops.extend(op),
            Err(problem) => problems.push(named(problem, call)),
        }
    }
    if problems.is_empty() {
        Ok(Expansion {
            ops,
            alert: template.alert.clone(),
        })
    } else {
        problems.dedup();
        Err(problems)
    }
}

/// Adds the template's name to a message that does not have it.
fn named(mut problem: Problem, call: &Call<'_>) -> Problem {
    if call.strictness == Strictness::Strict {
        problem.message = format!("template `{}`: {}", call.name, problem.message);
    }
    problem
}

/// Value of an argument as templates see it.
fn text_of(argument: &Argument, strictness: Strictness) -> String {
    match (argument, strictness) {
        (Argument::Text(text), _) => text.clone(),
        (Argument::Bool(value), Strictness::Strict) => value.to_string(),
        (Argument::Bool(true), Strictness::Compat) => "True".to_owned(),
        (Argument::Bool(false), Strictness::Compat) => "False".to_owned(),
        (Argument::List(items), Strictness::Strict) => items
            .iter()
            .map(|item| quote(item))
            .collect::<Vec<_>>()
            .join(" "),
        (Argument::List(items), Strictness::Compat) => {
            let items: Value = items.iter().map(String::as_str).collect();
            items.to_string()
        }
    }
}

fn unknown_template(templates: &Templates, call: &Call<'_>) -> Problem {
    Problem {
        kind: ProblemKind::UnknownTemplate,
        argument: Some("name".to_owned()),
        message: match call.strictness {
            Strictness::Strict => format!("there is no template `{}`", call.name),
            Strictness::Compat => format!(
                "local template backend does not yet implement template '{}'",
                call.name
            ),
        },
        valid: nearest(call.name, templates.names()),
    }
}

fn unknown_method(template: &Template, call: &Call<'_>, wanted: Option<&str>) -> Problem {
    let wanted = wanted.unwrap_or("source");
    Problem {
        kind: ProblemKind::UnknownMethod,
        argument: Some("method".to_owned()),
        message: match call.strictness {
            Strictness::Strict => format!("template `{}` has no method `{wanted}`", call.name),
            Strictness::Compat => format!(
                "local template backend does not yet implement template '{}' method '{wanted}'",
                call.name
            ),
        },
        valid: template
            .methods
            .iter()
            .map(|(name, _)| name.clone())
            .collect(),
    }
}

fn check_arguments(method: &Method, call: &Call<'_>, problems: &mut Vec<Problem>) {
    for required in &method.required {
        if !call.arguments.contains_key(required) {
            problems.push(Problem {
                kind: ProblemKind::MissingArgument,
                argument: None,
                message: format!("template `{}` needs the argument `{required}`", call.name),
                valid: Vec::new(),
            });
        }
    }
    for name in call.arguments.keys() {
        let known = method
            .required
            .iter()
            .chain(method.optional.iter().map(|(name, _)| name));
        // Every call has `arch`, whether or not the template cares.
        let general = ["method", "name", "arch"];
        if !general.contains(&name.as_str()) && !known.clone().any(|known| known == name) {
            problems.push(Problem {
                kind: ProblemKind::UnknownArgument,
                argument: Some(name.clone()),
                message: format!("template `{}` has no argument `{name}`", call.name),
                valid: nearest(name, known.cloned().collect()),
            });
        }
    }
}

fn check_version(
    method: &Method,
    call: &Call<'_>,
    instance: &Instance,
    problems: &mut Vec<Problem>,
) {
    let any = method.versions.is_empty() || method.versions.iter().any(|known| known == "*");
    let Some(version) = instance.arguments.get("version").filter(|_| !any) else {
        return;
    };
    if !method.versions.contains(version) {
        problems.push(Problem {
            kind: ProblemKind::UnknownVersion,
            argument: Some("version".to_owned()),
            message: format!("template `{}` knows no version `{version}`", call.name),
            valid: method.versions.clone(),
        });
    }
}

/// More edits than that and names have nothing in common.
const FURTHEST: usize = 64;

/// Candidates in order of likeness, the like-named first.
fn nearest(wanted: &str, mut candidates: Vec<String>) -> Vec<String> {
    candidates.sort_by_key(|candidate| edits(wanted, candidate, FURTHEST).unwrap_or(usize::MAX));
    candidates
}

/// One directive as an instruction; empty ones become nothing.
fn lower(directive: &Directive, instance: &Arc<Instance>) -> Result<Option<Op>, Problem> {
    let object = Value::from_dyn_object(instance.clone());
    let render = |text: &String| render(text, &object, instance.strictness);
    Ok(match directive {
        Directive::Environment(pairs) => {
            let mut rendered: IndexMap<String, String> = IndexMap::new();
            for (name, value) in pairs {
                rendered.insert(render(name)?, render(value)?);
            }
            let pairs: Vec<EnvPair> = rendered
                .into_iter()
                .map(|(name, value)| EnvPair { name, value })
                .collect();
            (!pairs.is_empty()).then_some(Op::Env { pairs })
        }
        Directive::Install(packages) => {
            let packages = packages.iter().map(render).collect::<Result<Vec<_>, _>>()?;
            (!packages.is_empty()).then_some(Op::Install {
                packages,
                options: None,
            })
        }
        Directive::Run(texts) => {
            let texts = texts.iter().map(render).collect::<Result<Vec<_>, _>>()?;
            let text = texts.join(" \\\n && ");
            (!text.trim().is_empty()).then_some(Op::Run {
                script: Script::Lines(text),
                mounts: Vec::new(),
                network: Network::default(),
            })
        }
    })
}

fn engine(strictness: Strictness) -> &'static Engine {
    static STRICT: OnceLock<Engine> = OnceLock::new();
    static LENIENT: OnceLock<Engine> = OnceLock::new();
    match strictness {
        Strictness::Strict => STRICT.get_or_init(|| Engine::new(Undefined::Strict)),
        Strictness::Compat => LENIENT.get_or_init(|| Engine::new(Undefined::Lenient)),
    }
}

/// Renders text until no expression is left in it. `self` is what `object` offers.
///
/// Text without `{{` and `}}` is taken as it is, whatever statements it has.
pub(super) fn render(
    text: &str,
    object: &Value,
    strictness: Strictness,
) -> Result<String, Problem> {
    let has_expression = |text: &str| text.contains("{{") && text.contains("}}");
    let mut text = std::borrow::Cow::Borrowed(text);
    let mut passes = 0;
    while has_expression(&text) {
        passes += 1;
        if passes > PASSES {
            return Err(Problem {
                kind: ProblemKind::Recursion,
                argument: None,
                message: format!("text still has expressions after {PASSES} passes"),
                valid: Vec::new(),
            });
        }
        let source = match strictness {
            Strictness::Compat => text.replace("self.", "template."),
            Strictness::Strict => rename_self(&text),
        };
        let context = Value::from_pairs([("template", object.clone())]);
        let engine = engine(strictness);
        // The first pass is over text of the template file, which comes again and again.
        let rendered = if passes == 1 {
            engine.render_cached(&source, &context)
        } else {
            engine.render(&source, &context)
        };
        text = rendered
            .map_err(|problem| Problem {
                kind: match problem.kind {
                    TemplateErrorKind::Limit => ProblemKind::Recursion,
                    _ => ProblemKind::Render,
                },
                argument: None,
                message: problem.message.replace("`template.", "`self."),
                valid: Vec::new(),
            })?
            .into();
    }
    Ok(text.into_owned())
}

/// Renames the word `self` before a point inside of expressions and statements; the engine has
/// another use for it.
pub(crate) fn rename_self(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let close = match rest.as_bytes().get(open + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            _ => {
                out.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
                continue;
            }
        };
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let end = rest.find(close).map_or(rest.len(), |end| end + close.len());
        let mut inner = &rest[..end];
        while let Some(at) = inner.find("self.") {
            let before = inner[..at].chars().next_back();
            let word = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '.');
            out.push_str(&inner[..at]);
            out.push_str(if word { "self." } else { "template." });
            inner = &inner[at + "self.".len()..];
        }
        out.push_str(inner);
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}
