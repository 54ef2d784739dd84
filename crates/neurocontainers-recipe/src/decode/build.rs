//! How the image is built.

use nd_report::{Diagnostic, Severity};
use nd_yaml::Node;

use crate::{
    codes,
    raw::{Bootstrap, Build, Spanned},
    text::nearest,
};

use super::{Decoder, decode_directives};

const KEYS: &[&str] = &[
    "kind",
    "base-image",
    "pkg-manager",
    "directives",
    "add-default-template",
    "add-tzdata",
    "fix-locale-def",
    "bootstrap",
];

/// Decodes the `build` mapping.
pub(super) fn decode_build<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<Build<'d>> {
    let fields = out.mapping(node, "`build`")?;
    let known = if out.upstream() {
        &KEYS[..KEYS.len() - 1]
    } else {
        KEYS
    };
    let known = fields.deny_unknown(known, out);
    let kind = match fields.raw("kind") {
        _ if out.upstream() => true,
        None => {
            out.missing(fields.place(), fields.what, "kind");
            false
        }
        Some(kind) if kind.as_str() == Some("neurodocker") => true,
        Some(kind) => {
            let message = "`kind` must be `neurodocker`, the only kind of build there is";
            out.error(codes::INVALID_CHOICE, kind.span, message);
            false
        }
    };
    let base_image = fields.required("base-image", out);
    let base_image = base_image.and_then(|node| out.template(node, "`base-image`"));
    let pkg_manager = fields.required("pkg-manager", out);
    let pkg_manager = pkg_manager.and_then(|node| out.template(node, "`pkg-manager`"));
    let mut switch = |key: &'static str, default: Option<bool>| match fields.raw(key) {
        Some(node) if node.is_null() && out.improved() => {
            out.wrong_type(node, &format!("`{key}`"), "`true` or `false`");
            None
        }
        Some(node) if node.is_null() && key == "add-tzdata" => Some(None),
        Some(node) => out.boolean(node, &format!("`{key}`")).map(Some),
        None => Some(default),
    };
    let add_default_template = switch("add-default-template", Some(true));
    let add_tzdata = switch("add-tzdata", None);
    let fix_locale_def = switch("fix-locale-def", Some(false));
    let bootstrap = match fields.get("bootstrap") {
        None => Some(None),
        Some(_) if out.upstream() => Some(None),
        Some(node) => decode_bootstrap(node, out).map(Some),
    };
    let directives = match fields.required("directives", out) {
        None => None,
        Some(node) => decode_directives(node, "`build.directives`", out),
    };
    if !(known && kind) {
        return None;
    }
    Some(Build {
        base_image: base_image?,
        bootstrap: bootstrap?,
        pkg_manager: pkg_manager?,
        add_default_template: add_default_template?.unwrap_or(true),
        add_tzdata: add_tzdata?,
        fix_locale_def: fix_locale_def?.unwrap_or(false),
        directives: directives?,
    })
}

fn decode_bootstrap(node: &Node, out: &mut Decoder<'_>) -> Option<Spanned<Bootstrap>> {
    let text = out.words(node, "`bootstrap`")?;
    let suite = text.strip_prefix("debian:").filter(|suite| {
        suite.starts_with(|c: char| c.is_ascii_lowercase())
            && suite
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    });
    if let Some(suite) = suite {
        Some(Spanned {
            value: Bootstrap::Debian {
                suite: suite.to_owned(),
            },
            span: node.span,
        })
    } else {
        let shown: String = text.chars().take(40).collect();
        let mut found = Diagnostic::new(
            codes::BAD_BOOTSTRAP,
            Severity::Error,
            format!("`bootstrap` must be `debian:SUITE`, not `{shown}`"),
        )
        .at(node.span, "");
        let distribution = text.split(':').next().unwrap_or_default();
        if nearest(distribution, ["debian"]).is_none() {
            found = found.hint("only Debian's archive is known; leave the key out for other bases");
        }
        out.sink.push(found);
        None
    }
}
