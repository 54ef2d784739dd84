//! Codes of all diagnostics about recipes and their tests, with the text of their pages.

use nd_report::Code;

/// A diagnostic's identity and what its page says.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Number and name.
    pub code: Code,
    /// What is wrong, one line.
    pub summary: &'static str,
    /// Why it matters and what to do.
    pub explanation: &'static str,
}

/// Declares constants for codes and the table of all of them.
macro_rules! rules {
    ($($constant:ident = $number:literal $name:literal: $summary:literal, $explanation:literal;)*) => {
        $(
            #[doc = $summary]
            pub const $constant: Code = Code { number: $number, name: $name };
        )*

        /// All rules, by number.
        pub const RULES: &[Rule] = &[
            $(Rule { code: $constant, summary: $summary, explanation: $explanation },)*
        ];
    };
}

rules! {
    UNREADABLE = 100 "file-unreadable": "a file of the recipe cannot be read",
        "The file is absent, larger than the limit, or the system refused to read it. A recipe needs \
         `build.yaml`; everything else it names has to lie in its folder.";
    WRONG_TYPE = 101 "wrong-type": "a value has another type than its key needs",
        "Each key of a recipe takes one type of value: text, a list, a mapping, a boolean. Upstream \
         converts or ignores other types without a word, and a quoted `\"no\"` counts as true there; \
         here the recipe is refused, so that it means what it says.";
    UNKNOWN_KEY = 102 "unknown-key": "a key is not part of the recipe format",
        "Keys outside the format have no effect, and a misspelt key means that the intended one is \
         missing. The message names the nearest valid key and the hint lists all of them.";
    MISSING_KEY = 103 "missing-key": "a required key is missing",
        "The mapping cannot be understood without this key.";
    EMPTY_VALUE = 104 "empty-value": "a value is empty where something has to stand",
        "The key is there, but its value is empty, blank or null.";
    INVALID_NAME = 105 "invalid-name": "the name of a recipe cannot be a container's name",
        "A recipe's name becomes part of image names, file names, module names and the path of the \
         release record. It may hold lower-case letters, digits, `.` and `-`, and starts with a letter \
         or digit. `_` separates the variant from the name and is not allowed.";
    INVALID_VERSION = 106 "invalid-version": "a version cannot be part of a container's name",
        "Versions become part of image names, file names and the path of the release record. They may \
         hold letters, digits, `.`, `_` and `-`. Registries write names in lower case, so upper case in \
         a version is reported, too.";
    FOLDER_NAME = 107 "folder-name": "the recipe's name differs from its folder's name",
        "Tools find a recipe by its folder and its releases by its name; both have to be equal.";
    UNKNOWN_ARCHITECTURE = 108 "unknown-architecture": "an architecture is not one that containers are built for",
        "Recipes list `x86_64`, `aarch64` or both, in this spelling. Other spellings such as `amd64` \
         and `arm64` are understood on the command line only.";
    DUPLICATE_VARIANT = 109 "duplicate-variant": "two concrete containers of a recipe have the same name",
        "Each architecture may be listed once, and a variant's name together with the suffix `arm64` \
         must not equal another variant's.";
    VERSION_NUMBER = 110 "version-number": "an unquoted version is a number to other readers",
        "YAML reads `1.10` without quotes as the number 1.1, and upstream builds version `1.1` then. \
         Here the text as written is kept. Quotes make all readers agree.";
    INVALID_VARIANT = 111 "invalid-variant": "a variant is not declared as it has to be",
        "A variant's name starts with a lower-case letter or digit, continues with these, `_` and `-`, \
         and is neither `arm64` nor ends in `_arm64`, which the architecture adds by itself. It lists \
         architectures that the recipe lists, and presets of options that the recipe declares.";
    INVALID_OPTION = 112 "invalid-option": "an option is unknown or has no boolean value",
        "Options are declared under `options` and are on or off. On the command line a value is one of \
         `1`, `true`, `yes`, `y`, `on`, `0`, `false`, `no`, `n`, `off`.";
    UNKNOWN_DIRECTIVE = 113 "unknown-directive": "an entry of a directive list has no known action",
        "Each entry of `directives` is a mapping with exactly one key that names what is done, such as \
         `run` or `install`, and optionally `condition`.";
    SEVERAL_ACTIONS = 114 "several-actions": "a directive has more than one action",
        "Only one of them would be carried out. Write one entry for each.";
    INVALID_CHOICE = 115 "invalid-choice": "a value is not one of those that its key allows",
        "The message lists what is allowed.";
    INVALID_URL = 116 "invalid-url": "a URL does not start with `http://` or `https://`",
        "Files, READMEs and licences are fetched over HTTP. A template may stand at the start of the \
         URL.";
    UNKNOWN_TARGET = 117 "unknown-target": "the recipe has no such container",
        "The combination of variant and architecture that was asked for is not declared. The hint \
         lists what is.";
    BAD_BOOTSTRAP = 118 "bad-bootstrap": "a bootstrap base is not of the form `debian:SUITE`",
        "`bootstrap` says how the base can be built from a distribution's archive, without a registry. \
         Debian and the name of one of its suites are understood.";

    TEMPLATE_SYNTAX = 200 "template-syntax": "a template cannot be parsed",
        "Text of a recipe is a Jinja2 template: `{{`, `{%` and `{#` begin expressions, statements and \
         comments. Shell text that needs these characters stands between `{% raw %}` and \
         `{% endraw %}`.";
    CONDITION_SYNTAX = 201 "condition-syntax": "a condition cannot be parsed",
        "A condition is one Jinja2 expression without `{{` and `}}`, for example \
         `arch == \"x86_64\"`.";
    TEMPLATE_ERROR = 202 "template-error": "a template cannot be rendered",
        "The template is well formed, but something it names does not exist or does not fit. Undefined \
         names are errors everywhere but in `default` and `is defined`.";
    CONDITION_TYPE = 203 "condition-type": "a condition is not a boolean",
        "A condition holds only when it gives `true`. Other values, even those that Python would count \
         as true, do not hold. Compare explicitly, for example `jobs != 0`.";
    NO_TRY_MATCHED = 204 "no-try-matched": "no alternative of a `try` holds",
        "The alternatives of a `try` are tried in order and none has a condition that holds. An \
         alternative without condition always holds.";
    SHADOWED_NAME = 205 "shadowed-name": "a variable hides a name that templates always have",
        "The variable replaces `arch`, `get_file` or another built-in name for everything after it. The \
         built-in stays reachable as `context.arch`.";
    RENDERED_TYPE = 206 "rendered-type": "a value has the wrong type after rendering",
        "Templates give text; lists and mappings stay what they are. The directive needs something \
         else.";
    FILE_NOT_AVAILABLE = 207 "file-not-available": "a declared file does not exist at this point",
        "`get_file` was asked for a name that is not declared, is declared further down, or whose \
         condition does not hold for this container.";
    GET_FILE_PLACE = 208 "get-file-outside-run": "`get_file` is used where no file is mounted",
        "Declared files are mounted while a `run` directive runs, and only for those that this \
         directive names itself. Elsewhere the path it gives never exists in the image. `copy` takes \
         the name of a declared file instead.";
    LOCAL_CONTEXT = 209 "local-context": "a local context is not available",
        "`get_local` needs a folder that is given to the build with `--local KEY=PATH`. Guard the \
         directive with the condition `has_local(\"KEY\")`.";
    INSTALLATION_TEMPLATE = 210 "installation-template": "an installation template cannot be applied",
        "The template or its method is unknown, an argument is missing or unknown, or the version is \
         not one it knows how to fetch.";
    INCLUDE_NOT_FOUND = 211 "include-not-found": "an included file is not there, or is no list of directives",
        "`include` names a file below an include folder, which holds a mapping with `directives`.";
    INCLUDE_DEPTH = 212 "include-depth": "includes are nested too deeply, or in a circle",
        "A file that includes itself, directly or through others, would never end.";
    ENVIRONMENT_VALUE = 213 "environment-value": "an environment variable has no text as value",
        "Null becomes the text `None` upstream, and booleans get Python's spelling. Write the text \
         that the variable is to have.";
    NOTHING_TO_RUN = 214 "nothing-to-run": "a directive has nothing to do",
        "The list is empty, or all its entries are. No instruction is made for it.";
    BAD_WORDS = 215 "bad-words": "text cannot be split into words",
        "A quote is not closed, or nothing follows a backslash.";
    ENTRYPOINT_WORDS = 216 "entrypoint-words": "an entry point with arguments is one string",
        "Upstream takes the whole string as the name of one program. Here it is split into words as a \
         shell does. A list says the same without doubt.";
    COPY_ARGUMENTS = 217 "copy-arguments": "a copy needs a source and a destination",
        "The last word is the destination, all before it are sources.";
    PACKAGE_MANAGER = 218 "package-manager": "packages cannot be installed with this package manager",
        "Packages are installed with `apt` or `yum`; `rpm` and `dnf` mean `yum`. Recipes that install \
         none may name another one.";
    NO_BASE_IMAGE = 219 "no-base-image": "the base image is empty after rendering, or no reference",
        "Every image starts from a base, which has a name without blanks.";
    PACKAGE_WORDS = 220 "package-words": "an entry of an install list holds several words",
        "The entries of a list are not split; an entry with several packages is sorted as one word. \
         Write one package in each entry.";
    OBSOLETE_TEST = 221 "obsolete-test": "a test of a form that nothing reads",
        "Tests stand in `fulltest.yaml`. `tests` in `build.yaml` and the directive `test` have no \
         effect.";
    LIMIT = 222 "recipe-limit": "a recipe grows beyond all bounds when rendered",
        "Rendered text, instructions and files are limited, so that a recipe cannot exhaust the machine \
         that only reads it.";
    ENVIRONMENT_NAME = 223 "environment-name": "the name of an environment variable is none",
        "A name with `=`, blanks or line breaks ends elsewhere than meant, or breaks the file that it \
         is written to. Shells know only names of letters, digits and `_` that begin with no digit; \
         other variables cannot be used in commands.";

    DUPLICATE_FILE = 300 "duplicate-file": "a file is declared twice",
        "Two declarations with the same name exist for this container. Conditions that exclude each \
         other make it possible to declare alternatives.";
    FILE_SOURCE = 301 "file-source": "a file needs exactly one source",
        "A declared file has one of `url`, `filename` and `contents`.";
    UNSAFE_PATH = 302 "unsafe-path": "a path leaves its folder",
        "Names of files are relative and stay below their folder: no absolute paths, no `.`, `..` or \
         empty parts, no control characters.";
    SOURCE_MISSING = 303 "source-missing": "a file that a recipe uses is not in its folder",
        "Upstream ignores it until the image build fails.";
    FILENAME_URL = 304 "filename-url": "a file name is a URL",
        "`filename` names a file in the recipe's folder. What is fetched is given by `url`.";
    DEPLOY_HIDDEN = 305 "deploy-hidden": "top-level `deploy` entries are replaced by a directive's",
        "As soon as one `deploy` directive gives `bins`, all top-level `bins` are dropped, and the same \
         for `path`. Repeat the entries in the directive, or keep them all in one place.";
    NO_README = 306 "no-readme": "the container has no README",
        "Give `readme`, a file `README.md`, `structured_readme` or `readme_url`, with something left \
         after rendering.";
    README_URL = 307 "readme-url": "the README cannot be had from its URL",
        "The text behind `readme_url` is downloaded when a container is rendered or built, and kept. \
         Checking a recipe does not use the network.";
    DOWNLOAD = 308 "download": "a file cannot be had from its URL",
        "Files with `url` are downloaded when a container is built, kept by their digest, and compared \
         with `sha256` where the recipe gives it. The message names each server that was asked and its \
         answer. Without a network, only what was downloaded before can be used.";

    CATEGORY = 400 "category": "a category is not in the list",
        "Containers are listed by topic in menus and on the website, which know these categories only.";
    ICON = 401 "icon": "the icon is missing or cannot be shown",
        "The icon is a data URI with base64 data: `data:image/png;base64,…`. Menus need it.";
    LICENCE = 402 "licence": "a licence is not an SPDX expression, or uses an outdated identifier",
        "`license` takes an SPDX expression such as `MIT OR Apache-2.0`, or a reference of the form \
         `LicenseRef-…`. A licence without identifier is given by `name`.";
    WEBAPP_ICON = 403 "webapp-icon": "the picture of a web application is not in the recipe's folder",
        "`icon` of a `webapp` names an SVG file beside `build.yaml`. Lists of web applications leave out a \
         picture that is not there.";
    RELEASE_RECORD = 404 "release-record": "the release record of this version says something else",
        "`releases/NAME/VERSION.json` says what was published: topics, desktop entries, visibility. When \
         the recipe says something else, lists show the old state until the record is made anew.";

    TEST_NAME = 600 "fulltest-name": "a test suite names another recipe",
        "`name` in `fulltest.yaml` has to equal the recipe's name.";
    TEST_VERSION = 601 "fulltest-version": "a test suite tests another version",
        "`version` in `fulltest.yaml`, with its variables replaced, has to equal the recipe's version. \
         Update both files in the same change.";
    UNKNOWN_CHECK = 602 "fulltest-unknown-check": "a validation is not one that can be made",
        "Upstream lets unknown checks pass in silence.";
    DANGLING_DEPENDENCY = 603 "fulltest-dangling-dependency": "a test depends on one that does not come before it",
        "A dependency names an earlier test of the same suite. Other names never hold a test back.";
    DUPLICATE_TEST = 604 "fulltest-duplicate-test": "two tests have the same name",
        "Tests are told apart by their names: in reports, when repeated, and in `depends_on`.";
    NO_TESTS = 605 "fulltest-no-tests": "a test suite has no tests",
        "A suite without tests passes without saying anything about the container.";
    NO_ASSERTION = 606 "fulltest-no-assertion": "a test accepts whatever happens",
        "The exit code is ignored and neither output nor files are looked at.";
    UNSAFE_OUTPUT = 607 "fulltest-unsafe-output": "an output folder leaves the work folder",
        "The output folder is emptied before a run, so it stays below the work folder.";
    NO_COMMAND = 608 "fulltest-no-command": "a test has nothing to run",
        "Each test has a `command` or a `script`.";
    UNEXPANDED_VARIABLE = 609 "fulltest-unexpanded-variable": "a variable of a test suite is not declared",
        "`${name}` in a version or path refers to a top-level scalar of the suite or to an entry of \
         `test_data`.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_in_order() {
        let numbers: Vec<u16> = RULES.iter().map(|rule| rule.code.number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.code.name).collect();
        assert_eq!(names.len(), RULES.len());
        for rule in RULES {
            assert!(
                !rule.summary.ends_with('.') && rule.explanation.ends_with('.'),
                "{}",
                rule.code
            );
        }
    }
}
