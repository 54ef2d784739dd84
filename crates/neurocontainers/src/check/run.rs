//! All tests of a built container: the deploy check, and the suite in each runtime.

use std::{path::PathBuf, sync::Arc};

use nd_builder::{Built, LayerTree, layer_trees};
use nd_names::Sha256;
use nd_records::{TestCase, TestReport, TestStatus};
use nd_report::{Event, FileId, Sink, StepId, StepOutcome};
use nd_rootfs::{Index, Kind};
use nd_runtime::{ApptainerOptions, ApptainerRuntime, Runtime, SandboxImage, SandboxRuntime};
use nd_sif::Sif;
use nd_squashfs::{Digests, FileRange, ImageContents, Limits, Reader};
use neurocontainers_recipe::{
    Compat, LoadOptions,
    fulltest::{Suite, check_contract, parse_suite},
};

use super::{CheckError, deploy_check, suite::SuiteRun};
use crate::{
    output::{OutputError, digest_of, merged},
    pipeline::{Outputs, Planned, Prepared, Workshop},
};

/// Kind of the records that remember results.
const RECORDS: &str = "tests";
/// Version of how tests run: part of a result's key.
const VERSION: u32 = 1;
/// Test suites are units of work with numbers from here downwards.
const FIRST_UNIT: u32 = u32::MAX - 10;

/// Apptainer shows nothing of the machine, and lets commands write what goes when they end.
const CONTAINED: [&str; 5] = [
    "--containall",
    "--writable-tmpfs",
    "--net",
    "--network",
    "none",
];

/// Whether tests run although they passed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retest {
    /// Only when tree, configuration, suite or runtime is another one.
    WhenChanged,
    /// Always.
    Always,
}

/// What is tested.
#[derive(Debug, Clone, Copy)]
pub struct TestWish {
    /// Whether anything is.
    pub run: bool,
    /// Whether earlier results count.
    pub retest: Retest,
}

/// The deploy check alone, or all tests, as far as they are wanted.
pub fn run_tests(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    planned: &Planned,
    built: &Built,
    outputs: &Outputs,
    wish: &TestWish,
) -> Result<Vec<TestReport>, CheckError> {
    if !wish.run {
        return Ok(Vec::new());
    }
    let tests = Tests {
        workshop,
        prepared,
        planned,
        built,
        outputs,
        wish,
        tree: outputs.digests.full.to_string(),
        config: outputs.image.config_digest()?,
    };
    let mut reports = vec![tests.deploy()?];
    reports.extend(tests.suites()?);
    Ok(reports)
}

struct Tests<'a> {
    workshop: &'a Workshop<'a>,
    prepared: &'a Prepared,
    planned: &'a Planned,
    built: &'a Built,
    outputs: &'a Outputs,
    wish: &'a TestWish,
    tree: String,
    config: Sha256,
}

type Tree = (Index, ImageContents<FileRange>);

