//! What is said at the end, and kept beside the outputs.

use std::{path::Path, time::Instant};

use nd_builder::Built;
use nd_host::write_atomic;
use nd_records::{BuildSummary, OutputFile, StepSummary, TestReport, TestStatus, TestSummary};

use super::{Finished, Outputs, PipelineError, Planned, Prepared};

/// Puts the summary together and writes it with the test reports.
pub(super) fn write(
    prepared: &Prepared,
    planned: &Planned,
    built: &Built,
    outputs: &Outputs,
    reports: Vec<TestReport>,
    started: Instant,
) -> Result<Finished, PipelineError> {
    let tests: Vec<TestSummary> = reports.iter().map(summary_of).collect();
    let all_cached = planned.prepared_from_cache()
        && built.steps.iter().all(|step| step.cached)
        && outputs.cached
        && outputs.release_cached
        && reports.iter().all(|report| {
            report.cached || report.cases.iter().all(|c| c.status == TestStatus::Skipped)
        });
    let release = fs_err::read(&outputs.release).map_err(PipelineError::io(&outputs.release))?;
    let summary = BuildSummary {
        schema_version: BuildSummary::VERSION,
        container: prepared.compiled.identity.name.clone(),
        version: prepared.compiled.identity.version.clone(),
        build_date: prepared.name.date.to_string(),
        architecture: prepared.compiled.identity.architecture.to_string(),
        oci: OutputFile {
            path: shown(&outputs.oci),
            bytes: layout_bytes(outputs),
            digest: outputs.state.image.oci(),
            cached: outputs.cached,
        },
        sif: OutputFile {
            path: shown(&outputs.sif),
            bytes: outputs.state.sif.bytes,
            digest: outputs.state.sif.digest.oci(),
            cached: outputs.cached,
        },
        release: OutputFile {
            path: shown(&outputs.release),
            bytes: release.len() as u64,
            digest: nd_names::Sha256::of(&release).oci(),
            cached: outputs.release_cached,
        },
        outputs: Vec::new(),
        tree_digest: outputs.digests.tree.to_string(),
        tree_full_digest: outputs.digests.full.to_string(),
        image_digest: outputs.state.image.oci(),
        base: planned.base.origin.describe(),
        ids: planned.ids.name().to_owned(),
        steps: steps(built, outputs),
        tests,
        all_cached,
        seconds: started.elapsed().as_secs_f64(),
    };
    keep(
        outputs,
        "summary.json",
        &serde_json::to_vec_pretty(&summary)?,
    )?;
    keep(outputs, "tests.json", &serde_json::to_vec_pretty(&reports)?)?;
    keep(outputs, "tests.xml", junit(&reports).as_bytes())?;
    Ok(Finished { summary, reports })
}

fn keep(outputs: &Outputs, name: &str, bytes: &[u8]) -> Result<(), PipelineError> {
    let path = outputs.folder.join(name);
    write_atomic(&path, bytes).map_err(PipelineError::io(path))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn layout_bytes(outputs: &Outputs) -> u64 {
    outputs.image.layers.iter().map(|layer| layer.size).sum()
}

fn steps(built: &Built, outputs: &Outputs) -> Vec<StepSummary> {
    let built = built.steps.iter().map(|step| StepSummary {
        title: step.name.title.clone(),
        origin: step
            .name
            .origin
            .as_ref()
            .map(|origin| format!("{}:{}", origin.file, origin.line)),
        key: step.key.to_string(),
        cached: step.cached,
        seconds: step.seconds,
        bytes: step.layer.map_or(0, |layer| layer.size),
    });
    let written = outputs.steps.iter().map(|(title, seconds)| StepSummary {
        title: title.clone(),
        origin: None,
        key: String::new(),
        cached: false,
        seconds: *seconds,
        bytes: 0,
    });
    built.chain(written).collect()
}

/// Counts of a report.
pub(crate) fn summary_of(report: &TestReport) -> TestSummary {
    TestSummary {
        suite: report.suite.clone(),
        runtime: report.runtime.clone(),
        passed: report.count(TestStatus::Passed),
        failed: report.failures(),
        skipped: report.count(TestStatus::Skipped),
        cached: report.cached,
    }
}

/// All reports as one JUnit document.
pub(crate) fn junit(reports: &[TestReport]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    out.extend(reports.iter().map(TestReport::junit));
    out.push_str("</testsuites>\n");
    out
}
