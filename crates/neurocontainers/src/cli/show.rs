//! `show`.

use std::fmt::Write as _;

use nd_terminal::Failure;
use serde_json::json;

use super::{
    args::ShowArgs,
    session::{Session, sources},
};
use crate::pipeline;

pub(super) fn run(session: &Session, args: &ShowArgs) -> Result<(), Failure> {
    let places = session.places_of(&args.recipe.recipe, &args.recipe.places)?;
    let prepared = pipeline::prepare(&session.desk(), &places, &args.recipe.wish())
        .map_err(|error| session.failure(error))?;
    session.show(&prepared.warnings, &sources(&prepared.sources));
    let compiled = &prepared.compiled;
    let identity = &compiled.identity;
    let steps: usize = compiled
        .definition
        .stages
        .iter()
        .map(|s| s.body.len())
        .sum();
    let files: Vec<&str> = compiled
        .staging
        .files
        .iter()
        .map(|f| f.name.as_str())
        .collect();
    let document = json!({
        "name": identity.name,
        "version": identity.version,
        "architecture": identity.architecture,
        "variant": identity.variant,
        "build_date": prepared.name.date,
        "commit": prepared.state.commit,
        "base_image": compiled.base_image,
        "recipe": prepared.folder.shown,
        "categories": compiled.about.categories,
        "licences": compiled.about.copyright,
        "deploy": compiled.deploy,
        "gui_apps": compiled.about.gui_apps,
        "declared_files": files,
        "instructions": steps,
        "tests": prepared.suite_path().is_some(),
    });
    if session.json() {
        return session.printer.json(&document);
    }
    let mut out = String::new();
    if let Some(fields) = document.as_object() {
        for (key, value) in fields {
            let value = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{key:<16} {value}");
        }
    }
    session.printer.data(&out)
}
