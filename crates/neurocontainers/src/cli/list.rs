//! `list` and `variants`.

use nd_report::Sink;
use nd_terminal::{Align, Failure, Table};
use neurocontainers_recipe::{LoadOptions, load_with_sources};
use serde_json::json;

use super::{
    args::{ListArgs, VariantsArgs},
    session::Session,
};
use crate::{pipeline::PipelineError, recipes::DiskFiles};

pub(super) fn list(session: &Session, args: &ListArgs) -> Result<(), Failure> {
    let places = session.places(&args.places)?;
    let names = places.names()?;
    if session.json() {
        return session.printer.json(&json!({ "recipes": names }));
    }
    let lines: Vec<String> = names.iter().map(|name| format!("{name}\n")).collect();
    session.printer.data(&lines.concat())
}

pub(super) fn variants(session: &Session, args: &VariantsArgs) -> Result<(), Failure> {
    let places = session.places_of(&args.recipe, &args.places)?;
    let folder = places
        .recipe(&args.recipe, &session.environment)
        .map_err(|error| session.failure(error.into()))?;
    let mut sink = Sink::new();
    let files = DiskFiles::open(&folder.path, &[&places.root])?;
    let loaded = load_with_sources(&files, &folder.shown, &LoadOptions::default(), &mut sink);
    let (variants, texts) = match &loaded {
        Ok(recipe) => (recipe.variants(&mut sink), recipe.sources().clone()),
        Err(texts) => (None, texts.clone()),
    };
    let Some(variants) = variants else {
        return Err(session.failure(PipelineError::recipe(sink, texts, &folder)));
    };
    if session.json() {
        return session.printer.json(&json!({ "containers": variants }));
    }
    let mut table = Table::new([
        ("container", Align::Left),
        ("variant", Align::Left),
        ("architecture", Align::Left),
    ]);
    for concrete in &variants {
        let architecture = concrete.architecture.to_string();
        table.row([&concrete.name, &concrete.selector, &architecture]);
    }
    session.printer.data(&table.render_for_terminal())
}
