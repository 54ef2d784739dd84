//! Which concrete containers a recipe declares, and choosing one.

use std::collections::HashSet;

use indexmap::IndexMap;
use nd_names::Architecture;
use nd_report::{Diagnostic, Severity, Sink};

use crate::{
    Recipe, Request, codes, raw,
    resolved::{Concrete, Identity},
};

impl Recipe {
    /// All concrete containers, the default one first; `None` with a report if two are the same.
    pub fn variants(&self, sink: &mut Sink) -> Option<Vec<Concrete>> {
        let raw = self.raw()?;
        concrete_containers(&raw, sink)
    }
}

/// The architecture of the default container.
fn default_architecture(recipe: &raw::Recipe<'_>) -> Architecture {
    let mut listed = recipe
        .architectures
        .iter()
        .map(|architecture| architecture.value);
    let first = listed.clone().next().unwrap_or(Architecture::X86_64);
    if listed.any(|architecture| architecture == Architecture::X86_64) {
        Architecture::X86_64
    } else {
        first
    }
}

fn presets(variant: &raw::Variant<'_>) -> IndexMap<String, bool> {
    variant
        .presets
        .iter()
        .map(|(name, value)| (name.value.to_owned(), *value))
        .collect()
}

pub(crate) fn concrete_containers(
    recipe: &raw::Recipe<'_>,
    sink: &mut Sink,
) -> Option<Vec<Concrete>> {
    let name = &recipe.name.value;
    let default = default_architecture(recipe);
    let plain = |architecture| Concrete::named(name, "", architecture, IndexMap::new());
    let mut all = vec![plain(default)];
    let mut skipped_default = false;
    for architecture in &recipe.architectures {
        if architecture.value == default && !skipped_default {
            skipped_default = true;
            continue;
        }
        all.push(plain(architecture.value));
    }
    for variant in &recipe.variants {
        let named = |architecture| {
            Concrete::named(name, variant.name.value, architecture, presets(variant))
        };
        if variant.architectures.is_empty() {
            all.push(named(default));
        }
        all.extend(
            variant
                .architectures
                .iter()
                .map(|architecture| named(architecture.value)),
        );
    }
    let mut selectors = HashSet::new();
    for concrete in &all {
        if !selectors.insert(concrete.selector.as_str()) {
            let message = format!(
                "recipe `{name}` declares duplicate concrete variants: `{}`",
                label(&concrete.selector)
            );
            let found = Diagnostic::new(codes::DUPLICATE_VARIANT, Severity::Error, message);
            sink.push(found.at(recipe.name.span, ""));
            return None;
        }
    }
    Some(all)
}

fn label(selector: &str) -> &str {
    if selector.is_empty() {
        "default"
    } else {
        selector
    }
}

/// Chooses the container that a request means.
pub(crate) fn select(
    recipe: &raw::Recipe<'_>,
    request: &Request,
    upstream: bool,
    sink: &mut Sink,
) -> Option<Concrete> {
    let all = concrete_containers(recipe, sink)?;
    let declared = |name: &str| {
        recipe
            .variants
            .iter()
            .find(|variant| variant.name.value == name)
    };
    let wanted = request.variant.as_str();
    let on = |architecture: Architecture| {
        if wanted.is_empty() || declared(wanted).is_some() {
            all.iter().find(|concrete| {
                concrete.recipe_variant == wanted && concrete.architecture == architecture
            })
        } else {
            all.iter().find(|concrete| {
                concrete.selector == wanted
                    && request
                        .architecture
                        .is_none_or(|asked| asked == concrete.architecture)
            })
        }
    };
    if let Some(found) = on(request.architecture.unwrap_or(request.host)) {
        return Some(found.clone());
    }
    let emulates = request.host_runs_x86_64 && request.host == Architecture::Aarch64;
    if request.architecture.is_none()
        && !request.ignore_architectures
        && emulates
        && let Some(found) = on(Architecture::X86_64)
    {
        let message = format!(
            "`{}` has no container for this machine's architecture; `x86_64` was selected",
            recipe.name.value
        );
        let note = Diagnostic::new(codes::UNKNOWN_TARGET, Severity::Warning, message);
        sink.push(note.at(recipe.name.span, ""));
        return Some(found.clone());
    }
    if request.ignore_architectures {
        return forced(recipe, request, upstream, sink);
    }
    let architecture = request.architecture.unwrap_or(request.host);
    let available: Vec<&str> = all
        .iter()
        .map(|concrete| label(&concrete.selector))
        .collect();
    let found = Diagnostic::new(
        codes::UNKNOWN_TARGET,
        Severity::Error,
        format!(
            "unknown variant/architecture `{}`/{architecture} for `{}`",
            label(wanted),
            recipe.name.value
        ),
    )
    .at(recipe.name.span, "")
    .hint(format!("available: {}", available.join(", ")));
    sink.push(
        found.hint("`--ignore-architectures` compiles for an architecture that is not listed"),
    );
    None
}

