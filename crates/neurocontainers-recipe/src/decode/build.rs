//! How the image is built.

use nd_report::{Diagnostic, Severity};
use nd_yaml::Node;

use crate::{
    codes,
    raw::{Bootstrap, Build, Directive, Spanned},
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

/// What could be understood of how an image is built.
#[derive(Debug)]
pub(crate) struct BuildDraft<'d> {
    /// Base image.
    pub(crate) base_image: Option<&'d Node>,
    bootstrap: Option<Spanned<Bootstrap>>,
    /// Package manager.
    pub(crate) pkg_manager: Option<&'d Node>,
    add_default_template: Option<bool>,
    add_tzdata: Option<bool>,
    fix_locale_def: Option<bool>,
    /// What is done.
    pub(crate) directives: Option<Vec<Directive<'d>>>,
}

impl<'d> BuildDraft<'d> {
    pub(super) fn complete(self) -> Option<Build<'d>> {
        Some(Build {
            base_image: self.base_image?,
            bootstrap: self.bootstrap,
            pkg_manager: self.pkg_manager?,
            add_default_template: self.add_default_template.unwrap_or(true),
            add_tzdata: self.add_tzdata,
            fix_locale_def: self.fix_locale_def.unwrap_or(false),
            directives: self.directives?,
        })
    }
}

/// Decodes the `build` mapping.
pub(super) fn decode_build<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<BuildDraft<'d>> {
    let fields = out.mapping(node, "`build`")?;
    let known = if out.upstream() {
        &KEYS[..KEYS.len() - 1]
    } else {
        KEYS
    };
    fields.deny_unknown(known, out);
    if out.improved() {
        match fields.required("kind", out) {
            Some(kind) if kind.as_str() != Some("neurodocker") => {
                let message = "`kind` must be `neurodocker`, the only kind of build there is";
                out.error(codes::INVALID_CHOICE, kind.span, message);
            }
            _ => {}
        }
    }
    let base_image = fields.required("base-image", out);
    let base_image = base_image.and_then(|node| out.template(node, "`base-image`"));
    let pkg_manager = fields.required("pkg-manager", out);
    let pkg_manager = pkg_manager.and_then(|node| out.template(node, "`pkg-manager`"));
    let mut switch = |key: &'static str| match fields.raw(key) {
        Some(node) if node.is_null() && out.improved() => {
            out.wrong_type(node, &format!("`{key}`"), "`true` or `false`");
            None
        }
        Some(node) if node.is_null() && key == "add-tzdata" => None,
        Some(node) => out.boolean(node, &format!("`{key}`")),
        None => None,
    };
    let add_default_template = switch("add-default-template");
    let add_tzdata = switch("add-tzdata");
    let fix_locale_def = switch("fix-locale-def");
    let bootstrap = fields.get("bootstrap").filter(|_| out.improved());
    let bootstrap = bootstrap.and_then(|node| decode_bootstrap(node, out));
    let directives = match fields.required("directives", out) {
        None => None,
        Some(node) => decode_directives(node, "`build.directives`", out),
    };
    Some(BuildDraft {
        base_image,
        bootstrap,
        pkg_manager,
        add_default_template,
        add_tzdata,
        fix_locale_def,
        directives,
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
