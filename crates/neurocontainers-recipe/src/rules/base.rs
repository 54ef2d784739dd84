//! The base image.

use nd_report::{Diagnostic, Severity, Sink};
use nd_yaml::Node;

use super::{Recipe, Rule, codes};

/// Whether the base can change.
pub(super) struct Base;

/// Base image without its registry and namespace, and its tag; `None` when a template hides both.
pub(super) fn name_and_tag(image: &str) -> Option<(&str, Option<&str>)> {
    let image = image.split('@').next().unwrap_or_default();
    let outside = image.split("{{").next().unwrap_or_default();
    if outside.is_empty() {
        return None;
    }
    // A template may hold slashes and colons of its own.
    let start = outside.rfind('/').map_or(0, |at| at + 1);
    let last = &image[start..];
    match last.split_once(':') {
        Some((name, tag)) => Some((name, Some(tag))),
        None if last.contains("{{") => None,
        None => Some((last, None)),
    }
}

impl Rule for Base {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        let Some(build) = recipe.root.get("build") else {
            return;
        };
        // A base that is built from its distribution's archive has no registry's tag to change.
        let Some(node) = build
            .get("base-image")
            .filter(|_| build.get("bootstrap").is_none())
        else {
            return;
        };
        let Some(image) = node.as_str().map(str::trim) else {
            return;
        };
        if image.contains('@') || image == "scratch" {
            return;
        }
        let Some((_, tag)) = name_and_tag(image) else {
            return;
        };
        match tag {
            None => moving(
                node,
                image,
                "has no tag, which means `latest` and moves with every release",
                out,
            ),
            Some("latest") => moving(node, image, "moves with every release", out),
            Some(_) => out.push(
                Diagnostic::new(
                    codes::BASE_DIGEST,
                    Severity::Note,
                    format!("base image `{image}` has no digest"),
                )
                .at(node.span, "")
                .hint("append `@sha256:…` to build from the same image forever"),
            ),
        }
    }
}

fn moving(node: &Node, image: &str, why: &str, out: &mut Sink) {
    out.push(
        Diagnostic::new(
            codes::MOVING_BASE,
            Severity::Warning,
            format!("base image `{image}` {why}"),
        )
        .at(node.span, "")
        .hint("give a tag that names a version, and a digest"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_tag() {
        for (image, expected) in [
            ("ubuntu:24.04", Some(("ubuntu", Some("24.04")))),
            ("localhost:5000/a/b", Some(("b", None))),
            (
                "ghcr.io/a/b:v{{ context.version }}",
                Some(("b", Some("v{{ context.version }}"))),
            ),
            ("{{ context.base }}", None),
            ("a/{{ b }}", None),
        ] {
            assert_eq!(name_and_tag(image), expected, "{image}");
        }
    }
}
