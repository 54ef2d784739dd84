//! What a recipe says about its container.

use nd_report::{Diagnostic, Severity};
use nd_yaml::{Node, python_str};

use crate::{
    Profile,
    about::{CATEGORIES, IconError, LEGACY_CATEGORIES, check_icon},
    codes,
    raw::{About, AutoUpdate, Copyright, GuiApp, Licence, ReadmeParts, Spanned},
    text::nearest,
};

use super::{Decoder, Fields};

/// Decodes all keys about documentation and appearance.
pub(super) fn decode_about<'d>(fields: &Fields<'d>, out: &mut Decoder<'_>) -> About<'d> {
    let copyright = decode_copyright(fields, out);
    let structured_readme = match fields.optional("structured_readme", out) {
        None => None,
        Some(node) => decode_readme_parts(node, out),
    };
    let auto_update = match fields.optional("auto_update", out) {
        None => None,
        Some(node) => decode_auto_update(node, out),
    };
    check_tests(fields, out);
    let gui_apps = decode_gui_apps(fields, out);
    let readme_url = match fields.get("readme_url") {
        None => None,
        Some(node) => out.url(node, "`readme_url`"),
    };
    check_icon_key(fields, out);
    check_categories(fields, out);
    let typed =
        |key: &'static str, wanted: &str, fits: fn(&Node) -> bool, out: &mut Decoder<'_>| {
            let node = fields.get(key)?;
            if out.improved() && !fits(node) {
                out.wrong_type(node, &format!("`{key}`"), wanted);
            }
            Some(node)
        };
    let text = |node: &Node| node.as_str().is_some();
    let list = |node: &Node| node.as_seq().is_some();
    let switch = |node: &Node| {
        node.as_bool().is_some() || node.as_str().is_some_and(|text| text.contains("{{"))
    };
    let readme = typed("readme", "a string", text, out);
    let description = typed("description", "a string", text, out);
    let apptainer_args = typed("apptainer_args", "a list", list, out);
    let show_in_menu = typed("show_in_menu", "`true` or `false`", switch, out);
    let show_in_applist = typed("show_in_applist", "`true` or `false`", switch, out);
    let draft = typed(
        "draft",
        "`true` or `false`",
        |node| node.as_bool().is_some(),
        out,
    );
    let epoch = typed(
        "epoch",
        "a whole number",
        |node| node.as_int().is_some(),
        out,
    );
    About {
        readme,
        readme_url,
        structured_readme,
        categories: fields.get("categories"),
        icon: fields.get("icon"),
        copyright,
        gui_apps,
        apptainer_args,
        show_in_menu,
        show_in_applist,
        auto_update,
        description,
        draft: draft.and_then(Node::as_bool).unwrap_or_default(),
        epoch: epoch.and_then(Node::as_int),
    }
}

/// Decodes each entry of an optional list.
fn each<'d, T>(
    fields: &Fields<'d>,
    key: &str,
    out: &mut Decoder<'_>,
    mut decode: impl FnMut(&'d Node, &mut Decoder<'_>) -> Option<T>,
) -> Vec<T> {
    let Some(node) = fields.optional(key, out) else {
        return Vec::new();
    };
    let items = out.list(node, &format!("`{key}`")).unwrap_or_default();
    items.iter().filter_map(|item| decode(item, out)).collect()
}

fn decode_copyright<'d>(fields: &Fields<'d>, out: &mut Decoder<'_>) -> Vec<Copyright<'d>> {
    each(fields, "copyright", out, |node, out| {
        let entry = out.mapping(node, "a copyright entry")?;
        let (key, licence): (_, fn(&'d Node) -> Licence<'d>) =
            match (entry.raw("license"), entry.raw("name")) {
                (Some(_), _) => ("license", Licence::Spdx),
                (None, Some(_)) => ("name", Licence::Custom),
                (None, None) => {
                    let message =
                        "copyright entry must have either `license` (SPDX) or `name` (custom)";
                    out.error(codes::MISSING_KEY, entry.place(), message);
                    return None;
                }
            };
        let known = entry.deny_unknown(&[key, "url"], out);
        let node = entry
            .raw(key)
            .filter(|node| out.template(node, key).is_some());
        let url = match entry.get("url") {
            None => Some(None),
            Some(url) => out.url(url, "`url`").map(Some),
        };
        if !known {
            return None;
        }
        Some(Copyright {
            licence: licence(node?),
            url: url?,
        })
    })
}

fn decode_readme_parts<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<ReadmeParts<'d>> {
    let fields = out.mapping(node, "`structured_readme`")?;
    let mut fine = fields.deny_unknown(
        &["description", "example", "documentation", "citation"],
        out,
    );
    let description = fields.required("description", out);
    let example = fields.required("example", out);
    if out.improved() {
        for entry in fields.map {
            if entry.value.as_str().is_none() && !entry.value.is_null() {
                let what = format!("`{}`", python_str(&entry.key.value));
                out.wrong_type(&entry.value, &what, "a string");
                fine = false;
            }
        }
    }
    if !fine {
        return None;
    }
    Some(ReadmeParts {
        description: description?,
        example: example?,
        documentation: fields.get("documentation"),
        citation: fields.get("citation"),
    })
}

