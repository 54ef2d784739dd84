//! The smallest text that gives a code, and the same text repaired, for the pages of codes.

use nd_report::Code;

use crate::codes;

/// What is wrong and what is right; both empty for codes whose mistake is not in the text.
pub fn example(code: Code) -> (&'static str, &'static str) {
    EXAMPLES
        .iter()
        .find(|(known, _, _)| *known == code)
        .map_or(("", ""), |(_, wrong, right)| (wrong, right))
}

const EXAMPLES: &[(Code, &str, &str)] = &[
    (codes::WRONG_TYPE, "epoch: soon\n", "epoch: 2\n"),
    (
        codes::UNKNOWN_KEY,
        "descripton: views images\n",
        "description: views images\n",
    ),
    (
        codes::MISSING_KEY,
        "gui_apps:\n  - name: tool\n",
        "gui_apps:\n  - name: tool\n    exec: tool\n",
    ),
    (codes::EMPTY_VALUE, "version: ''\n", "version: '1.0'\n"),
    (codes::INVALID_NAME, "name: my_tool\n", "name: my-tool\n"),
    (
        codes::INVALID_VERSION,
        "version: 1.0 beta\n",
        "version: 1.0-beta\n",
    ),
    (
        codes::UNKNOWN_ARCHITECTURE,
        "architectures: [amd64]\n",
        "architectures: [x86_64]\n",
    ),
    (
        codes::DUPLICATE_VARIANT,
        "architectures: [x86_64, x86_64]\n",
        "architectures: [x86_64]\n",
    ),
    (
        codes::VERSION_NUMBER,
        "version: 1.10\n",
        "version: '1.10'\n",
    ),
    (
        codes::INVALID_VARIANT,
        "variants:\n  GPU: {}\n",
        "variants:\n  gpu: {description: for graphics cards}\n",
    ),
    (
        codes::INVALID_OPTION,
        "variants:\n  gpu: {options: {cuda: true}}\n",
        "options:\n  cuda: {default: false}\nvariants:\n  gpu: {options: {cuda: true}}\n",
    ),
    (
        codes::UNKNOWN_DIRECTIVE,
        "instal: curl\n",
        "install: curl\n",
    ),
    (
        codes::SEVERAL_ACTIONS,
        "install: curl\nrun: make\n",
        "install: curl\n",
    ),
    (
        codes::INVALID_CHOICE,
        "auto_update: {method: gitlab, repo: a/b}\n",
        "auto_update: {method: github_release, repo: a/b}\n",
    ),
    (
        codes::INVALID_URL,
        "readme_url: example.org/readme\n",
        "readme_url: https://example.org/readme\n",
    ),
    (
        codes::TEMPLATE_SYNTAX,
        "run: echo {{ context.version }\n",
        "run: echo {{ context.version }}\n",
    ),
    (
        codes::CONDITION_SYNTAX,
        "run: make\ncondition: arch = \"x86_64\"\n",
        "run: make\ncondition: arch == \"x86_64\"\n",
    ),
    (
        codes::TEMPLATE_ERROR,
        "run: echo {{ context.verison }}\n",
        "run: echo {{ context.version }}\n",
    ),
    (
        codes::CONDITION_TYPE,
        "run: make\ncondition: context.parallel_jobs\n",
        "run: make\ncondition: context.parallel_jobs != 1\n",
    ),
    (
        codes::FILE_NOT_AVAILABLE,
        "run: cp {{ get_file(\"archive\") }} /opt/\n",
        "run: cp archive /opt/\n",
    ),
    (
        codes::INSTALLATION_TEMPLATE,
        "template: {name: minicnda, version: latest}\n",
        "template: {name: miniconda, version: latest}\n",
    ),
    (
        codes::INCLUDE_NOT_FOUND,
        "include: macros/none.yaml\n",
        "install: curl\n",
    ),
    (
        codes::ENVIRONMENT_VALUE,
        "environment:\n  TOOL_QUIET: null\n",
        "environment:\n  TOOL_QUIET: \"\"\n",
    ),
    (
        codes::ENVIRONMENT_NAME,
        "environment:\n  TOOL HOME: /opt/tool\n",
        "environment:\n  TOOL_HOME: /opt/tool\n",
    ),
    (codes::NOTHING_TO_RUN, "run: []\n", "run: [make]\n"),
    (codes::BAD_WORDS, "copy: tool's /opt/\n", "workdir: /opt\n"),
    (
        codes::ENTRYPOINT_WORDS,
        "entrypoint: tool --serve\n",
        "entrypoint: [tool, --serve]\n",
    ),
    (codes::COPY_ARGUMENTS, "copy: /opt/\n", "workdir: /opt\n"),
    (
        codes::PACKAGE_WORDS,
        "install: [curl unzip]\n",
        "install: [curl, unzip]\n",
    ),
    (
        codes::OBSOLETE_TEST,
        "test: {name: starts, script: tool --version}\n",
        "run: tool --version\n",
    ),
    (
        codes::DUPLICATE_FILE,
        "files:\n  - {name: a, contents: x}\n  - {name: a, contents: y}\n",
        "files:\n  - {name: a, contents: x}\n  - {name: b, contents: y}\n",
    ),
    (
        codes::FILE_SOURCE,
        "files:\n  - name: a\n",
        "files:\n  - name: a\n    contents: x\n",
    ),
    (
        codes::UNSAFE_PATH,
        "files:\n  - {name: ../a, contents: x}\n",
        "files:\n  - {name: a, contents: x}\n",
    ),
    (
        codes::SOURCE_MISSING,
        "copy: wrapper.sh /opt/\n",
        "workdir: /opt\n",
    ),
    (
        codes::FILENAME_URL,
        "files:\n  - {name: a, filename: 'https://example.org/a'}\n",
        "files:\n  - {name: a, url: 'https://example.org/a'}\n",
    ),
    (
        codes::CATEGORY,
        "categories: [structural imagin]\n",
        "categories: [structural imaging]\n",
    ),
    (codes::ICON, "icon: icon.png\n", ""),
    (
        codes::LICENCE,
        "copyright:\n  - license: GPL-3.0\n",
        "copyright:\n  - license: GPL-3.0-or-later\n",
    ),
    (
        codes::WEBAPP_ICON,
        "deploy:\n  webapp: {title: Viewer, startup_command: view, port: 80, icon: view.svg}\n",
        "deploy:\n  webapp: {title: Viewer, startup_command: view, port: 80}\n",
    ),
];
