//! Recorded results of recipes.

use std::path::Path;

use crate::{
    compiled,
    directory::{Directory, json_files, read_json, stem},
    report::{self, Part, Report},
};

/// Schema of the files that hold the result of a recipe; others lie in the same folder.
const SCHEMA: &str = "neurocontainers-golden/1";

/// Compares every golden file.
pub(crate) fn compare(root: &Path, report: &mut Report) {
    let Some(paths) = json_files(&root.join("golden")) else {
        report::missing("golden");
        return;
    };
    let templates = compiled::templates(root);
    let mut part = Part::new("golden");
    for path in paths {
        let mut differences = Vec::new();
        match read_json(&path) {
            Ok(recorded) if recorded["schema"] == SCHEMA => {
                let recipe = recorded["recipe"].as_str().unwrap_or_default();
                let files = Directory {
                    recipe: root.join("recipes").join(recipe),
                    include: root.to_owned(),
                };
                let compared = compiled::compare(&files, &recorded, &templates);
                part.beyond(&stem(&path), &compared.beyond);
                differences = compared.differences;
            }
            Ok(_) => continue,
            Err(problem) => report::text("file", "readable", &problem, &mut differences),
        }
        part.case(&stem(&path), &differences);
    }
    report.end(&part);
}
