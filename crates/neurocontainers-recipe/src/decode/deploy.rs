//! What an image offers to its users.

use nd_yaml::Node;

use crate::{
    codes,
    raw::{Deploy, Webapp},
};

use super::Decoder;

const WEBAPP_KEYS: &[&str] = &[
    "title",
    "startup_command",
    "port",
    "start_page",
    "module",
    "description",
    "startup_timeout",
    "category",
    "icon",
    "additional_proxies",
];

/// Decodes a `deploy` mapping; `top` says whether it is the recipe's own.
pub(super) fn decode_deploy<'d>(
    node: &'d Node,
    top: bool,
    out: &mut Decoder<'_>,
) -> Option<Deploy<'d>> {
    let fields = out.mapping(node, "`deploy`")?;
    fields.deny_unknown(&["path", "bins", "webapp"], out);
    let mut list = |key: &'static str| {
        let node = fields.get(key)?;
        // Upstream drops a string at the top in silence and fails on one in a directive only when
        // it compiles.
        if out.improved() && !super::is_list(node) {
            out.wrong_type(node, &format!("deploy `{key}`"), "a list");
        }
        Some(node)
    };
    let path = list("path");
    let bins = list("bins");
    let webapp = match fields.get("webapp") {
        None => None,
        Some(node) => decode_webapp(node, out),
    };
    if !top
        && out.improved()
        && let Some(node) = fields.get("webapp")
    {
        let message = "`webapp` has no effect in a directive, only in the recipe's own `deploy`";
        out.warn(codes::UNKNOWN_KEY, node.span, message);
    }
    Some(Deploy {
        node,
        path,
        bins,
        webapp,
    })
}

fn decode_webapp<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<Webapp<'d>> {
    let fields = out.mapping(node, "`webapp`")?;
    let mut fine = fields.deny_unknown(WEBAPP_KEYS, out);
    for key in ["title", "startup_command"] {
        let found = fields.required(key, out);
        fine &= found.is_some_and(|node| out.template(node, &format!("`{key}`")).is_some());
    }
    let port = |node: Option<&Node>, out: &mut Decoder<'_>| match node {
        None => false,
        Some(node) if out.improved() => {
            let fits = node
                .as_int()
                .is_some_and(|port| (1..=65535).contains(&port));
            if !fits {
                out.wrong_type(node, "`port`", "a number from 1 to 65535");
            }
            fits
        }
        Some(_) => true,
    };
    fine &= port(fields.required("port", out), out);
    if let Some(icon) = fields.get("icon")
        && icon
            .as_str()
            .is_none_or(|icon| icon.strip_suffix(".svg").is_none())
    {
        let shown: String = nd_yaml::python_str(&icon.value).chars().take(60).collect();
        let message = format!("webapp icon must be an SVG file (got `{shown}`)");
        out.error(codes::INVALID_CHOICE, icon.span, message);
        fine = false;
    }
    if let Some(proxies) = fields.get("additional_proxies") {
        match out.list(proxies, "`additional_proxies`") {
            None => fine = false,
            Some(items) => {
                for item in items {
                    let Some(proxy) = out.mapping(item, "an entry of `additional_proxies`") else {
                        fine = false;
                        continue;
                    };
                    fine &= proxy.deny_unknown(&["path", "port"], out);
                    let path = proxy.required("path", out);
                    fine &= path.is_some_and(|node| out.template(node, "`path`").is_some());
                    fine &= port(proxy.required("port", out), out);
                }
            }
        }
    }
    fine.then_some(Webapp { map: fields.map })
}
