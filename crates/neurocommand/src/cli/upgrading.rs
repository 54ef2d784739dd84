//! `upgrade`: the builds that the catalogue has now in place of older ones.

use clap::Args;
use nd_host::Environment;
use nd_names::ImageName;
use nd_terminal::{Failure, OutputFormat, Printer};
use serde_json::json;
use transparent_singularity::{
    Depth, InstallRecord, InstallWish, Placement, Site, WrapperStyle, cli::Installer, verify,
};

use super::{
    installing::{JobsArgs, SiteArgs, summary},
    session::AppsArgs,
    syncing::installed,
};
use crate::{catalogue::Catalogue, json::shown};

#[derive(Debug, Args)]
pub(super) struct UpgradeArgs {
    /// `NAME`, `NAME/VERSION` or `NAME_VERSION_DATE`; everything that is installed without
    names: Vec<String>,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Say what would be upgraded
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    apps: AppsArgs,
}

/// A container and the build that takes its place: a newer one, or the same when it is damaged or was
/// not installed by us.
struct Step {
    record: InstallRecord,
    to: ImageName,
}

impl Step {
    fn new(record: InstallRecord, site: &Site, published: ImageName) -> Option<Self> {
        let date = record.name().date;
        let is_newer = published.date > date;
        let is_ours = record.by != "upstream";
        let is_whole = is_ours && verify(site, &record, Depth::Quick).is_empty();
        let same = published.date == date && !is_whole;
        (is_newer || same).then_some(Self {
            record,
            to: published,
        })
    }

    fn wish(&self, installer: &Installer) -> Result<InstallWish, Failure> {
        Ok(InstallWish {
            unpack: self.record.placement == Placement::Folder,
            options: self.record.options.clone(),
            style: self.record.style,
            force: self.to == self.record.name(),
            ..installer.wish(self.to.clone())?
        })
    }
}

/// The build of what is installed that `catalogue` has.
fn published(catalogue: &Catalogue, installed: &ImageName) -> Option<ImageName> {
    let container = catalogue.container(installed.app.as_str())?;
    let app = container
        .images()
        .find(|app| app.identity.version == installed.version.as_str())?;
    app.stem().parse().ok()
}

pub(super) fn run(args: &UpgradeArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let (catalogue, _) = args.apps.load(&environment, printer)?;
    let site = args.site.open(&environment)?;
    if !args.dry_run && site.state().is_dir() {
        // What a killed run left is no build to compare with.
        site.prepare()?;
    }
    let records = if args.names.is_empty() {
        installed(&site)?
    } else {
        let found = args.names.iter().map(|name| site.find(name));
        found.collect::<Result<_, _>>()?
    };
    let mut steps = Vec::new();
    for record in records {
        match published(&catalogue, &record.name()) {
            Some(build) => steps.extend(Step::new(record, &site, build)),
            None => printer.note(&format!(
                "{} stays: the catalogue does not have it",
                shown(&record.image)
            )),
        }
    }
    if args.dry_run || steps.is_empty() {
        return tell(&steps, printer);
    }
    let styles = steps.iter().map(|step| step.record.style);
    let style = styles.max_by_key(|style| *style == WrapperStyle::Launcher);
    let resolved = args.apps.deployment.resolve(&environment, printer)?;
    let set_up = args.site.set_up(&resolved, style.unwrap_or_default());
    let installer = Installer::new(&set_up, printer.clone())?;
    let wishes = steps.iter().map(|step| step.wish(&installer));
    let wishes = wishes.collect::<Result<Vec<_>, _>>()?;
    let done = installer.install_all(&wishes, args.jobs.jobs);
    summary(&installer, &wishes, done, printer)
}

fn tell(steps: &[Step], printer: &Printer) -> Result<(), Failure> {
    if printer.format() == OutputFormat::Json {
        let all: Vec<_> = steps
            .iter()
            .map(|step| json!({ "from": step.record.image, "to": step.to.stem() }))
            .collect();
        return printer.json(&json!({ "schema_version": 1, "upgrade": all }));
    }
    if steps.is_empty() {
        printer.note("everything is the newest build");
        return Ok(());
    }
    let lines: Vec<String> = steps
        .iter()
        .map(|step| format!("{} -> {}", step.record.image, step.to))
        .collect();
    printer.data(&lines.join("\n"))
}
