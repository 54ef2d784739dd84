//! `build.yaml`.

use crate::about::CATEGORIES;

use super::{
    Kind, Object,
    about::{AUTO_UPDATE, CUSTOM_LICENCE, DEPLOY, GUI_APP, README, SPDX_LICENCE, TEST},
    key, needed,
};

const WHOLE: Kind = Kind::Integer(i64::MIN, i64::MAX);
pub(super) const URL: Kind = Kind::Pattern("^(https?://|\\{\\{)");
pub(super) const TEXTS: Kind = Kind::List(&Kind::Scalar);
const ARCHITECTURE: Kind = Kind::Choice(&["x86_64", "aarch64"]);
const TEXT_OR_LIST: Kind = Kind::Either(&[Kind::Pattern(""), TEXTS, Kind::Object(&TRY)]);
const CONDITION: Kind = Kind::Either(&[Kind::Text, Kind::Boolean]);
/// A boolean, or a template that gives one.
const SWITCH: Kind = Kind::Either(&[Kind::Boolean, Kind::Pattern("\\{\\{")]);
const CONDITION_DOC: &str =
    "When this applies: a Jinja2 expression without braces, for example `arch == \"x86_64\"`.";

/// The whole file.
pub static RECIPE: Object = Object {
    name: "recipe",
    doc: "How a container is built, and what is said about it.",
    keys: &[
        needed(
            "name",
            Kind::Pattern("^[a-z0-9][a-z0-9.-]*$"),
            "Name of the container: lower-case letters, digits, `.` and `-`. Equals the name of the folder.",
        ),
        needed(
            "version",
            Kind::Either(&[
                Kind::Pattern("^[A-Za-z0-9][A-Za-z0-9._-]*$"),
                Kind::Integer(0, i64::MAX),
                Kind::Scalar,
            ]),
            "Version of the tool. In quotes when it looks like a number: `'1.10'`.",
        ),
        needed(
            "architectures",
            Kind::FullList(&ARCHITECTURE),
            "Architectures that the container is built for: `x86_64`, `aarch64`.",
        ),
        needed("build", Kind::Object(&BUILD), "How the image is built."),
        key(
            "variants",
            Kind::Map(&Kind::Either(&[Kind::Object(&VARIANT), Kind::Null])),
            "Further containers of the same recipe, by name.",
        ),
        key(
            "options",
            Kind::Map(&Kind::Object(&OPTION)),
            "Switches of the recipe, by name; `context.options.NAME` in conditions.",
        ),
        key(
            "variables",
            Kind::Map(&Kind::Any),
            "Values for templates, evaluated top to bottom; `{{ context.NAME }}`.",
        ),
        key(
            "files",
            Kind::List(&Kind::Object(&FILE)),
            "Files that steps use through `get_file` and `copy`.",
        ),
        key(
            "deploy",
            Kind::Object(&DEPLOY),
            "Commands and folders that the container offers to its users.",
        ),
        key(
            "readme",
            Kind::Pattern(""),
            "Text of the README, a template. Without it the file `README.md` is used.",
        ),
        key("readme_url", URL, "Where the README is fetched from."),
        key(
            "structured_readme",
            Kind::Object(&README),
            "The README by its parts.",
        ),
        needed(
            "categories",
            Kind::FullList(&Kind::Choice(CATEGORIES)),
            "Topics that menus and the website list the container under.",
        ),
        key(
            "icon",
            Kind::Pattern("^\\s*data:image/[A-Za-z0-9.+-]+;base64,"),
            "Icon for menus: a square PNG image as data URI, `data:image/png;base64,…`.",
        ),
        key(
            "copyright",
            Kind::List(&Kind::Either(&[
                Kind::Object(&SPDX_LICENCE),
                Kind::Object(&CUSTOM_LICENCE),
            ])),
            "Licences of what the container holds.",
        ),
        key(
            "gui_apps",
            Kind::List(&Kind::Object(&GUI_APP)),
            "Entries for the menus of desktops.",
        ),
        key(
            "apptainer_args",
            TEXTS,
            "Arguments that whoever runs the container has to give to Apptainer.",
        ),
        key(
            "show_in_menu",
            SWITCH,
            "Whether desktops show the container in their menu.",
        ),
        key(
            "show_in_applist",
            SWITCH,
            "Whether lists of applications show the container.",
        ),
        key(
            "auto_update",
            Kind::Object(&AUTO_UPDATE),
            "Where new versions are announced.",
        ),
        key(
            "description",
            Kind::Pattern(""),
            "One paragraph about the tool.",
        ),
        key("draft", Kind::Boolean, "Whether the recipe is unfinished."),
        key(
            "epoch",
            WHOLE,
            "A counter; raising it forces a new release.",
        ),
        key(
            "tests",
            Kind::List(&Kind::Object(&TEST)),
            "Obsolete and without effect: tests stand in `fulltest.yaml`.",
        ),
    ],
    one_of: &[],
    others: None,
};

