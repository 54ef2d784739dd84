//! Parts that are read but not counted: test suites and release records.

use std::path::{Path, PathBuf};

use nd_records::ReleaseRecord;
use nd_report::{Severity, Sink};
use neurocontainers_recipe::{LoadOptions, fulltest::load_suite};

use crate::{
    directory::{Directory, json_files, stem},
    report::{self, Part, Report},
};

/// Reads what is recorded beside results.
pub(crate) fn compare(root: &Path, report: &mut Report) {
    suites(root, report);
    releases(root, report);
}

/// Folders in a folder, sorted; `None` when there is no such folder.
fn folders(folder: &Path) -> Option<Vec<PathBuf>> {
    let entries = fs_err::read_dir(folder).ok()?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    paths.sort();
    Some(paths)
}

/// Reads every test suite; those that are none are differences, their mistakes are counted only.
fn suites(root: &Path, report: &mut Report) {
    let Some(recipes) = folders(&root.join("recipes")) else {
        report::missing("fulltests");
        return;
    };
    let mut part = Part::new("fulltests");
    let (mut tests, mut errors, mut warnings) = (0, 0, 0);
    for recipe in recipes {
        if !recipe.join("fulltest.yaml").exists() {
            continue;
        }
        let files = Directory {
            recipe: recipe.clone(),
            include: root.to_owned(),
        };
        let mut sink = Sink::new();
        let mut differences = Vec::new();
        match load_suite(&files, &stem(&recipe), &LoadOptions::default(), &mut sink) {
            Some(found) if !found.suite.tests.is_empty() => tests += found.suite.tests.len(),
            _ => {
                let problem = format!("{:?}", sink.diagnostics());
                report::text("suite", "readable", &problem, &mut differences);
            }
        }
        let all = sink.diagnostics();
        errors += all
            .iter()
            .filter(|found| found.severity == Severity::Error)
            .count();
        warnings += all
            .iter()
            .filter(|found| found.severity == Severity::Warning)
            .count();
        part.case(&stem(&recipe), &differences);
    }
    report.end_uncounted(&part);
    println!("fulltests: {tests} tests, {errors} errors, {warnings} warnings in them");
}

/// Reads every release record and writes it again.
fn releases(root: &Path, report: &mut Report) {
    let Some(containers) = folders(&root.join("releases")) else {
        report::missing("releases");
        return;
    };
    let mut part = Part::new("releases");
    for path in containers
        .iter()
        .filter_map(|folder| json_files(folder))
        .flatten()
    {
        let mut differences = Vec::new();
        let text = fs_err::read_to_string(&path).unwrap_or_default();
        match serde_json::from_str::<ReleaseRecord>(&text) {
            Ok(record) => {
                let value = serde_json::from_str(&text).unwrap_or_default();
                let found = record.to_json().unwrap_or_default();
                let found = serde_json::from_str(&found).unwrap_or_default();
                report::value("record", &value, &found, &mut differences);
            }
            Err(problem) => {
                report::text("file", "readable", &problem.to_string(), &mut differences);
            }
        }
        part.case(&path.display().to_string(), &differences);
    }
    report.end_uncounted(&part);
}