impl Tests<'_> {
    /// The result of an earlier run of the same on the same, or a new one, which is kept if
    /// everything passed.
    fn cached(
        &self,
        unit: u32,
        title: &str,
        suite: &Sha256,
        runtime: &str,
        run: impl FnOnce(StepId) -> Result<TestReport, CheckError>,
    ) -> Result<TestReport, CheckError> {
        let store = self.workshop.store;
        let key = digest_of(&(VERSION, &self.tree, &self.config, suite, runtime))?;
        let id = StepId(FIRST_UNIT - unit);
        if self.wish.retest == Retest::WhenChanged
            && let Some(bytes) = store.record(RECORDS, &key)?
            && let Ok(report) = serde_json::from_slice::<TestReport>(&bytes)
        {
            self.workshop.cached(id, title);
            return Ok(TestReport {
                cached: true,
                ..report
            });
        }
        let started = std::time::Instant::now();
        let reporter = self.workshop.reporter;
        reporter.event(Event::Started {
            id,
            title,
            bytes: None,
        });
        let result = run(id);
        let outcome = match &result {
            Ok(report) if report.failures() == 0 => StepOutcome::Done,
            _ => StepOutcome::Failed,
        };
        let took = started.elapsed();
        reporter.event(Event::Finished { id, outcome, took });
        let report = result?;
        if report.failures() == 0 {
            store.put_record(RECORDS, &key, &serde_json::to_vec(&report)?)?;
        } else {
            store.remove_record(RECORDS, &key)?;
        }
        Ok(report)
    }

    fn deploy(&self) -> Result<TestReport, CheckError> {
        let deploy = &self.prepared.compiled.deploy;
        let declared = !deploy.bins.is_empty() || !deploy.path.is_empty();
        let suite = digest_of(&("deploy", declared))?;
        self.cached(0, "check deployed commands", &suite, "static", |_| {
            let (index, mut contents) = self.tree()?;
            let env = self.outputs.image.state.run_env();
            let report = deploy_check(&index, &mut contents, &env, declared, &self.tree)?;
            Ok(report)
        })
    }

    /// The tree as it lies in the SIF, where single files are read quickly.
    fn tree(&self) -> Result<Tree, CheckError> {
        let path = &self.outputs.sif;
        let fail = || CheckError::io(path);
        let file = fs_err::File::open(path).map_err(fail())?.into_file();
        let sif = Sif::open(file)?;
        let part = sif.primary_partition();
        let part = part.ok_or_else(|| fail()(std::io::ErrorKind::InvalidData.into()))?;
        let (offset, size) = (part.offset, part.size);
        let range = FileRange::new(sif.into_file(), offset, size);
        let reader = Arc::new(Reader::open(range, Limits::default())?);
        let (index, contents) = reader.tree(Digests::Skip, self.workshop.cancel)?;
        // Digests are known from the layers; what only the SIF has is no part of the image.
        let (image, _) = merged(self.workshop.store, &self.built.layers)?;
        let mut entries = index.into_entries();
        entries.retain_mut(|entry| match (&mut entry.kind, image.get(&entry.path)) {
            (Kind::File { content, .. }, Some(known)) => match known.kind {
                Kind::File { content: known, .. } => {
                    *content = known;
                    true
                }
                _ => false,
            },
            (_, known) => known.is_some(),
        });
        let index = Index::from_entries(entries).map_err(OutputError::from)?;
        Ok((index, contents))
    }

    /// The suite beside the recipe, in each runtime.
    fn suites(&self) -> Result<Vec<TestReport>, CheckError> {
        let identity = &self.prepared.compiled.identity;
        let Some(path) = self.prepared.suite_path() else {
            return Ok(Vec::new());
        };
        let text = fs_err::read(&path).map_err(CheckError::io(&path))?;
        let digest = Sha256::of(&text);
        let mut sink = Sink::new();
        let text = String::from_utf8_lossy(&text);
        let suite = parse_suite(&text, FileId(0), &LoadOptions::default(), &mut sink);
        if let Some(suite) = &suite {
            check_contract(
                suite,
                &identity.base_name,
                &identity.original_version,
                Compat::Improved,
                &mut sink,
            );
        }
        let Some(suite) = suite.filter(|_| !sink.has_errors()) else {
            let mut report = TestReport::new(&identity.base_name, "static", &self.tree);
            report.cases = sink
                .diagnostics()
                .iter()
                .map(|found| bare_case(&found.code.to_string(), TestStatus::Error, &found.message))
                .collect();
            return Ok(vec![report]);
        };
        let mut reports = Vec::new();
        let title = |runtime: &str| format!("test {} in {runtime}", suite.name);
        let name = format!("sandbox ({})", self.planned.ids.name());
        reports.push(self.cached(1, &title("the sandbox"), &digest, &name, |id| {
            let trees = layer_trees(
                self.workshop.store,
                &self.built.layers,
                self.planned.ids,
                self.workshop.cancel,
                &mut |text| self.workshop.reporter.event(Event::Note { text }),
            )?;
            let state = &self.outputs.image.state;
            let image = SandboxImage {
                lowers: trees.iter().rev().map(LayerTree::path).collect(),
                env: state.run_env(),
                user: Some(state.user.clone()).filter(|user| !user.is_empty()),
                working_dir: Some(state.directory().to_owned()),
            };
            let runtime = SandboxRuntime::new(image, self.planned.ids)
                .emulated(self.planned.emulator.clone());
            self.run(&suite, &runtime, &name, id)
        })?);
        let found = match &self.planned.emulator {
            Some(_) => Err("the emulator is the sandbox's alone"),
            None => self.apptainer().ok_or("Apptainer is not installed"),
        };
        let program = match found {
            Ok(program) => program,
            Err(absent) => {
                let text = &format!("{absent}: the suite runs in the sandbox only");
                self.workshop.reporter.event(Event::Note { text });
                let mut report = TestReport::new(&suite.name, "apptainer", &self.tree);
                report.cases = suite
                    .tests
                    .iter()
                    .map(|test| bare_case(&test.name, TestStatus::Skipped, absent))
                    .collect();
                reports.push(report);
                return Ok(reports);
            }
        };
        let mut options = ApptainerOptions::for_this_process();
        options.exec.extend(CONTAINED.map(Into::into));
        let programs = self.workshop.programs.clone();
        let runtime = ApptainerRuntime::new(programs, program, &self.outputs.sif, options);
        let name = plain_version(&runtime.version()?);
        reports.push(self.cached(2, &title(&name), &digest, &name, |id| {
            self.run(&suite, &runtime, &name, id)
        })?);
        Ok(reports)
    }

    fn run(
        &self,
        suite: &Suite,
        runtime: &dyn Runtime,
        name: &str,
        id: StepId,
    ) -> Result<TestReport, CheckError> {
        let temporary = self.workshop.store.temporary();
        let work = tempfile::Builder::new()
            .prefix("test-")
            .tempdir_in(temporary)
            .map_err(CheckError::io(temporary))?;
        let run = SuiteRun {
            suite,
            runtime,
            work: work.path(),
            shell: self.shell()?,
            cancel: self.workshop.cancel,
            on_test: &|test| {
                let line = test.as_bytes();
                self.workshop.reporter.event(Event::Output { id, line });
            },
        };
        let mut report = TestReport::new(&suite.name, name, &self.tree);
        report.cases = run.run().map_err(CheckError::io(work.path()))?;
        Ok(report)
    }

    /// `bash`, or `sh` in an image without it.
    fn shell(&self) -> Result<&'static str, CheckError> {
        let (index, _) = self.tree()?;
        let path = self.outputs.image.state.run_env();
        let path = path.iter().find(|(name, _)| name == "PATH");
        let has_bash = path.is_some_and(|(_, path)| {
            path.split(':').any(|dir| {
                index
                    .resolve(format!("{dir}/bash").as_bytes(), true)
                    .is_ok()
            })
        });
        Ok(if has_bash { "bash" } else { "sh" })
    }

    /// The program of the set-up, else the one on the search path.
    fn apptainer(&self) -> Option<PathBuf> {
        let environment = self.workshop.environment;
        let named = environment.get("ND_PEERS").map(PathBuf::from);
        let peers = named.or_else(|| Some(environment.cache_dir().ok()?.join("peers")));
        let own = peers.map(|peers| peers.join("apptainer/usr/bin/apptainer"));
        own.filter(|path| path.is_file())
            .or_else(|| self.workshop.programs.find("apptainer"))
            .or_else(|| self.workshop.programs.find("singularity"))
    }
}

/// `apptainer 1.4.5` of `apptainer version 1.4.5-2`.
fn plain_version(said: &str) -> String {
    let words: Vec<&str> = said
        .split_whitespace()
        .filter(|word| *word != "version")
        .collect();
    words.join(" ")
}

fn bare_case(name: &str, status: TestStatus, message: &str) -> TestCase {
    TestCase {
        name: name.to_owned(),
        status,
        message: message.to_owned(),
        seconds: 0.0,
        stdout: String::new(),
        stderr: String::new(),
    }
}