/// Makes up the container of an architecture that the recipe does not list.
fn forced(
    recipe: &raw::Recipe<'_>,
    request: &Request,
    upstream: bool,
    sink: &mut Sink,
) -> Option<Concrete> {
    let wanted = request.variant.as_str();
    let arm = wanted == "arm64" || wanted.ends_with("_arm64");
    let architecture = request.architecture.unwrap_or(if arm {
        Architecture::Aarch64
    } else {
        request.host
    });
    let variant = if wanted == "arm64" {
        ""
    } else {
        wanted.strip_suffix("_arm64").unwrap_or(wanted)
    };
    if variant.is_empty() {
        let name = &recipe.name.value;
        return Some(Concrete::named(name, "", architecture, IndexMap::new()));
    }
    // Upstream does not see a variant with an empty body here.
    let found = recipe
        .variants
        .iter()
        .find(|known| known.name.value == variant)
        .filter(|known| known.has_body || !upstream);
    if let Some(known) = found {
        Some(Concrete::named(
            &recipe.name.value,
            variant,
            architecture,
            presets(known),
        ))
    } else {
        let message = format!(
            "`{}` does not declare variant `{variant}`",
            recipe.name.value
        );
        let found = Diagnostic::new(codes::UNKNOWN_TARGET, Severity::Error, message);
        sink.push(found.at(recipe.name.span, ""));
        None
    }
}

/// Values of options and the version that follows from them.
pub(crate) fn resolve_identity(
    recipe: &raw::Recipe<'_>,
    concrete: Concrete,
    request: &Request,
    upstream: bool,
    sink: &mut Sink,
) -> Option<Identity> {
    let mut options: IndexMap<String, bool> = recipe
        .options
        .iter()
        .map(|option| (option.name.value.to_owned(), option.default))
        .collect();
    options.extend(
        concrete
            .presets
            .iter()
            .map(|(name, value)| (name.clone(), *value)),
    );
    let mut fine = true;
    for (name, text) in &request.options {
        let value = text.trim().to_lowercase();
        let on = matches!(value.as_str(), "1" | "true" | "yes" | "y" | "on");
        let off = matches!(value.as_str(), "0" | "false" | "no" | "n" | "off");
        let known = options.contains_key(name);
        if !upstream && !(known && (on || off)) {
            let message = if known {
                format!("option `{name}` is on or off, not `{text}`")
            } else {
                format!("`{}` has no option `{name}`", recipe.name.value)
            };
            let names: Vec<&str> = recipe.options.iter().map(|o| o.name.value).collect();
            let mut found = Diagnostic::new(codes::INVALID_OPTION, Severity::Error, message)
                .at(recipe.name.span, "");
            if !known && !names.is_empty() {
                found = found.hint(format!("options: {}", names.join(", ")));
            }
            sink.push(found);
            fine = false;
        }
        options.insert(name.clone(), on);
    }
    let original = recipe.version.value.to_string();
    let suffixes = recipe
        .options
        .iter()
        .filter(|option| options.get(option.name.value) == Some(&true))
        .map(|option| option.version_suffix.as_str());
    let version = original.clone() + &suffixes.collect::<String>();
    fine.then(|| Identity {
        name: concrete.name,
        base_name: recipe.name.value.to_string(),
        variant: concrete.selector,
        recipe_variant: concrete.recipe_variant,
        version,
        original_version: original,
        architecture: concrete.architecture,
        options,
        presets: concrete.presets,
    })
}
