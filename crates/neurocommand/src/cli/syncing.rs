//! `lock`, `sync`, `rollback` and `gc`: a site as one file says, and as it was before.

use std::path::PathBuf;

use clap::Args;
use nd_host::Environment;
use nd_terminal::{Failure, FailureKind, OrFail as _, OutputFormat, Printer, human_bytes};
use serde_json::json;
use transparent_singularity::{InstallRecord, InstallWish, Site, WrapperStyle, cli::Installer};

use super::{
    files::write,
    installing::{JobsArgs, SiteArgs},
    session::DeploymentArgs,
};
use crate::site::{Pinned, SiteLock, States, StatesError, SyncPlan};

/// Folders of a site's state that others of its group go on with.
const SHARED: &[&str] = &["states", "kept"];

#[derive(Debug, Args)]
pub(super) struct LockArgs {
    /// Names of containers that are installed; all of them without
    names: Vec<String>,
    /// File that gets the lock; else standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// The lock
    lock: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    /// Say what would change
    #[arg(long)]
    dry_run: bool,
    /// Change nothing, and end with exit code 3 when something would change
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    deployment: DeploymentArgs,
}

#[derive(Debug, Args)]
pub(super) struct GcArgs {
    /// How many states stay, that of now among them
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,
    /// Say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    site: SiteArgs,
}

/// What is installed; a container whose record cannot be read is an error, since a state without it
/// would be wrong.
pub(super) fn installed(site: &Site) -> Result<Vec<InstallRecord>, Failure> {
    for record in site.all_records()? {
        record?;
    }
    Ok(site.installed()?)
}

pub(super) fn lock(args: &LockArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let site = args.site.open(&environment)?;
    let records = if args.names.is_empty() {
        installed(&site)?
    } else {
        let found = args.names.iter().map(|name| site.find(name));
        found.collect::<Result<_, _>>()?
    };
    let output = args.output.as_ref().map(|path| environment.absolute(path));
    write(output.as_deref(), &SiteLock::of(&records).render(), printer)
}

pub(super) fn sync(args: &SyncArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let wanted = read_lock(&environment, &args.lock)?;
    let site = args.change.site.open(&environment)?;
    let plan = SyncPlan::new(&wanted, &SiteLock::of(&installed(&site)?));
    if !args.change.goes_on(&plan, printer)? {
        return Ok(());
    }
    let mut states = States::open(&site).map_err(states_failure)?;
    // Somebody else may have changed the site until we had the lock, or was killed while at it.
    site.prepare()?;
    let there = SiteLock::of(&installed(&site)?);
    let plan = SyncPlan::new(&wanted, &there);
    let installer = args.change.installer(&plan, &environment, printer)?;
    states.begin(&there, &wanted)?;
    apply(&installer, &plan, args.change.jobs, printer)?;
    states.end(&SiteLock::of(&installed(installer.site())?))?;
    installer.share_state(SHARED)?;
    told(&plan, printer)
}

pub(super) fn rollback(args: &RollbackArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let site = args.change.site.open(&environment)?;
    let none = || {
        let message = "there is no state to go back to";
        Failure::new(FailureKind::Failed, message)
            .hint("`sync` keeps a state before it changes anything")
    };
    if !site.state().is_dir() {
        return Err(none());
    }
    let mut states = States::open(&site).map_err(states_failure)?;
    let wanted = states.before().cloned().ok_or_else(none)?;
    if args.change.dry_run || args.change.check {
        let plan = SyncPlan::new(&wanted, &SiteLock::of(&installed(&site)?));
        return args.change.goes_on(&plan, printer).map(|_| ());
    }
    site.prepare()?;
    let plan = SyncPlan::new(&wanted, &SiteLock::of(&installed(&site)?));
    let installer = args.change.installer(&plan, &environment, printer)?;
    states.begin_back()?;
    apply(&installer, &plan, args.change.jobs, printer)?;
    states.end_back()?;
    installer.share_state(SHARED)?;
    told(&plan, printer)
}

pub(super) fn gc(args: &GcArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let site = args.site.open(&environment)?;
    let (mut images, mut bytes, mut forgotten) = (0_u64, 0_u64, 0);
    if site.state().is_dir() {
        let mut states = States::open(&site).map_err(states_failure)?;
        let keep = args.keep.max(1);
        let needed = states.needed(keep);
        // What is installed is a second name of the same file: forgetting it frees nothing.
        let there: Vec<_> = installed(&site)?
            .iter()
            .filter_map(InstallRecord::sha256)
            .collect();
        forgotten = states.count().saturating_sub(keep);
        if !args.dry_run {
            states.forget_older(keep)?;
        }
        for (sha256, size) in site.all_kept()? {
            if needed.contains(&sha256) {
                continue;
            }
            images += 1;
            bytes += if there.contains(&sha256) { 0 } else { size };
            if !args.dry_run {
                site.forget(&sha256)?;
            }
        }
    }
    if printer.format() == OutputFormat::Json {
        return printer.json(&json!({
            "schema_version": 1, "states": forgotten, "images": images, "bytes": bytes,
        }));
    }
    let verb = if args.dry_run { "would free" } else { "freed" };
    let size = human_bytes(bytes);
    printer.note(&format!(
        "{verb} {size}: {images} images that no state needs; {forgotten} states are older"
    ));
    Ok(())
}

