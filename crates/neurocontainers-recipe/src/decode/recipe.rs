//! The whole file.

use std::borrow::Cow;

use nd_names::Architecture;
use nd_report::{Diagnostic, Fix, Severity};
use nd_yaml::{Map, Node, Style, Value, python_str};

use crate::{
    codes,
    raw::{About, Deploy, File, Recipe, RecipeOption, Spanned, Variant},
};

use super::{
    Decoder, Fields, about,
    build::{BuildDraft, decode_build},
    deploy::decode_deploy,
    file, truthy, variant,
};

const KEYS: &[&str] = &[
    "name",
    "version",
    "architectures",
    "build",
    "variants",
    "options",
    "variables",
    "files",
    "deploy",
    "readme",
    "readme_url",
    "structured_readme",
    "categories",
    "icon",
    "copyright",
    "gui_apps",
    "apptainer_args",
    "show_in_menu",
    "show_in_applist",
    "auto_update",
    "description",
    "draft",
    "epoch",
    "tests",
];

/// What could be understood of a recipe, so that the rest of it can be checked, too.
#[derive(Debug)]
pub(crate) struct Draft<'d> {
    name: Option<Spanned<Cow<'d, str>>>,
    version: Option<Spanned<Cow<'d, str>>>,
    architectures: Option<Vec<Spanned<Architecture>>>,
    /// How the image is built, as far as it says.
    pub(crate) build: Option<BuildDraft<'d>>,
    variants: Vec<Variant<'d>>,
    options: Vec<RecipeOption<'d>>,
    /// Variables.
    pub(crate) variables: Option<&'d Map>,
    /// Declared files.
    pub(crate) files: Vec<File<'d>>,
    /// What the image offers.
    pub(crate) deploy: Option<Deploy<'d>>,
    /// What is said about the container.
    pub(crate) about: About<'d>,
}

impl<'d> Draft<'d> {
    /// The recipe, if all of it that has to be there is.
    pub(crate) fn complete(self) -> Option<Recipe<'d>> {
        Some(Recipe {
            name: self.name?,
            version: self.version?,
            architectures: self.architectures?,
            build: self.build?.complete()?,
            variants: self.variants,
            options: self.options,
            variables: self.variables,
            files: self.files,
            deploy: self.deploy,
            about: self.about,
        })
    }
}

/// Decodes a recipe; `None` when it is no mapping. What has no meaning is reported and left out.
pub(crate) fn decode_recipe<'d>(
    root: &'d Node,
    folder_name: Option<&str>,
    out: &mut Decoder<'_>,
) -> Option<Draft<'d>> {
    let Some(map) = root.as_map() else {
        let message = format!("recipe file must contain a mapping, not {}", root.kind());
        out.error(codes::WRONG_TYPE, root.span, message);
        return None;
    };
    let fields = Fields {
        what: "the recipe",
        span: root.span,
        map,
    };
    fields.deny_unknown(KEYS, out);

    let name = decode_name(&fields, folder_name, out);
    let version = decode_version(&fields, out);
    let architectures = decode_architectures(&fields, out);
    let about = about::decode_about(&fields, out);
    let build = match fields.required("build", out) {
        Some(node) => decode_build(node, out),
        None => None,
    };
    let options = variant::decode_options(&fields, out);
    let variants = variant::decode_variants(
        &fields,
        architectures.as_deref().unwrap_or_default(),
        &options,
        out,
    );
    let files = file::decode_files(&fields, out);
    let deploy = match fields.optional("deploy", out) {
        Some(node) => decode_deploy(node, true, out),
        None => None,
    };
    let variables = match fields.get("variables") {
        None => None,
        Some(node) => match node.as_map() {
            Some(map) => Some(map),
            None if out.upstream() && !truthy(&node.value) => None,
            None => {
                out.wrong_type(node, "`variables`", "a mapping");
                None
            }
        },
    };
    Some(Draft {
        name,
        version,
        architectures,
        build,
        variants,
        options,
        variables,
        files,
        deploy,
        about,
    })
}

/// Text of a scalar: as written, or as upstream converts it.
fn scalar_text<'d>(node: &'d Node, out: &Decoder<'_>) -> Cow<'d, str> {
    match node.written() {
        Some(text) if out.improved() || node.as_str().is_some() => Cow::Borrowed(text),
        _ => Cow::Owned(python_str(&node.value)),
    }
}

fn is_scalar(node: &Node) -> bool {
    node.style != Style::Collection && !matches!(node.value, Value::Bytes(_))
}

