//! Documents that are made from code: pages of codes, schemas, the reference of the command line.

use nd_terminal::Documents;
use neurocontainers_recipe::schema::{RECIPE, SUITE, json_schema};

use crate::diagnose::explanations;

/// Where published schemas are, for editors.
pub const SCHEMAS: &str =
    "https://raw.githubusercontent.com/neurodesk/neurodesk-rs/main/docs/schemas/";

/// What stands above the list of all codes.
const CODES: &str = "# Diagnostics\n\n`neurocontainers check` and all commands that read recipes report problems with a code. \
     Numbers and names of codes do not change.\n\n| Code | What is wrong |\n| --- | --- |\n";

/// All documents. `command` is the command line to describe.
pub fn documents(command: clap::Command) -> Documents {
    let mut all = Documents::of(command);
    all.codes(&explanations(), CODES);
    for (name, root, title) in [
        (
            "build.schema.json",
            &RECIPE,
            "NeuroContainers recipe, build.yaml",
        ),
        (
            "fulltest.schema.json",
            &SUITE,
            "NeuroContainers tests, fulltest.yaml",
        ),
    ] {
        let schema = json_schema(root, &format!("{SCHEMAS}{name}"), title);
        all.file(format!("schemas/{name}"), format!("{schema:#}\n"));
    }
    all
}
