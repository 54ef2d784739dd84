//! `fulltest.yaml`.

use super::{Kind, Object, key, needed};

const TEXT_OR_TEXTS: Kind = Kind::Either(&[Kind::Scalar, Kind::List(&Kind::Scalar)]);
const SECONDS: Kind = Kind::Integer(1, i64::MAX);
const SHELL: Kind = Kind::Pattern("");

/// The whole file.
pub static SUITE: Object = Object {
    name: "suite",
    doc: "Tests of a container. Further scalars at the top are variables, `${NAME}`.",
    keys: &[
        needed("name", Kind::Scalar, "Name of the recipe."),
        needed(
            "version",
            Kind::Scalar,
            "Version that is tested, equal to the recipe's; may refer to variables.",
        ),
        key(
            "container",
            Kind::Pattern(""),
            "Name of a container file; an older form.",
        ),
        key(
            "pin_container",
            Kind::Boolean,
            "Whether exactly the file in `container` is tested.",
        ),
        key(
            "required_files",
            Kind::List(&Kind::Object(&DATASET)),
            "Public files that tests need.",
        ),
        key(
            "test_data",
            Kind::Map(&Kind::Scalar),
            "Paths by name, for `${NAME}`. `output_dir` is emptied before a run.",
        ),
        key(
            "env",
            Kind::Map(&Kind::Scalar),
            "Variables that every test gets.",
        ),
        key(
            "env_setup",
            SHELL,
            "Shell text before the command of every test.",
        ),
        key(
            "default_timeout",
            SECONDS,
            "Seconds that a test may take. Default 120.",
        ),
        key(
            "script_runner",
            Kind::Pattern(""),
            "Program that runs `script` tests.",
        ),
        key(
            "script_ext",
            Kind::Pattern(""),
            "Extension of files of `script` tests. Default `.sh`.",
        ),
        key(
            "matlab_runtime",
            Kind::Object(&MATLAB),
            "Program and runtime for MATLAB scripts.",
        ),
        key(
            "setup",
            Kind::Object(&SETUP),
            "What is done before the tests.",
        ),
        key(
            "cleanup",
            Kind::Object(&CLEANUP),
            "What is done after the tests.",
        ),
        needed(
            "tests",
            Kind::FullList(&Kind::Object(&TEST)),
            "The tests, in order.",
        ),
    ],
    one_of: &[],
    others: Some(Kind::Any),
};

static DATASET: Object = Object {
    name: "dataset",
    doc: "Files of a public dataset.",
    keys: &[
        needed(
            "dataset",
            Kind::Text,
            "Number of the dataset on OpenNeuro, `ds000001`.",
        ),
        needed(
            "files",
            Kind::List(&Kind::Text),
            "Paths of the files in the dataset.",
        ),
    ],
    one_of: &[],
    others: None,
};

static MATLAB: Object = Object {
    name: "matlab_runtime",
    doc: "How MATLAB scripts run.",
    keys: &[
        needed("runner", Kind::Text, "The program."),
        needed("path", Kind::Text, "Folder of the runtime."),
    ],
    one_of: &[],
    others: None,
};

static SETUP: Object = Object {
    name: "setup",
    doc: "What is done before the tests.",
    keys: &[
        key("script", SHELL, "Shell text that runs in the container."),
        key(
            "host_script",
            SHELL,
            "Shell text that runs on the machine that tests.",
        ),
    ],
    one_of: &[],
    others: None,
};

static CLEANUP: Object = Object {
    name: "cleanup",
    doc: "What is done after the tests.",
    keys: &[key(
        "script",
        SHELL,
        "Shell text that runs on the machine that tests.",
    )],
    one_of: &[],
    others: None,
};

static TEST: Object = Object {
    name: "test",
    doc: "One test: a command, and what is expected of it.",
    keys: &[
        needed("name", Kind::Text, "Its name, unique in the suite."),
        key("description", Kind::Pattern(""), "What it is for; ignored."),
        key("command", SHELL, "Shell text that runs in the container."),
        key("script", SHELL, "Text that is saved to a file and run."),
        key(
            "env_setup",
            SHELL,
            "Shell text before the command, in place of the suite's.",
        ),
        key("timeout", SECONDS, "Seconds that the test may take."),
        key(
            "expected_exit_code",
            Kind::Integer(0, 255),
            "Exit code that is expected. Default 0.",
        ),
        key(
            "expected_exit_code_not",
            Kind::Integer(0, 255),
            "Exit code that must not come.",
        ),
        key(
            "ignore_exit_code",
            Kind::Boolean,
            "Whether every exit code is fine.",
        ),
        key(
            "expected_output_contains",
            TEXT_OR_TEXTS,
            "Text that the output has to contain.",
        ),
        key(
            "validate",
            Kind::List(&Kind::Object(&CHECK)),
            "Files that the test has to make.",
        ),
        key(
            "depends_on",
            TEXT_OR_TEXTS,
            "Names of earlier tests that have to pass first.",
        ),
        key(
            "strict",
            Kind::Boolean,
            "Whether the command runs with `set -euo pipefail`.",
        ),
    ],
    one_of: &[],
    others: None,
};

static CHECK: Object = Object {
    name: "check",
    doc: "One condition on files.",
    keys: &[
        key("output_exists", Kind::Text, "Path that has to exist."),
        key(
            "same_dimensions",
            Kind::List(&Kind::Text),
            "Two NIfTI images of equal shape.",
        ),
        key("is_3d", Kind::Text, "A NIfTI image of three dimensions."),
        key(
            "output_dir_not_empty",
            Kind::Text,
            "A folder that has to hold something.",
        ),
    ],
    one_of: &[],
    others: None,
};
