//! `catalogue refresh`: a copy of the published catalogue, for use without a network.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc};

use clap::Args;
use nd_fetch::{FetchOptions, Fetcher, FileUrls, Request, SafeUrl};
use nd_host::Environment;
use nd_report::Cancel;
use nd_store::Store;
use nd_terminal::{Failure, FailureKind, OrFail as _, OutputFormat, Printer};
use serde_json::json;

use super::{
    catalogue::{count, guard},
    files::Files,
    session::DeploymentArgs,
};
use crate::{catalogue::decode, deployment::Deployment, json::Limits};

#[derive(Debug, Args)]
pub(super) struct RefreshArgs {
    /// Where the catalogue is published; else what the deployment says
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Take a catalogue that has over a tenth fewer applications than the copy
    #[arg(long)]
    allow_shrink: bool,
    #[command(flatten)]
    deployment: DeploymentArgs,
}

/// Where the copy is: a folder of the cache for each project.
pub(super) fn copy(environment: &Environment, deployment: &Deployment) -> Option<PathBuf> {
    let cache = environment.cache_dir().ok()?;
    Some(
        cache
            .join("catalogue")
            .join(&deployment.slug)
            .join("apps.json"),
    )
}

/// Downloads the catalogue, looks at it, and puts it in the place of the copy.
pub(super) fn run(args: &RefreshArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let deployment = Deployment::of(&args.deployment.resolve(&environment, printer)?);
    let url = args.url.as_ref().or(deployment.catalogue_url.as_ref());
    let url = url.ok_or_else(|| {
        Failure::new(
            FailureKind::Failed,
            "the deployment does not say where the catalogue is published",
        )
        .hint("name it with `--url URL`")
    })?;
    let url: SafeUrl = url.parse().or_fail(FailureKind::Failed)?;
    let cache = environment.cache_dir()?;
    let copy = copy(&environment, &deployment)
        .ok_or_else(|| Failure::new(FailureKind::Failed, "there is no folder for the copy"))?;
    let folder = copy.parent().unwrap_or(&cache).to_path_buf();
    fs_err::create_dir_all(&folder)?;
    let mut options = FetchOptions::from_environment(&environment)?;
    options.file_urls = FileUrls::Allow;
    let store = Store::open(cache.join("catalogue/store"))?;
    let fetcher = Fetcher::new(options, store, Arc::new(printer.reporter()));
    let cancel = Cancel::default();
    nd_terminal::cancel_when_interrupted(&cancel, printer)?;
    let mut request = Request::new(url);
    request.max_bytes = Some(Limits::default().bytes as u64);
    let fetched = fetcher.fetch_all_blocking(&[request], NonZeroUsize::MIN, &cancel)?;
    let Some(fetched) = fetched.into_iter().next() else {
        return Err(Failure::new(
            FailureKind::Internal,
            "the download has no result",
        ));
    };
    let fetched = fetched?;
    let mut files = Files::default();
    let document = files.required(&fetched.path, printer)?;
    decode(&document, &mut files.sink);
    files.end(printer)?;
    let after = count(&document);
    if let Some(before) = copy
        .is_file()
        .then(|| Files::default().document(&copy))
        .transpose()?
        .flatten()
    {
        guard(count(&before), after, args.allow_shrink)?;
    }
    nd_host::write_atomic(&copy, files.texts[0].text.as_bytes())?;
    if printer.format() == OutputFormat::Json {
        return printer.json(&json!({
            "schema_version": 1, "output": copy, "applications": after, "sha256": fetched.digest.hex(),
        }));
    }
    printer.note(&format!("{}: {after} applications", copy.display()));
    Ok(())
}
