//! Small recipes that isolate one feature or one error each.

use std::path::Path;

use crate::{
    compiled,
    directory::{InMemory, json_files, read_json, stem},
    report::{self, Part, Report},
};

/// Compares every synthetic case.
pub(crate) fn compare(root: &Path, report: &mut Report) {
    let Some(paths) = json_files(&root.join("synthetic")) else {
        report::missing("synthetic");
        return;
    };
    let templates = compiled::templates(root);
    let mut part = Part::new("synthetic");
    for path in paths {
        let mut differences = Vec::new();
        match read_json(&path) {
            Ok(recorded) => {
                let files = InMemory {
                    build: recorded["build_yaml"].as_str().unwrap_or_default(),
                    files: recorded["files"].as_object(),
                    include: root,
                };
                let compared = compiled::compare(&files, &recorded, &templates);
                part.beyond(&stem(&path), &compared.beyond);
                differences = compared.differences;
            }
            Err(problem) => report::text("file", "readable", &problem, &mut differences),
        }
        part.case(&stem(&path), &differences);
    }
    report.end(&part);
}
