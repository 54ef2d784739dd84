//! `images stale`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use nd_host::{Clock as _, Environment, SystemClock};
use nd_terminal::{Failure, FailureKind, OutputFormat, Printer};
use serde_json::json;

use super::{bucket, published};
use crate::{
    cli::{files::Files, session::AppsArgs},
    deployment::Deployment,
    images::{StaleOptions, StalePlan, expected_of_release, images, key_of},
    json::shown,
    sources::read_releases,
};

const DAY: u64 = 24 * 60 * 60;

#[derive(Debug, Args)]
pub(in crate::cli) struct StaleArgs {
    /// Address of the store, below which images are
    #[arg(long, value_name = "URL")]
    store: String,
    /// Release records, whose images are not stale either
    #[arg(long, value_name = "DIR")]
    releases: Option<PathBuf>,
    /// Folder of the repository's containers: an image goes only when its container is there; else that
    /// of the deployment, when it is mounted
    #[arg(long, value_name = "DIR")]
    containers: Option<PathBuf>,
    /// Remove also what no repository has
    #[arg(long, conflicts_with = "containers")]
    without_repository: bool,
    /// Days that an image stays after it was written
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    retention: u64,
    /// How many images go in one run
    #[arg(long, value_name = "N", default_value_t = 20)]
    at_most: usize,
    /// Remove them; without, they are listed
    #[arg(long)]
    apply: bool,
    /// Remove them even when more than a tenth of all images is stale
    #[arg(long)]
    allow_shrink: bool,
    #[command(flatten)]
    apps: AppsArgs,
}

pub(super) fn run(args: &StaleArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let expected = args.expected(&environment, printer)?;
    let bucket = bucket(&environment, &args.store)?;
    let options = StaleOptions {
        now: SystemClock.now(),
        retention: Duration::from_secs(args.retention.saturating_mul(DAY)),
        at_most: args.at_most,
    };
    let kept = args.kept(&environment, printer)?;
    let plan = StalePlan::new(&bucket.list("")?, &expected, kept.as_ref(), &options);
    for key in &plan.undated {
        printer.warn(&format!(
            "`{}` stays: the store does not say how old it is",
            shown(key)
        ));
    }
    for key in &plan.waiting {
        printer.warn(&format!(
            "`{}` stays: the repository does not have its container",
            shown(key)
        ));
    }
    let guard = plan.check(&expected);
    if args.apply
        && !args.allow_shrink
        && let Err(error) = guard
    {
        return Err(Failure::new(FailureKind::Refused, error).hint("`--allow-shrink` lets it"));
    }
    let mut failed = Vec::new();
    if args.apply {
        for key in &plan.remove {
            match bucket.delete(key) {
                Ok(()) => printer.note(&format!("removed {}", shown(key))),
                Err(error) => {
                    printer.error_line(&Failure::from(error).render());
                    failed.push(key.as_str());
                }
            }
        }
    }
    if printer.format() == OutputFormat::Json {
        printer.json(&json!({
            "schema_version": 1, "applied": args.apply, "objects": plan.remove, "images": plan.images,
            "later": plan.later, "undated": plan.undated, "waiting": plan.waiting, "failed": failed,
        }))?;
    } else {
        let keys: Vec<String> = plan.remove.iter().map(|key| shown(key)).collect();
        if !args.apply && !keys.is_empty() {
            printer.data(&keys.join("\n"))?;
        }
        let (images, all, later) = (plan.images, plan.all, plan.later);
        printer.note(&format!(
            "{images} of {all} images are stale, and {later} more above the ceiling"
        ));
    }
    if !args.apply
        && let Err(error) = guard
    {
        printer.warn(&error.to_string());
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("failed to remove {} objects", failed.len());
    Err(Failure::new(FailureKind::Failed, message))
}

impl StaleArgs {
    /// The containers of the repository; `None` when there is no repository, or none is to be asked.
    fn kept(
        &self,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<Option<BTreeSet<String>>, Failure> {
        if self.without_repository {
            return Ok(None);
        }
        if let Some(folder) = &self.containers {
            return names(&environment.absolute(folder)).map(Some);
        }
        let deployment = Deployment::of(&self.apps.deployment.resolve(environment, printer)?);
        let mounted = deployment.containers().filter(|folder| folder.is_dir());
        mounted
            .map(|folder| names(folder.as_std_path()))
            .transpose()
    }

    /// Keys of all that is published. One record or entry that cannot be read stops everything: what it
    /// publishes would be stale.
    fn expected(
        &self,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<BTreeSet<String>, Failure> {
        let catalogue = published(&self.apps.path(environment, printer)?, printer)?;
        let mut expected: BTreeSet<String> = images(&catalogue)?.iter().map(key_of).collect();
        let Some(folder) = &self.releases else {
            return Ok(expected);
        };
        let (folder, mut files) = (environment.absolute(folder), Files::default());
        let name = folder.display().to_string();
        let releases = read_releases(&folder, &name, &mut files.texts, &mut files.sink)?;
        files.end(printer)?;
        if releases.is_empty() {
            let message = format!("there is no release record in `{name}`");
            return Err(Failure::new(FailureKind::Failed, message));
        }
        for release in &releases {
            let keys = expected_of_release(release).ok_or_else(|| {
                let (container, stem) = (shown(&release.container), shown(&release.stem));
                let message =
                    format!("release `{container}/{stem}` does not say what it publishes");
                Failure::new(FailureKind::Failed, message)
            })?;
            expected.extend(keys);
        }
        Ok(expected)
    }
}

/// Names of what is in `folder`, as far as they are text.
fn names(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    let entries = fs_err::read_dir(folder)?;
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let names: std::io::Result<Vec<Option<String>>> = names.collect();
    Ok(names?.into_iter().flatten().collect())
}