fn decode_auto_update<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<AutoUpdate<'d>> {
    let fields = out.mapping(node, "`auto_update`")?;
    let mut fine = fields.deny_unknown(&["method", "repo"], out);
    let method = fields.required("method", out);
    if let Some(method) = method
        && method.as_str() != Some("github_release")
    {
        let shown: String = python_str(&method.value).chars().take(40).collect();
        let message =
            format!("auto_update method `{shown}` not supported, must be `github_release`");
        out.error(codes::INVALID_CHOICE, method.span, message);
        fine = false;
    }
    let repo = fields.required("repo", out).and_then(|node| {
        let value = out.words(node, "`repo`")?;
        if out.improved()
            && value
                .split('/')
                .filter(|part| !part.trim().is_empty())
                .count()
                != 2
        {
            let message = "`repo` must be of the form `owner/name`";
            out.error(codes::INVALID_CHOICE, node.span, message);
        }
        Some(Spanned {
            value,
            span: node.span,
        })
    });
    (fine && method.is_some()).then_some(AutoUpdate { repo: repo? })
}

fn decode_gui_apps<'d>(fields: &Fields<'d>, out: &mut Decoder<'_>) -> Vec<GuiApp<'d>> {
    each(fields, "gui_apps", out, |node, out| {
        let entry = out.mapping(node, "an entry of `gui_apps`")?;
        let known = entry.deny_unknown(&["name", "exec"], out);
        let name = entry.required("name", out);
        let name = name.and_then(|node| out.template(node, "`name`"));
        let exec = entry.required("exec", out);
        let exec = exec.and_then(|node| out.template(node, "`exec`"));
        if !known {
            return None;
        }
        Some(GuiApp {
            name: name?,
            exec: exec?,
        })
    })
}

/// Checks `tests`, which nothing reads.
fn check_tests(fields: &Fields<'_>, out: &mut Decoder<'_>) {
    let Some(node) = fields.get("tests") else {
        return;
    };
    if out.improved() {
        let found = Diagnostic::new(
            codes::OBSOLETE_TEST,
            Severity::Warning,
            "`tests` in `build.yaml` has no effect",
        )
        .at(node.span, "");
        out.sink
            .push(found.hint("move the tests to `fulltest.yaml`"));
    }
    each(fields, "tests", out, |node, out| {
        check_test(node, out).then_some(())
    });
}

/// Checks one test of the obsolete form.
pub(super) fn check_test(node: &Node, out: &mut Decoder<'_>) -> bool {
    let Some(test) = out.mapping(node, "a test") else {
        return false;
    };
    let builtin = test.raw("builtin").is_some();
    if !builtin && test.raw("script").is_none() && test.raw("name").is_none() {
        out.missing(test.place(), test.what, "script");
        return false;
    }
    let mut fine = true;
    if builtin {
        fine &= test.deny_unknown(&["name", "builtin", "manual"], out);
        if let Some(name) = test.required("builtin", out)
            && out.improved()
            && name.as_str() != Some("test_deploy.sh")
        {
            let message = "`builtin` must be `test_deploy.sh`, the only built-in test";
            out.error(codes::INVALID_CHOICE, name.span, message);
            fine = false;
        }
        if let Some(name) = test.required("name", out) {
            fine &= out.template(name, "`name`").is_some();
        } else {
            fine = false;
        }
        return fine;
    }
    fine &= test.deny_unknown(&["name", "script", "executable", "manual"], out);
    for key in ["name", "script"] {
        let node = test.required(key, out);
        fine &= node.is_some_and(|node| out.template(node, &format!("`{key}`")).is_some());
    }
    fine
}

fn check_icon_key(fields: &Fields<'_>, out: &mut Decoder<'_>) {
    if out.profile != Profile::Strict {
        return;
    }
    let node = fields.get("icon");
    let Err(problem) = check_icon(node.and_then(Node::as_str)) else {
        return;
    };
    let span = node.map_or(fields.place(), |node| node.span);
    let found = Diagnostic::new(codes::ICON, Severity::Error, problem.to_string()).at(span, "");
    let found = match problem {
        IconError::Missing | IconError::NoDataUri => {
            found.hint("the icon is a data URI such as `data:image/png;base64,…`")
        }
        IconError::NoBase64 | IconError::Empty => found,
    };
    out.sink.push(found);
}

fn check_categories(fields: &Fields<'_>, out: &mut Decoder<'_>) {
    let Some(node) = fields.get("categories") else {
        let span = fields
            .raw("categories")
            .map_or(fields.place(), |node| node.span);
        let message = "`categories` is required and must be a non-empty list";
        out.error(codes::MISSING_KEY, span, message);
        return;
    };
    let Some(items) = node.as_seq() else {
        out.wrong_type(node, "`categories`", "a list");
        return;
    };
    if items.is_empty() {
        out.empty(node.span, "`categories`");
        return;
    }
    let legacy: &[&str] = match out.profile {
        Profile::Lenient => LEGACY_CATEGORIES,
        Profile::Strict => &[],
    };
    for item in items {
        let text = item.as_str().unwrap_or_default();
        if CATEGORIES.contains(&text) || legacy.contains(&text) {
            continue;
        }
        let shown: String = python_str(&item.value).chars().take(60).collect();
        let message = format!("category `{shown}` not supported");
        let mut found =
            Diagnostic::new(codes::CATEGORY, Severity::Error, message).at(item.span, "");
        if let Some(meant) = nearest(text, CATEGORIES.iter().copied()) {
            found = found.hint(format!("did you mean `{meant}`?"));
        }
        let list = CATEGORIES.join(", ");
        out.sink.push(found.hint(format!("categories: {list}")));
    }
}
