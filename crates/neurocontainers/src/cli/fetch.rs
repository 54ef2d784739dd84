//! `fetch`.

use std::collections::BTreeMap;

use clap::Args;
use nd_terminal::{Align, Failure, Table, human_bytes};
use neurocontainers_recipe::lock::LockedBase;
use serde_json::json;

use super::{args::RecipeArgs, session::Session, session::sources};
use crate::{
    base::{BaseError, FromRegistry},
    downloads::fetch_files,
    lock::{self, LocalArchives, LockProblem},
    pipeline::{self, PipelineError, Prepared, Wish, Workshop},
};

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Download everything that `recipe.lock` names as well: the base image of a registry, packages
    /// and the lists of them
    #[arg(long)]
    locked: bool,
    /// Ask servers for changes of what was downloaded before
    #[arg(long, conflicts_with = "locked")]
    refresh: bool,
}

/// Brings a base of a registry into the cache; a line about it where nobody has it, as when it was
/// given from disk. One that is made from an archive needs packages alone, which the lock names, too.
fn missing_base(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    base: &LockedBase,
) -> Result<Option<String>, PipelineError> {
    if base.bootstrap.is_some() {
        return Ok(None);
    }
    let registry = FromRegistry {
        workshop,
        reference: &base.reference,
        architecture: prepared.compiled.identity.architecture,
        refresh: false,
        pinned: Some(&base.image),
    };
    match registry.any(workshop.offline) {
        Ok(_) => Ok(None),
        Err(error @ BaseError::Cancelled(_)) => Err(error.into()),
        Err(error) => Ok(Some(format!("base image {}: {error}", base.reference))),
    }
}

/// The command `fetch`.
pub(super) fn run(session: &Session, args: &FetchArgs) -> Result<(), Failure> {
    let places = session.places_of(&args.recipe.recipe, &args.recipe.places)?;
    let store = session.store()?;
    let workshop = session.workshop(&store)?;
    let fail = |error| session.failure(error);
    let asked = Wish {
        locked: args.locked,
        ..args.recipe.wish()
    };
    let prepared = pipeline::prepare(&workshop.desk(), &places, &asked).map_err(fail)?;
    session.show(&prepared.warnings, &sources(&prepared.sources));
    let mut expected = BTreeMap::new();
    let mut archives = None;
    let mut unfetchable = Vec::new();
    if let Some(locked) = &prepared.lock {
        let changes = lock::check_plan(&prepared, locked);
        if !changes.is_empty() {
            let path = lock::shown(&prepared.folder);
            return Err(fail(LockProblem::Drift { path, changes }.into()));
        }
        expected.extend(locked.urls.iter().map(|one| (one.url.clone(), one.sha256)));
        archives = Some(lock::archives(&workshop, locked).map_err(fail)?);
        unfetchable = locked.unfetchable();
        for base in &locked.bases {
            unfetchable.extend(missing_base(&workshop, &prepared, base).map_err(fail)?);
        }
    }
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
        let (count, bytes) = archives.as_ref().map_or((0, 0), LocalArchives::size);
        return session.printer.json(&json!({
            "files": files,
            "archives": { "files": count, "bytes": bytes },
            "unfetchable": unfetchable,
        }));
    }
    let mut table = Table::new([
        ("file", Align::Left),
        ("size", Align::Right),
        ("sha256", Align::Left),
    ]);
    for (name, one) in &downloads {
        table.row([name.clone(), human_bytes(one.bytes), one.sha256.hex()]);
    }
    if !downloads.is_empty() {
        session.printer.data(&table.render_for_terminal())?;
    }
    if let Some(archives) = archives {
        let (count, bytes) = archives.size();
        let size = human_bytes(bytes);
        let text = format!("{count} files of package archives, {size}\n");
        session.printer.data(&text)?;
    }
    if !unfetchable.is_empty() {
        session
            .printer
            .note("not kept, so that builds which need these need a network:");
        for line in unfetchable {
            session.printer.note(&format!("  {line}"));
        }
    }
    Ok(())
}