static BUILD: Object = Object {
    name: "build",
    doc: "How the image is built.",
    keys: &[
        needed(
            "kind",
            Kind::Choice(&["neurodocker"]),
            "The kind of build; there is only `neurodocker`.",
        ),
        needed(
            "base-image",
            Kind::Text,
            "Image to start from, a template. Give a tag, and best a digest: `ubuntu:24.04@sha256:…`.",
        ),
        needed(
            "pkg-manager",
            Kind::Text,
            "Package manager of the base image: `apt` or `yum`.",
        ),
        needed(
            "directives",
            Kind::List(&Kind::Object(&DIRECTIVE)),
            "What is done, in order.",
        ),
        key(
            "add-default-template",
            Kind::Boolean,
            "Whether the image gets a locale and the usual entry point. Default `true`.",
        ),
        key(
            "add-tzdata",
            Kind::Boolean,
            "Whether time zone data are installed (`apt` only). Default as `add-default-template`.",
        ),
        key(
            "fix-locale-def",
            Kind::Boolean,
            "Whether the header leaves out `localedef`, for bases that lack it. Default `false`.",
        ),
        key(
            "bootstrap",
            Kind::Pattern("^debian:[a-z][a-z0-9-]*$"),
            "How the base can be built from a distribution's archive, without a registry: `debian:SUITE`.",
        ),
    ],
    one_of: &[],
    others: None,
};

/// One step of a build.
pub static DIRECTIVE: Object = Object {
    name: "directive",
    doc: "One step of a build: exactly one action, and when it applies.",
    keys: &[
        key(
            "install",
            TEXT_OR_LIST,
            "Packages to install with the package manager: words, or a list with one package each.",
        ),
        key(
            "run",
            TEXT_OR_LIST,
            "Commands to run in one layer. A list is joined with `&&`: the first failure ends the build.",
        ),
        key(
            "workdir",
            Kind::Scalar,
            "Working directory of the steps that follow, and of the image.",
        ),
        key(
            "user",
            Kind::Scalar,
            "User of the steps that follow, and of the image; made when it does not exist.",
        ),
        key(
            "entrypoint",
            Kind::Either(&[Kind::Scalar, TEXTS]),
            "Program that the image starts, as a list of words.",
        ),
        key(
            "environment",
            Kind::Map(&Kind::Scalar),
            "Environment variables of the image. `$NAME` refers to variables that the image has.",
        ),
        key(
            "copy",
            TEXT_OR_LIST,
            "Files to copy into the image: names of declared files or paths beside `build.yaml`, the destination last.",
        ),
        key(
            "variables",
            Kind::Map(&Kind::Any),
            "Values for templates of the steps that follow.",
        ),
        key(
            "group",
            Kind::List(&Kind::Object(&DIRECTIVE)),
            "Steps that share a condition, and variables when `with` is given.",
        ),
        key(
            "include",
            Kind::Text,
            "Steps of another file, by its path below an include folder.",
        ),
        key(
            "file",
            Kind::Object(&FILE),
            "Declares one file from here on.",
        ),
        key(
            "deploy",
            Kind::Object(&DEPLOY),
            "Adds to what the container offers.",
        ),
        key(
            "template",
            Kind::Object(&TEMPLATE),
            "Installs a tool by an installation template, for example `miniconda`.",
        ),
        key(
            "boutique",
            Kind::Object(&BOUTIQUE),
            "Adds a Boutiques descriptor to the image.",
        ),
        key(
            "test",
            Kind::Object(&TEST),
            "Obsolete and without effect: tests stand in `fulltest.yaml`.",
        ),
        key("condition", CONDITION, CONDITION_DOC),
        key(
            "with",
            Kind::Map(&Kind::Any),
            "Variables of a group or an include.",
        ),
        key(
            "custom",
            Kind::Any,
            "Data of an editor, for groups; ignored.",
        ),
        key(
            "customParams",
            Kind::Any,
            "Data of an editor, for groups; ignored.",
        ),
    ],
    one_of: &[
        "install",
        "run",
        "workdir",
        "user",
        "entrypoint",
        "environment",
        "copy",
        "variables",
        "group",
        "include",
        "file",
        "deploy",
        "template",
        "boutique",
        "test",
    ],
    others: None,
};