impl ChangeArgs {
    fn installer(
        &self,
        plan: &SyncPlan,
        environment: &Environment,
        printer: &Printer,
    ) -> Result<Installer, Failure> {
        let resolved = self.deployment.resolve(environment, printer)?;
        let set_up = self.site.set_up(&resolved, style_of(&plan.install));
        Installer::new(&set_up, printer.clone())
    }

    /// Says the plan when nothing is to be changed; whether the change goes on.
    fn goes_on(&self, plan: &SyncPlan, printer: &Printer) -> Result<bool, Failure> {
        if self.dry_run || self.check {
            show(plan, printer)?;
            let is_pending = self.check && !plan.is_empty();
            return if is_pending {
                Err(Failure::told(FailureKind::Pending))
            } else {
                Ok(false)
            };
        }
        Ok(true)
    }
}

/// The style for which an installer has to have everything: a launcher only where one is used.
pub(super) fn style_of(pinned: &[Pinned]) -> WrapperStyle {
    let launcher = |one: &Pinned| one.wrappers == WrapperStyle::Launcher;
    if pinned.iter().any(launcher) {
        WrapperStyle::Launcher
    } else {
        WrapperStyle::Script
    }
}

/// Reads the lock at `path`.
pub(super) fn read_lock(
    environment: &Environment,
    path: &std::path::Path,
) -> Result<SiteLock, Failure> {
    let path = environment.absolute(path);
    let text = fs_err::read_to_string(&path)?;
    SiteLock::parse(&text).map_err(|error| {
        let name = path.display().to_string();
        Failure::new(FailureKind::Failed, error).hint(format!("the lock is `{name}`"))
    })
}

/// The wish for exactly what is pinned.
pub(super) fn pinned_wish(installer: &Installer, pinned: &Pinned) -> Result<InstallWish, Failure> {
    Ok(InstallWish {
        sha256: pinned.sha256,
        dialects: pinned.dialects(),
        unpack: pinned.unpacked,
        options: pinned.options.clone(),
        style: pinned.wrappers,
        ..installer.wish(pinned.image())?
    })
}

/// Keeps what goes, installs what comes, and removes the rest when all of it came.
fn apply(
    installer: &Installer,
    plan: &SyncPlan,
    jobs: JobsArgs,
    printer: &Printer,
) -> Result<(), Failure> {
    let site = installer.site();
    // Also what upstream's script has installed, which has no record of ours.
    let records = installed(site)?;
    let of = |all: &[Pinned]| -> Vec<&InstallRecord> {
        let names: Vec<String> = all.iter().map(|one| one.image().stem()).collect();
        let goes = |record: &&InstallRecord| names.contains(&record.image);
        records.iter().filter(goes).collect()
    };
    for record in of(&plan.remove).into_iter().chain(of(&plan.replaced)) {
        if !site.keep(record)? {
            let image = &record.image;
            printer.note(&format!(
                "{image} is no image file; going back gets it from its source"
            ));
        }
    }
    let wishes = plan
        .install
        .iter()
        .map(|pinned| pinned_wish(installer, pinned));
    let wishes = wishes.collect::<Result<Vec<_>, _>>()?;
    let done = installer.install_all(&wishes, jobs.jobs);
    let mut failed = Vec::new();
    for (wish, result) in wishes.iter().zip(done) {
        let stem = wish.image.stem();
        match result {
            Ok(_) => printer.note(&format!("installed {stem}")),
            Err(failure) => {
                printer.error_line(&format!("{stem}: {}", failure.render().trim_end()));
                failed.push(stem);
            }
        }
    }
    installer
        .cancel()
        .check()
        .or_fail(FailureKind::Interrupted)?;
    if !failed.is_empty() {
        let count = wishes.len() - failed.len();
        printer.note(&format!(
            "{count} installed, {} failed, none removed",
            failed.len()
        ));
        let message = format!("failed to install {}", failed.join(", "));
        return Err(Failure::new(FailureKind::Failed, message)
            .hint("the same command goes on; `neurocommand rollback` goes back"));
    }
    for record in of(&plan.remove) {
        let _lock = site.lock(&record.name())?;
        for left in site.remove(record)?.left {
            printer.note(&format!("`{}` stays: nobody recorded it", left.0.display()));
        }
        printer.note(&format!("removed {}", record.image));
    }
    Ok(())
}

fn show(plan: &SyncPlan, printer: &Printer) -> Result<(), Failure> {
    if printer.format() == OutputFormat::Json {
        return tell_json(plan, printer);
    }
    if plan.is_empty() {
        printer.note("nothing has to change");
        return Ok(());
    }
    printer.data(&plan.lines())
}

fn told(plan: &SyncPlan, printer: &Printer) -> Result<(), Failure> {
    if printer.format() == OutputFormat::Json {
        return tell_json(plan, printer);
    }
    let (comes, goes) = (plan.install.len(), plan.leaving().count());
    printer.note(&format!("{comes} installed, {goes} removed"));
    Ok(())
}

fn tell_json(plan: &SyncPlan, printer: &Printer) -> Result<(), Failure> {
    let names = |all: &mut dyn Iterator<Item = &Pinned>| -> Vec<String> {
        all.map(|one| one.image().stem()).collect()
    };
    printer.json(&json!({
        "schema_version": 1,
        "install": names(&mut plan.install.iter()),
        "remove": names(&mut plan.leaving()),
    }))
}

fn states_failure(error: StatesError) -> Failure {
    let kind = match &error {
        StatesError::Busy(_) => FailureKind::Busy,
        StatesError::Io { .. } | StatesError::Lock { .. } => return error.into(),
    };
    Failure::new(kind, error)
}
