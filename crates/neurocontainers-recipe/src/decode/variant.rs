//! Variants and options.

use indexmap::IndexSet;
use nd_names::Architecture;
use nd_report::{Diagnostic, Severity};
use nd_yaml::{Node, Value, python_str};

use crate::{
    codes,
    raw::{RecipeOption, Spanned, Variant},
    text::nearest,
};

use super::{Decoder, Fields, MOST_HINTS, recipe::decode_architecture};

/// Decodes `options`.
pub(super) fn decode_options<'d>(
    fields: &Fields<'d>,
    out: &mut Decoder<'_>,
) -> Vec<RecipeOption<'d>> {
    let map = fields.optional("options", out);
    let Some(map) = map.and_then(|node| out.mapping(node, "`options`")) else {
        return Vec::new();
    };
    let mut options = Vec::new();
    for entry in map.map {
        let Some(name) = entry.key.as_str() else {
            if out.improved() {
                out.wrong_type(&entry.key, "the name of an option", "a string");
            }
            continue;
        };
        if entry.value.as_map().is_none() && out.upstream() {
            continue;
        }
        let Some(body) = out.mapping(&entry.value, "an option") else {
            continue;
        };
        if out.improved() {
            body.deny_unknown(&["description", "default", "version_suffix"], out);
            check_name(name, &entry.key, out);
        }
        let default = match body.get("default") {
            Some(node) => out.boolean(node, "`default`"),
            None => Some(false),
        };
        let version_suffix = match body.get("version_suffix") {
            None => String::new(),
            Some(node) => {
                if out.improved() && node.as_str().is_none() {
                    out.wrong_type(node, "`version_suffix`", "a string");
                }
                python_str(&node.value)
            }
        };
        options.push(RecipeOption {
            name: Spanned {
                value: name,
                span: entry.key.span,
            },
            description: body.get("description").and_then(Node::as_str),
            default: default.unwrap_or_default(),
            version_suffix,
        });
    }
    options
}

fn check_name(name: &str, key: &Node, out: &mut Decoder<'_>) {
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        let message = "the name of an option holds letters, digits and `_` only, so that templates \
                       can say `context.options.NAME`";
        out.error(codes::INVALID_OPTION, key.span, message);
    }
}

/// Decodes `variants`.
pub(super) fn decode_variants<'d>(
    fields: &Fields<'d>,
    listed: &[Spanned<Architecture>],
    options: &[RecipeOption<'d>],
    out: &mut Decoder<'_>,
) -> Vec<Variant<'d>> {
    let map = fields.optional("variants", out);
    let Some(map) = map.and_then(|node| out.mapping(node, "`variants`")) else {
        return Vec::new();
    };
    let names: IndexSet<&str> = options.iter().map(|option| option.name.value).collect();
    let entries = map.map.iter();
    entries
        .filter_map(|entry| decode_variant(&entry.key, &entry.value, listed, &names, out))
        .collect()
}

fn decode_variant<'d>(
    key: &'d Node,
    node: &'d Node,
    listed: &[Spanned<Architecture>],
    options: &IndexSet<&'d str>,
    out: &mut Decoder<'_>,
) -> Option<Variant<'d>> {
    let name = key.as_str();
    let mut fine = check_variant_name(name, key, out);
    let has_body = !node.is_null();
    let mut variant = Variant {
        name: Spanned {
            value: name.unwrap_or_default(),
            span: key.span,
        },
        architectures: Vec::new(),
        presets: Vec::new(),
        has_body: node.as_map().is_some_and(|map| !map.is_empty()),
    };
    if !has_body && out.improved() {
        return fine.then_some(variant);
    }
    let fields = out.mapping(node, "a variant")?;
    fine &= fields.deny_unknown(
        &["architecture", "architectures", "description", "options"],
        out,
    );
    let items: &[Node] = match (fields.get("architecture"), fields.get("architectures")) {
        (Some(one), Some(many)) => {
            let found = Diagnostic::new(
                codes::INVALID_VARIANT,
                Severity::Error,
                "a variant has `architecture` or `architectures`, not both",
            );
            out.sink.push(found.at(one.span, "").at(many.span, ""));
            return None;
        }
        (Some(one), None) => std::slice::from_ref(one),
        (None, Some(many)) => {
            let items = out.list(many, "`architectures`")?;
            if items.is_empty() {
                out.empty(many.span, "`architectures`");
                fine = false;
            }
            items
        }
        (None, None) => &[],
    };
    for item in items {
        let Some(architecture) = decode_architecture(item, out) else {
            fine = false;
            continue;
        };
        if !listed.is_empty() && !listed.iter().any(|known| known.value == architecture.value) {
            let message = format!(
                "variant is built for `{}`, which the recipe's `architectures` do not list",
                architecture.value
            );
            out.error(codes::INVALID_VARIANT, item.span, message);
            fine = false;
        }
        variant.architectures.push(architecture);
    }
    if let Some(node) = fields.get("options") {
        let presets = out.mapping(node, "`options` of a variant")?;
        for entry in presets.map {
            let option = python_str(&entry.key.value);
            let Some(known) = options.get(option.as_str()) else {
                let shown: String = option.chars().take(60).collect();
                let mut found = Diagnostic::new(
                    codes::INVALID_OPTION,
                    Severity::Error,
                    format!("variant sets unknown recipe option `{shown}`"),
                )
                .at(entry.key.span, "");
                if out.sink.diagnostics().len() < MOST_HINTS
                    && let Some(meant) = nearest(&option, options.iter().copied())
                {
                    found = found.hint(format!("did you mean `{meant}`?"));
                }
                out.sink.push(found);
                fine = false;
                continue;
            };
            if let Value::Bool(value) = entry.value.value {
                let name = Spanned {
                    value: *known,
                    span: entry.key.span,
                };
                variant.presets.push((name, value));
            } else {
                let message = format!("variant option `{option}` must be true or false");
                out.error(codes::INVALID_OPTION, entry.value.span, message);
                fine = false;
            }
        }
    }
    fine.then_some(variant)
}

fn check_variant_name(name: Option<&str>, key: &Node, out: &mut Decoder<'_>) -> bool {
    let ordinary = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = name.is_some_and(|name| {
        name.starts_with(ordinary) && name.chars().all(|c| ordinary(c) || matches!(c, '_' | '-'))
    });
    if !fits {
        let message = "the name of a variant holds lower-case letters, digits, `_` and `-`, \
                       and starts with a letter or digit";
        out.error(codes::INVALID_VARIANT, key.span, message);
        return false;
    }
    if name.is_some_and(|name| name == "arm64" || name.ends_with("_arm64")) {
        let message = "variant name conflicts with the automatic `arm64` suffix";
        out.error(codes::INVALID_VARIANT, key.span, message);
        return false;
    }
    true
}
