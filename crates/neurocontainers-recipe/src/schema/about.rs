//! What a recipe says about its container, and what the container offers.

use super::{
    Kind, Object, key, needed,
    recipe::{TEXTS, URL},
};

const PORT: Kind = Kind::Integer(1, 65535);

pub(super) static README: Object = Object {
    name: "structured_readme",
    doc: "A README by its parts.",
    keys: &[
        needed("description", Kind::Pattern(""), "What the tool does."),
        needed("example", Kind::Pattern(""), "How it is used."),
        key(
            "documentation",
            Kind::Pattern(""),
            "Where its documentation is.",
        ),
        key("citation", Kind::Pattern(""), "What to cite."),
    ],
    one_of: &[],
    others: None,
};

pub(super) static SPDX_LICENCE: Object = Object {
    name: "spdx_licence",
    doc: "A licence that SPDX lists.",
    keys: &[
        needed(
            "license",
            Kind::Text,
            "SPDX expression, for example `MIT` or `GPL-3.0-or-later`.",
        ),
        key("url", URL, "Where its text is."),
    ],
    one_of: &[],
    others: None,
};

pub(super) static CUSTOM_LICENCE: Object = Object {
    name: "custom_licence",
    doc: "A licence that SPDX does not list.",
    keys: &[
        needed("name", Kind::Text, "Its name."),
        key("url", URL, "Where its text is."),
    ],
    one_of: &[],
    others: None,
};

pub(super) static GUI_APP: Object = Object {
    name: "gui_app",
    doc: "An entry for the menus of desktops.",
    keys: &[
        needed("name", Kind::Scalar, "Its name."),
        needed("exec", Kind::Scalar, "The command it runs."),
    ],
    one_of: &[],
    others: None,
};

pub(super) static AUTO_UPDATE: Object = Object {
    name: "auto_update",
    doc: "Where new versions are announced.",
    keys: &[
        needed(
            "method",
            Kind::Choice(&["github_release"]),
            "How; only `github_release`.",
        ),
        needed(
            "repo",
            Kind::Pattern("^[^/]+/[^/]+$"),
            "`owner/name` on GitHub.",
        ),
    ],
    one_of: &[],
    others: None,
};

pub(super) static TEST: Object = Object {
    name: "test",
    doc: "A test of an older form, without effect.",
    keys: &[
        key("name", Kind::Text, "Its name."),
        key("builtin", Kind::Any, "Name of a built-in test."),
        key("script", Kind::Text, "Commands of the test."),
        key("executable", Kind::Any, "Program that runs the script."),
        key("manual", Kind::Any, "Whether somebody has to look."),
    ],
    one_of: &["builtin", "script"],
    others: None,
};

pub(super) static WEBAPP: Object = Object {
    name: "webapp",
    doc: "A web application.",
    keys: &[
        needed("title", Kind::Text, "Its title."),
        needed("startup_command", Kind::Text, "Command that starts it."),
        needed("port", PORT, "Port that it listens on."),
        key("start_page", Kind::Any, "Path of its first page."),
        key("module", Kind::Any, "Module that is loaded first."),
        key("description", Kind::Any, "One sentence about it."),
        key(
            "startup_timeout",
            Kind::Any,
            "Seconds it may take to start.",
        ),
        key("category", Kind::Any, "Its category in the launcher."),
        key(
            "icon",
            Kind::Pattern("\\.svg$"),
            "Name of its icon, an SVG file.",
        ),
        key(
            "additional_proxies",
            Kind::List(&Kind::Object(&PROXY)),
            "Further ports that are passed on.",
        ),
    ],
    one_of: &[],
    others: None,
};

pub(super) static PROXY: Object = Object {
    name: "proxy",
    doc: "A further port of a web application.",
    keys: &[
        needed("path", Kind::Text, "Path below which it is reached."),
        needed("port", PORT, "The port."),
    ],
    one_of: &[],
    others: None,
};

pub(super) static DEPLOY: Object = Object {
    name: "deploy",
    doc: "What the container offers to its users.",
    keys: &[
        key(
            "path",
            TEXTS,
            "Folders whose executables are all offered. Not the `bin` of a Python environment.",
        ),
        key(
            "bins",
            TEXTS,
            "Executables that are offered, by name or path.",
        ),
        key(
            "webapp",
            Kind::Object(&WEBAPP),
            "A web application that the container holds; only in the recipe's own `deploy`.",
        ),
    ],
    one_of: &[],
    others: None,
};