static TRY: Object = Object {
    name: "try",
    doc: "Alternatives; the first one whose condition holds gives the value.",
    keys: &[needed(
        "try",
        Kind::List(&Kind::Object(&ALTERNATIVE)),
        "The alternatives in order.",
    )],
    one_of: &[],
    others: None,
};

static ALTERNATIVE: Object = Object {
    name: "alternative",
    doc: "A value and when it is taken.",
    keys: &[
        key("condition", CONDITION, CONDITION_DOC),
        key("value", Kind::Any, "The value."),
    ],
    one_of: &[],
    others: Some(Kind::Any),
};

static FILE: Object = Object {
    name: "file",
    doc: "A file that steps use. It has one source: `url`, `filename` or `contents`.",
    keys: &[
        needed("name", Kind::Text, "Name that `get_file` and `copy` use."),
        key(
            "filename",
            Kind::Pattern(""),
            "Path of the file beside `build.yaml`.",
        ),
        key(
            "contents",
            Kind::Pattern(""),
            "Text of the file, a template.",
        ),
        key("url", URL, "Where the file is fetched from, a template."),
        key(
            "executable",
            Kind::Boolean,
            "Whether the file is made executable.",
        ),
        key(
            "insecure",
            Kind::Boolean,
            "Whether plain `http` is accepted.",
        ),
        key("retry", WHOLE, "Further attempts of a download. Default 2."),
        key(
            "refresh",
            Kind::Boolean,
            "Whether a cached copy is checked for changes.",
        ),
        key("condition", CONDITION, CONDITION_DOC),
        key(
            "sha256",
            Kind::Pattern("^[0-9a-f]{64}$"),
            "SHA-256 digest that the file has to have, 64 hex digits.",
        ),
    ],
    one_of: &["url", "filename", "contents"],
    others: None,
};

static TEMPLATE: Object = Object {
    name: "template",
    doc: "An installation template and its parameters.",
    keys: &[needed(
        "name",
        Kind::Text,
        "Name of the installation template.",
    )],
    one_of: &[],
    others: Some(Kind::Any),
};

static BOUTIQUE: Object = Object {
    name: "boutique",
    doc: "A Boutiques descriptor; further keys are kept.",
    keys: &[
        needed("name", Kind::Any, "Name of the tool."),
        needed("description", Kind::Any, "What it does."),
        needed("tool-version", Kind::Any, "Version of the tool."),
        needed(
            "schema-version",
            Kind::Either(&[Kind::Choice(&["0.5"]), Kind::Scalar]),
            "Version of the format, `0.5`.",
        ),
        needed(
            "command-line",
            Kind::Any,
            "The command with its placeholders.",
        ),
        needed("inputs", Kind::Any, "What the placeholders stand for."),
    ],
    one_of: &[],
    others: Some(Kind::Any),
};

static VARIANT: Object = Object {
    name: "variant",
    doc: "A further container of the recipe.",
    keys: &[
        key(
            "architecture",
            ARCHITECTURE,
            "The architecture it is built for.",
        ),
        key(
            "architectures",
            Kind::FullList(&ARCHITECTURE),
            "The architectures it is built for. Default: the first of the recipe.",
        ),
        key("description", Kind::Any, "What is special about it."),
        key(
            "options",
            Kind::Map(&Kind::Boolean),
            "Values of options in this variant.",
        ),
    ],
    one_of: &[],
    others: None,
};

static OPTION: Object = Object {
    name: "option",
    doc: "A switch of the recipe.",
    keys: &[
        key("description", Kind::Any, "What it does."),
        key(
            "default",
            Kind::Boolean,
            "Its value when nobody says otherwise. Default `false`.",
        ),
        key(
            "version_suffix",
            Kind::Pattern(""),
            "Added to the version when the option is on.",
        ),
    ],
    one_of: &[],
    others: None,
};
