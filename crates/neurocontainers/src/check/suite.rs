//! Running a suite of `fulltest.yaml` in a container.
//!
//! Every command runs under the image's bash in a fresh, contained copy of the image; only the work
//! folder is shared between tests and with us, and it is read back without following links out.

use std::{
    fmt::Write as _,
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use nd_host::RootDir;
use nd_records::{TestCase, TestStatus};
use nd_report::Cancel;
use nd_runtime::{RunOutput, Runtime, RuntimeError};
use neurocontainers_recipe::{
    Compat,
    fulltest::{Check, ExpectedExit, Places, Suite, Test, TestBody},
};

use super::{
    exec::{WORK, exec},
    nifti,
};

/// As much of a stream as a report keeps.
const KEPT: usize = 8_000;
const HEALTH_LIMIT: Duration = Duration::from_secs(30);
const SETUP_LIMIT: Duration = Duration::from_secs(120);

/// A suite and where it runs.
pub(crate) struct SuiteRun<'a> {
    /// The suite as written.
    pub(crate) suite: &'a Suite,
    /// What runs commands.
    pub(crate) runtime: &'a dyn Runtime,
    /// The work folder on this machine, empty.
    pub(crate) work: &'a Path,
    /// The image's shell: `bash`, or `sh` where there is no bash.
    pub(crate) shell: &'a str,
    /// The caller's wish to stop.
    pub(crate) cancel: &'a Cancel,
    /// Hears the name of each test before it runs.
    pub(crate) on_test: &'a dyn Fn(&str),
}

