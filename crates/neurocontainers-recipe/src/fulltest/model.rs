//! What a suite consists of.

use indexmap::IndexMap;
use nd_report::Span;

/// All tests of one container.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Name of the suite, which is the recipe's.
    pub name: String,
    /// Where the name stands, if it was written.
    pub name_span: Option<Span>,
    /// Version that is tested, before expansion; may name variables.
    pub version: Option<String>,
    /// Where the version stands, if it was written.
    pub version_span: Option<Span>,
    /// An image to test in place of what the recipe builds.
    pub container: Option<String>,
    /// Whether `container` is meant even if the recipe has another version.
    pub pin_container: bool,
    /// Public files that tests read.
    pub required_files: Vec<RequiredFiles>,
    /// Paths by variable name, `output_dir` among them.
    pub test_data: IndexMap<String, String>,
    /// Environment of every test.
    pub env: IndexMap<String, String>,
    /// Shell text before every test's command.
    pub env_setup: Option<String>,
    /// Seconds that a test may take unless it says otherwise.
    pub default_timeout: u64,
    /// What runs script tests; the script itself when absent.
    pub script_runner: Option<String>,
    /// Extension of the files that script tests are written to.
    pub script_ext: String,
    /// Shell text that runs once in the container, before the tests.
    pub setup_script: Option<String>,
    /// Shell text that upstream runs once on the host, before the tests.
    pub host_script: Option<String>,
    /// Shell text that runs once after the tests.
    pub cleanup_script: Option<String>,
    /// Further top-level scalars, which texts name as `${key}`.
    pub variables: IndexMap<String, String>,
    /// Tests in order.
    pub tests: Vec<Test>,
}

/// Files of a public dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredFiles {
    /// The dataset, such as `ds000001`.
    pub dataset: String,
    /// Paths below it.
    pub files: Vec<String>,
}

/// One test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Its name, unique in the suite.
    pub name: String,
    /// What it tests, for people.
    pub description: Option<String>,
    /// What is run; `None` is a failure of its own.
    pub body: Option<TestBody>,
    /// Shell text before the command, in place of the suite's `env` and `env_setup`.
    pub env_setup: Option<String>,
    /// Seconds it may take; the suite's when absent.
    pub timeout: Option<u64>,
    /// How it has to end.
    pub exit: ExpectedExit,
    /// Texts that have to occur in standard output followed by standard error.
    pub expected_output: Vec<String>,
    /// What has to hold afterwards.
    pub checks: Vec<Check>,
    /// Names of earlier tests that have to pass first.
    pub depends_on: Vec<String>,
    /// Where it stands.
    pub span: Span,
    /// Its line, from 1.
    pub line: u32,
}

/// What a test runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestBody {
    /// Shell text for bash.
    Command(String),
    /// Text that is written to a file and run.
    Script(String),
}

impl TestBody {
    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Command(text) | Self::Script(text) => text,
        }
    }
}

/// How a test has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedExit {
    /// With this status.
    Code(i64),
    /// With any status but this one.
    Not(i64),
    /// With any status.
    Any,
}

/// What has to hold after a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The path exists.
    OutputExists(String),
    /// Both files are NIfTI images of the same shape.
    SameDimensions(String, String),
    /// The file is a NIfTI image of three dimensions.
    Is3d(String),
    /// The folder has something in it.
    OutputDirNotEmpty(String),
}

impl Check {
    /// Keys of all checks.
    pub const KEYS: [&'static str; 4] = [
        "output_exists",
        "same_dimensions",
        "is_3d",
        "output_dir_not_empty",
    ];
}

impl Suite {
    /// Seconds that a test may take.
    pub fn timeout(&self, test: &Test) -> u64 {
        test.timeout.unwrap_or(self.default_timeout)
    }

    /// The test of this name.
    pub fn test(&self, name: &str) -> Option<&Test> {
        self.tests.iter().find(|test| test.name == name)
    }
}
