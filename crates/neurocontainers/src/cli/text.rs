//! Summaries and plans for people.

use std::time::Duration;

use nd_builder::StepState;
use nd_records::{BuildSummary, OutputFile, TestReport, TestStatus, TestSummary};
use nd_store::Store;
use nd_terminal::{Align, Failure, Table, human_bytes, human_duration};
use serde_json::json;

use super::session::Session;
use crate::pipeline::{BuildWish, Planned};

fn yes(cached: bool) -> &'static str {
    if cached { "cached" } else { "" }
}

fn seconds(seconds: f64) -> String {
    human_duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// The summary of a build as tables.
pub(super) fn summary(summary: &BuildSummary) -> String {
    let mut out = format!(
        "{} {} of {} for {}\nbase: {}\n\n",
        summary.container, summary.version, summary.build_date, summary.architecture, summary.base
    );
    let mut steps = Table::new([
        ("step", Align::Left),
        ("time", Align::Right),
        ("size", Align::Right),
        ("", Align::Left),
    ]);
    for step in &summary.steps {
        let size = match step.bytes {
            0 => String::new(),
            bytes => human_bytes(bytes),
        };
        let time = seconds(step.seconds);
        steps.row([&step.title, &time, &size, yes(step.cached)]);
    }
    out.push_str(&steps.render_for_terminal());
    if !summary.tests.is_empty() {
        out.push('\n');
        out.push_str(&tests(&summary.tests));
    }
    out.push('\n');
    let mut line = |name: &str, file: &OutputFile| {
        let (size, cached) = (human_bytes(file.bytes), yes(file.cached));
        out.push_str(format!("{name:<8} {} ({size}) {cached}", file.path).trim_end());
        out.extend(["\n         ", &file.digest, "\n"]);
    };
    line("oci", &summary.oci);
    line("sif", &summary.sif);
    line("release", &summary.release);
    for output in &summary.outputs {
        line("output", output);
    }
    out.extend(["tree     ", &summary.tree_digest, "\n"]);
    let end = if summary.all_cached {
        "all cached"
    } else {
        "done"
    };
    out.extend([end, " in ", &seconds(summary.seconds), "\n"]);
    out
}

/// Counts of tests as a table.
pub(super) fn tests(suites: &[TestSummary]) -> String {
    let mut table = Table::new([
        ("tests", Align::Left),
        ("runtime", Align::Left),
        ("passed", Align::Right),
        ("failed", Align::Right),
        ("skipped", Align::Right),
        ("", Align::Left),
    ]);
    for suite in suites {
        table.row([
            suite.suite.clone(),
            suite.runtime.clone(),
            suite.passed.to_string(),
            suite.failed.to_string(),
            suite.skipped.to_string(),
            yes(suite.cached).to_owned(),
        ]);
    }
    table.render_for_terminal()
}

/// Says which tests failed, with what they printed last.
pub(super) fn failures(session: &Session, reports: &[TestReport]) {
    for report in reports {
        for case in &report.cases {
            if matches!(case.status, TestStatus::Passed | TestStatus::Skipped) {
                continue;
            }
            session.printer.error_line(&format!(
                "{} ({}): {}: {}",
                report.suite, report.runtime, case.name, case.message
            ));
            for line in case.stdout.lines().chain(case.stderr.lines()) {
                session.printer.error_line(&format!("  | {line}"));
            }
        }
        for case in report
            .cases
            .iter()
            .filter(|c| c.status == TestStatus::Skipped)
        {
            session.printer.detail(&format!(
                "{} ({}): {}: skipped: {}",
                report.suite, report.runtime, case.name, case.message
            ));
        }
    }
}

/// Prints a plan with what of it is cached.
pub(super) fn plan(
    session: &Session,
    store: &Store,
    planned: &Planned,
    wish: &BuildWish,
) -> Result<(), Failure> {
    let states = planned
        .plan
        .states(store, planned.ids, wish.layers.of_layers())?;
    let words: Vec<String> = states
        .iter()
        .map(|state| match state {
            StepState::Cached => "cached".to_owned(),
            StepState::Missing(because) => because.to_string(),
        })
        .collect();
    if session.json() {
        return session.printer.json(&json!({
            "plan": planned.plan,
            "states": words,
            "base": planned.base.origin,
        }));
    }
    let mut table = Table::new([
        ("key", Align::Left),
        ("step", Align::Left),
        ("state", Align::Left),
    ]);
    let steps = planned.plan.stages.last().map(|stage| &stage.steps[..]);
    for (step, state) in steps.unwrap_or_default().iter().zip(words) {
        let origin = match &step.origin {
            Some(origin) => format!("{}:{}: ", origin.file, origin.line),
            None => String::new(),
        };
        let key: String = step.key.to_string().chars().take(12).collect();
        table.row([key, origin + &step.title, state]);
    }
    let base = planned.base.origin.describe();
    let text = format!("base {base}\n{}", table.render_for_terminal());
    session.printer.data(&text)
}

/// Says what is there after a build that was asked to stop early, and how to look at it.
pub(super) fn until(
    session: &Session,
    store: &Store,
    planned: &Planned,
    wish: &BuildWish,
    (name, all): (&str, usize),
) -> Result<(), Failure> {
    let known = planned
        .plan
        .known(store, planned.ids, wish.layers.of_layers())?;
    let last = planned.plan.steps().len();
    if session.json() {
        let layers: Vec<_> = known.layers.iter().map(|(layer, _)| layer).collect();
        return session.printer.json(&json!({
            "until": last,
            "steps": all,
            "layers": layers,
        }));
    }
    let title = planned.plan.steps().last().map_or("", |step| &step.title);
    let layers: u64 = known.layers.iter().map(|(layer, _)| layer.size).sum();
    session.printer.data(&format!(
        "stopped after step {last} of {all}: {title}\n\
         {} layers, {}, no outputs\n\
         look in with `neurocontainers shell {name} --at {last}`, with the options of this build\n",
        known.layers.len(),
        human_bytes(layers)
    ))
}