impl SuiteRun<'_> {
    /// Runs everything; one case per test, and one per part around them that failed.
    pub(crate) fn run(&self) -> io::Result<Vec<TestCase>> {
        let suite = self.suite.expand(&Places {
            work: WORK,
            compat: Compat::Improved,
        });
        let mut cases = Vec::new();
        if let Some(reason) = cannot_run(&suite) {
            cases.extend(suite.tests.iter().map(|test| skipped(test, &reason)));
            return Ok(cases);
        }
        let open = std::fs::Permissions::from_mode(0o777);
        fs_err::set_permissions(self.work, open.clone())?;
        if let Some(output) = self.output_folder() {
            let path = self.work.join(output);
            fs_err::create_dir_all(&path)?;
            fs_err::set_permissions(path, open)?;
        }
        if let Some(problem) = self.prepare(&suite)? {
            let reason = format!("{} failed", problem.name.to_lowercase());
            cases.push(problem);
            cases.extend(suite.tests.iter().map(|test| skipped(test, &reason)));
            return Ok(cases);
        }
        let mut failed: Vec<&str> = Vec::new();
        for (number, test) in suite.tests.iter().enumerate() {
            let behind: Vec<&str> = test
                .depends_on
                .iter()
                .map(String::as_str)
                .filter(|name| failed.contains(name))
                .collect();
            let case = if behind.is_empty() {
                (self.on_test)(&test.name);
                self.test(&suite, test, number)?
            } else {
                skipped(
                    test,
                    &format!("depends on failed test(s): {}", behind.join(", ")),
                )
            };
            if case.status != TestStatus::Passed {
                failed.push(&test.name);
            }
            cases.push(case);
        }
        if let Some(script) = &suite.cleanup_script {
            // What it leaves undone goes with the work folder.
            let _ = self.shell(".cleanup.sh", script, SETUP_LIMIT)?;
        }
        Ok(cases)
    }

    /// `output_dir` as a path below the work folder.
    fn output_folder(&self) -> Option<String> {
        let suite = self.suite;
        let named = suite.test_data.get("output_dir");
        let path = named.or_else(|| suite.variables.get("output_dir"))?;
        let path = path.trim_end_matches('/');
        neurocontainers_recipe::is_confined(path).then(|| path.to_owned())
    }

    /// Health check and set-up; what failed.
    fn prepare(&self, suite: &Suite) -> io::Result<Option<TestCase>> {
        let started = Instant::now();
        let health = exec(
            self.runtime,
            &["true"],
            self.work,
            HEALTH_LIMIT,
            self.cancel,
        );
        if let Some(case) = problem("Container health check", health, started) {
            return Ok(Some(case));
        }
        let Some(script) = &suite.setup_script else {
            return Ok(None);
        };
        let started = Instant::now();
        let ran = self.shell(".setup.sh", script, SETUP_LIMIT)?;
        Ok(problem("Setup", ran, started))
    }

    /// Writes shell text into the work folder and runs it.
    fn shell(
        &self,
        name: &str,
        text: &str,
        limit: Duration,
    ) -> io::Result<Result<RunOutput, RuntimeError>> {
        let host = self.work.join(name);
        let text = format!("#!/usr/bin/env bash\n{text}\n");
        write(&host, &text, 0o755)?;
        let inside = format!("{WORK}/{name}");
        let ran = exec(
            self.runtime,
            &[self.shell, &inside],
            self.work,
            limit,
            self.cancel,
        );
        let _ = fs_err::remove_file(host);
        Ok(ran)
    }

    fn test(&self, suite: &Suite, test: &Test, number: usize) -> io::Result<TestCase> {
        let started = Instant::now();
        let command = match &test.body {
            None => {
                let message = "No command or script specified".to_owned();
                return Ok(case(test, TestStatus::Failed, message, started, None));
            }
            Some(TestBody::Command(text)) => text.clone(),
            Some(TestBody::Script(text)) => {
                let name = format!(".test_script_{number}{}", suite.script_ext);
                write(&self.work.join(&name), text, 0o755)?;
                let file = format!("{WORK}/{name}");
                match &suite.script_runner {
                    Some(runner) => format!("{runner} {file}"),
                    None => file,
                }
            }
        };
        let text = format!("{}{command}", environment(suite, test));
        let seconds = suite.timeout(test);
        let limit = Duration::from_secs(seconds);
        let ran = match self.shell(&format!(".test_{number}.sh"), &text, limit)? {
            Ok(ran) => ran,
            Err(error) => {
                let message = format!("Error: {error}");
                return Ok(case(test, TestStatus::Error, message, started, None));
            }
        };
        if ran.timed_out {
            let message = format!("Timeout after {seconds}s");
            return Ok(case(
                test,
                TestStatus::Timeout,
                message,
                started,
                Some(&ran),
            ));
        }
        let verdict = self.judge(test, &ran);
        let (status, message) = match verdict {
            None => (TestStatus::Passed, "OK".to_owned()),
            Some(message) => (TestStatus::Failed, message),
        };
        Ok(case(test, status, message, started, Some(&ran)))
    }

    /// The first thing that is not as expected: status, then output, then files.
    fn judge(&self, test: &Test, ran: &RunOutput) -> Option<String> {
        match test.exit {
            ExpectedExit::Code(wanted) if i64::from(ran.status) != wanted => {
                return Some(format!("Expected exit code {wanted}, got {}", ran.status));
            }
            ExpectedExit::Not(unwanted) if i64::from(ran.status) == unwanted => {
                return Some(format!("Exit code should not be {unwanted}"));
            }
            _ => {}
        }
        let output = [&ran.stdout[..], &ran.stderr[..]].concat();
        let output = String::from_utf8_lossy(&output);
        for wanted in &test.expected_output {
            if !wanted.is_empty() && !output.contains(wanted.as_str()) {
                let start: String = wanted.chars().take(50).collect();
                return Some(format!("Expected output not found: '{start}...'"));
            }
        }
        let root = match RootDir::open(self.work) {
            Ok(root) => root,
            Err(error) => return Some(format!("Error: {error}")),
        };
        test.checks.iter().find_map(|check| verify(&root, check))
    }
}

