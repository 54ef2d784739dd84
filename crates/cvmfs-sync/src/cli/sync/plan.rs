//! `plan`.

use clap::{Args, ValueEnum};
use nd_names::ImageName;
use nd_terminal::{Failure, FailureKind, human_bytes, human_duration};

use super::{
    apply::StateArgs,
    catalogue::{CatalogueArgs, MountArgs, look},
    menu::MenuArgs,
    publisher::state_failure,
};
use crate::{
    cli::args::Context,
    sync::{Ceiling, Desired, Memory, Pace, PlanOptions, Stale, SyncPlan},
};

/// What happens to containers that the catalogue does not list.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum StaleArg {
    /// Their commands say that they are gone, and their image goes
    #[default]
    Disable,
    /// They go, with their module files
    Remove,
}

/// What decides a plan.
#[derive(Debug, Args)]
pub(super) struct Wishes {
    /// What happens to containers that the catalogue does not list
    #[arg(long, value_name = "WHAT", default_value = "disable")]
    stale: StaleArg,
    /// Take away more than a tenth of the containers, or more than three of a few
    #[arg(long)]
    allow_shrink: bool,
    /// Look at this image alone; may be repeated
    #[arg(long, value_name = "IMAGE")]
    only: Vec<ImageName>,
    /// Publish this image anew; may be repeated
    #[arg(long, value_name = "IMAGE")]
    refresh: Vec<ImageName>,
}

impl Wishes {
    /// The same for the planner.
    pub(super) fn options(
        &self,
        desired: &Desired,
        mount: String,
        pace: Pace,
    ) -> Result<PlanOptions, Failure> {
        if let Some(unknown) = self.refresh.iter().find(|name| !desired.has(name)) {
            let text =
                format!("the catalogue does not list `{unknown}`, which should be refreshed");
            return Err(Failure::new(FailureKind::Usage, text));
        }
        Ok(PlanOptions {
            mount,
            stale: match self.stale {
                StaleArg::Disable => Stale::Disable,
                StaleArg::Remove => Stale::Remove,
            },
            ceiling: if self.allow_shrink {
                Ceiling::None
            } else {
                Ceiling::Tenth
            },
            only: self.only.iter().cloned().collect(),
            refresh: self.refresh.iter().cloned().collect(),
            pace,
        })
    }
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(in crate::cli) struct PlanArgs {
    /// What is published: a mounted repository or a folder of that shape, the folder of a repository's
    /// files, or its address
    repository_at: String,
    #[command(flatten)]
    catalogue: CatalogueArgs,
    #[command(flatten)]
    mount: MountArgs,
    #[command(flatten)]
    wishes: Wishes,
    #[command(flatten)]
    menu: MenuArgs,
    #[command(flatten)]
    state: StateArgs,
    /// End with code 3 when there is anything to do
    #[arg(long)]
    check: bool,
}

pub(in crate::cli) fn plan(context: &Context, args: &PlanArgs) -> Result<(), Failure> {
    let desired = args.catalogue.read(context)?;
    let folder = args.state.folder(context, &args.mount.repository)?;
    let pace = Memory::load(&folder).map_err(state_failure)?.pace;
    let mount = args.mount.mount()?;
    let menu = args.menu.menu(context, args.catalogue.word(), &mount)?;
    let options = args.wishes.options(&desired, mount, pace)?;
    let seen = look(context, &args.repository_at, menu.as_ref())?;
    let mut plan = SyncPlan::new(&desired, &seen.actual, &options);
    (plan.based_on, plan.menu) = (seen.revision, seen.menu);
    show(context, &plan)?;
    if let Some(refusal) = plan.refused {
        return Err(refused(refusal));
    }
    if args.check && !plan.is_empty() {
        return Err(Failure::told(FailureKind::Pending));
    }
    Ok(())
}

/// A plan that may not be carried out.
pub(super) fn refused(refusal: crate::sync::Refusal) -> Failure {
    Failure::new(FailureKind::Refused, refusal)
        .hint("look at the catalogue; `--allow-shrink` takes away as much as it says")
}

/// Prints a plan.
pub(super) fn show(context: &Context, plan: &SyncPlan) -> Result<(), Failure> {
    if context.json() {
        let mut value = serde_json::to_value(plan)?;
        if let Some(members) = value.as_object_mut() {
            members.insert("schema_version".to_owned(), 1.into());
        }
        return context.printer.json(&value);
    }
    if plan.is_empty() {
        return context.printer.data("nothing to do");
    }
    for step in &plan.steps {
        let size = step
            .bytes
            .map(|bytes| format!(", {}", human_bytes(bytes)))
            .unwrap_or_default();
        context.printer.data(&format!(
            "{:<8} {}: {}{size}",
            step.action.word(),
            step.image,
            step.reason
        ))?;
    }
    for edit in &plan.modules {
        let word = if edit.text.is_some() {
            "write"
        } else {
            "delete"
        };
        context.printer.data(&format!("{word:<8} {}", edit.path))?;
    }
    if let Some(menu) = &plan.menu {
        let (at, files, reason) = (&menu.at, menu.files, menu.reason);
        let line = format!("menu     {at}: {reason}, {files} files");
        context.printer.data(&line)?;
    }
    let cost = plan.cost;
    if cost.bytes > 0 {
        let time = cost.seconds.map(std::time::Duration::from_secs);
        let time = time.map(|time| format!(", about {}", human_duration(time)));
        context.printer.note(&format!(
            "{} of images{}",
            human_bytes(cost.bytes),
            time.unwrap_or_default()
        ));
    }
    if cost.unknown > 0 {
        context
            .printer
            .note(&format!("no size is known of {} images", cost.unknown));
    }
    Ok(())
}
