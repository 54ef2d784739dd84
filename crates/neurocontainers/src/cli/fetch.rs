//! `fetch`.

use clap::Args;
use nd_terminal::{Align, Failure, Table, human_bytes};
use serde_json::json;

use super::{args::RecipeArgs, session::Session, session::sources};
use crate::{downloads::fetch_files, pipeline};

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Ask servers for changes of what was downloaded before
    #[arg(long)]
    refresh: bool,
}

/// The command `fetch`.
pub(super) fn run(session: &Session, args: &FetchArgs) -> Result<(), Failure> {
    let places = session.places(&args.recipe.places)?;
    let store = session.store()?;
    let workshop = session.workshop(&store);
    let fail = |error| session.failure(error);
    let prepared = pipeline::prepare(&workshop, &places, &args.recipe.wish()).map_err(fail)?;
    session.show(&prepared.warnings, &sources(&prepared.sources));
    let expected = std::collections::BTreeMap::new();
    let downloads = fetch_files(&workshop, &prepared, &expected, args.refresh).map_err(fail)?;
    if session.json() {
        let files: Vec<_> = downloads
            .iter()
            .map(|(name, one)| {
                json!({
                    "name": name,
                    "url": one.url,
                    "sha256": one.sha256.hex(),
                    "size": one.bytes,
                })
            })
            .collect();
        return session.printer.json(&json!({ "files": files }));
    }
    let mut table = Table::new([
        ("file", Align::Left),
        ("size", Align::Right),
        ("sha256", Align::Left),
    ]);
    for (name, one) in &downloads {
        table.row([name.clone(), human_bytes(one.bytes), one.sha256.hex()]);
    }
    session.printer.data(&table.render_for_terminal())
}