/// What a check finds wrong.
fn verify(root: &RootDir, check: &Check) -> Option<String> {
    let shape = |path: &str| -> Result<Vec<i64>, String> {
        let below = below_work(path).ok_or_else(|| format!("Output file not found: {path}"))?;
        let file = root.file(below.as_bytes());
        let file = file.map_err(|_| format!("Output file not found: {path}"))?;
        nifti::shape(file, path).map_err(|error| format!("Error comparing dimensions: {error}"))
    };
    match check {
        Check::OutputExists(path) => {
            let there = below_work(path)
                .is_some_and(|below| root.node(below.as_bytes(), true).is_ok_and(|n| n.is_some()));
            (!there).then(|| format!("Output file not found: {path}"))
        }
        Check::SameDimensions(one, other) => match (shape(one), shape(other)) {
            (Err(problem), _) | (_, Err(problem)) => Some(problem),
            (Ok(one), Ok(other)) => {
                (one != other).then(|| format!("Dimension mismatch: {one:?} vs {other:?}"))
            }
        },
        Check::Is3d(path) => match shape(path) {
            Err(problem) => Some(problem),
            // Trailing axes of length 1 hold no further volumes.
            Ok(shape) => {
                let volumes: i64 = shape.iter().skip(3).product();
                let is = shape.len() >= 3 && volumes == 1;
                (!is).then(|| format!("Not a three-dimensional image: {shape:?}"))
            }
        },
        Check::OutputDirNotEmpty(path) => {
            let names = below_work(path).map(|below| root.names(below.as_bytes()));
            let filled = matches!(names, Some(Ok(names)) if !names.is_empty());
            (!filled).then(|| format!("Output folder is empty: {path}"))
        }
    }
}

/// A path as tests see it, below the work folder: absolute ones below its place inside, others
/// relative to it.
fn below_work(path: &str) -> Option<String> {
    let below = match path.strip_prefix('/') {
        None => path,
        Some(_) => path.strip_prefix(WORK)?.strip_prefix('/').unwrap_or("."),
    };
    Some(if below.is_empty() {
        ".".into()
    } else {
        below.to_owned()
    })
}

/// Why nothing of a suite can run.
fn cannot_run(suite: &Suite) -> Option<String> {
    if let Some(required) = suite.required_files.first() {
        return Some(format!(
            "files of the dataset `{}` are not at hand",
            required.dataset
        ));
    }
    suite.host_script.as_ref().map(|_| {
        "the suite wants to run text outside of the container, which is not done".to_owned()
    })
}

/// Shell text before a test's command.
fn environment(suite: &Suite, test: &Test) -> String {
    if let Some(text) = &test.env_setup {
        return format!("{text}\n");
    }
    let mut out = String::new();
    for (name, value) in &suite.env {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(out, "export {name}=\"{value}\"");
    }
    if let Some(text) = &suite.env_setup {
        out.push_str(text);
        out.push('\n');
    }
    out
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    fs_err::write(path, text)?;
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

fn skipped(test: &Test, reason: &str) -> TestCase {
    let message = reason.to_owned();
    case(test, TestStatus::Skipped, message, Instant::now(), None)
}

fn case(
    test: &Test,
    status: TestStatus,
    message: String,
    started: Instant,
    ran: Option<&RunOutput>,
) -> TestCase {
    TestCase {
        name: test.name.clone(),
        status,
        message,
        seconds: started.elapsed().as_secs_f64(),
        stdout: ran.map_or_else(String::new, |ran| end_of(&ran.stdout)),
        stderr: ran.map_or_else(String::new, |ran| end_of(&ran.stderr)),
    }
}

/// A case for a part around the tests, if it did not succeed.
fn problem(name: &str, ran: Result<RunOutput, RuntimeError>, started: Instant) -> Option<TestCase> {
    let (status, message, ran) = match ran {
        Ok(ran) if ran.timed_out => (TestStatus::Timeout, "Timeout".to_owned(), Some(ran)),
        Ok(ran) if ran.status == 0 => return None,
        Ok(ran) => (
            TestStatus::Failed,
            format!("Exit code {}", ran.status),
            Some(ran),
        ),
        Err(error) => (TestStatus::Error, format!("Error: {error}"), None),
    };
    Some(TestCase {
        name: name.to_owned(),
        status,
        message,
        seconds: started.elapsed().as_secs_f64(),
        stdout: ran
            .as_ref()
            .map_or_else(String::new, |ran| end_of(&ran.stdout)),
        stderr: ran
            .as_ref()
            .map_or_else(String::new, |ran| end_of(&ran.stderr)),
    })
}

fn end_of(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(KEPT);
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}