fn decode_name<'d>(
    fields: &Fields<'d>,
    folder_name: Option<&str>,
    out: &mut Decoder<'_>,
) -> Option<Spanned<Cow<'d, str>>> {
    let node = fields.required("name", out)?;
    if node.is_null() {
        out.empty(node.span, "name");
        return None;
    }
    // Upstream's strict validator does not convert, and then fails on what is no text.
    let strict = out.upstream() && out.profile == crate::Profile::Strict;
    if !is_scalar(node) || (strict && node.as_str().is_none()) {
        out.wrong_type(node, "name", "a string");
        return None;
    }
    let text = scalar_text(node, out);
    if text.trim().is_empty() {
        out.empty(node.span, "name");
        return None;
    }
    if text.contains('_') {
        let found = Diagnostic::new(
            codes::INVALID_NAME,
            Severity::Error,
            format!("name cannot contain underscores (got `{text}`)"),
        )
        .at(node.span, "");
        out.sink
            .push(found.hint("`_` separates the variant; use `-` or nothing"));
        return None;
    }
    if out.improved() {
        let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits =
            text.starts_with(first) && text.chars().all(|c| first(c) || matches!(c, '.' | '-'));
        if !fits {
            let message = format!(
                "name `{text}` must hold only lower-case letters, digits, `.` and `-`, \
                 and start with a letter or digit"
            );
            out.error(codes::INVALID_NAME, node.span, message);
            return None;
        }
        if let Some(folder) = folder_name.filter(|folder| *folder != text) {
            let message = format!("name `{text}` differs from the recipe's folder `{folder}`");
            out.error(codes::FOLDER_NAME, node.span, message);
        }
    }
    Some(Spanned {
        value: text,
        span: node.span,
    })
}

fn decode_version<'d>(fields: &Fields<'d>, out: &mut Decoder<'_>) -> Option<Spanned<Cow<'d, str>>> {
    let node = fields.required("version", out)?;
    let strict = out.upstream() && out.profile == crate::Profile::Strict;
    if node.is_null() || (strict && !truthy(&node.value)) {
        out.empty(node.span, "version");
        return None;
    }
    if !is_scalar(node) && out.improved() {
        out.wrong_type(node, "version", "a string");
        return None;
    }
    let text = scalar_text(node, out);
    if text.trim().is_empty() {
        out.empty(node.span, "version");
        return None;
    }
    if out.improved() {
        let ordinary = |c: char| c.is_ascii_alphanumeric();
        let fits = text.starts_with(ordinary)
            && text
                .chars()
                .all(|c| ordinary(c) || matches!(c, '.' | '_' | '-'));
        if !fits {
            let message = format!(
                "version `{text}` must hold only letters, digits, `.`, `_` and `-`, \
                 and start with a letter or digit"
            );
            out.error(codes::INVALID_VERSION, node.span, message);
            return None;
        }
        if text.contains(|c: char| c.is_ascii_uppercase()) {
            let message =
                format!("version `{text}` has upper-case letters, which registries refuse");
            out.warn(codes::INVALID_VERSION, node.span, message);
        }
        let other = python_str(&node.value);
        if other != text {
            let fix = Fix {
                span: node.span,
                replacement: format!("'{text}'"),
                safe: true,
            };
            let found = Diagnostic::new(
                codes::VERSION_NUMBER,
                Severity::Warning,
                format!(
                    "version `{text}` is {} to other readers, `{other}`",
                    node.kind()
                ),
            )
            .at(node.span, "")
            .fix("put it into quotes", fix);
            out.sink.push(found);
        }
    }
    Some(Spanned {
        value: text,
        span: node.span,
    })
}

fn decode_architectures(
    fields: &Fields<'_>,
    out: &mut Decoder<'_>,
) -> Option<Vec<Spanned<Architecture>>> {
    let node = fields.required("architectures", out)?;
    let items = out.list(node, "`architectures`")?;
    if items.is_empty() {
        out.empty(node.span, "`architectures`");
        return None;
    }
    let all: Vec<_> = items
        .iter()
        .map(|item| decode_architecture(item, out))
        .collect();
    let found: Vec<_> = all.into_iter().collect::<Option<_>>()?;
    for (at, architecture) in found.iter().enumerate() {
        if let Some(first) = found[..at].iter().find(|a| a.value == architecture.value) {
            let diagnostic = Diagnostic::new(
                codes::DUPLICATE_VARIANT,
                // Upstream notices only when it lists the containers.
                Severity::Error,
                format!("architecture `{}` is listed twice", architecture.value),
            )
            .at(architecture.span, "again here")
            .at(first.span, "first here");
            if out.improved() {
                out.sink.push(diagnostic);
            }
        }
    }
    Some(found)
}

/// One architecture in its canonical spelling.
pub(super) fn decode_architecture(
    node: &Node,
    out: &mut Decoder<'_>,
) -> Option<Spanned<Architecture>> {
    let text = python_str(&node.value);
    let found = Architecture::ALL
        .into_iter()
        .find(|known| known.as_str() == text);
    if found.is_none() {
        let shown: String = text.chars().take(40).collect();
        let mut diagnostic = Diagnostic::new(
            codes::UNKNOWN_ARCHITECTURE,
            Severity::Error,
            format!("architecture `{shown}` not supported, must be one of `x86_64`, `aarch64`"),
        )
        .at(node.span, "");
        if let Ok(meant) = text.parse::<Architecture>() {
            let fix = Fix {
                span: node.span,
                replacement: meant.to_string(),
                safe: true,
            };
            diagnostic = diagnostic.fix(format!("recipes spell it `{meant}`"), fix);
        }
        out.sink.push(diagnostic);
    }
    found.map(|value| Spanned {
        value,
        span: node.span,
    })
}
