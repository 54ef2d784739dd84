//! `modules`.

use clap::{Args, Subcommand};
use nd_terminal::{Failure, FailureKind};
use serde_json::json;

use super::{
    apply::StateArgs,
    catalogue::{CatalogueArgs, MountArgs},
    plan::{Wishes, show},
    publisher::{PublisherArgs, apply_failure, publisher_failure, state_failure},
};
use crate::{
    cli::args::Context,
    sync::{Actual, Pace, State, SyncPlan, reconcile_modules},
};

/// The command `modules`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ModulesCommand {
    /// Make module files name the newest published builds, in the categories of the catalogue
    Reconcile(ReconcileArgs),
}

/// Arguments of `modules reconcile`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ReconcileArgs {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    #[command(flatten)]
    mount: MountArgs,
    #[command(flatten)]
    publisher: PublisherArgs,
    #[command(flatten)]
    wishes: Wishes,
    #[command(flatten)]
    state: StateArgs,
    /// Change nothing; end with code 3 when there is anything to change
    #[arg(long)]
    check: bool,
}

pub(in crate::cli) fn modules(context: &Context, command: &ModulesCommand) -> Result<(), Failure> {
    let ModulesCommand::Reconcile(args) = command;
    let name = &args.mount.repository;
    let desired = args.catalogue.read(context)?;
    let folder = args.state.folder(context, name)?;
    let state = State::lock(folder, context.now).map_err(state_failure)?;
    let mount = args.mount.mount()?;
    let options = args.wishes.options(&desired, mount, Pace::default())?;
    let mut publisher = args.publisher.open(context, name, state.folder())?;
    if args.check {
        let actual = {
            let mut view = publisher.view().map_err(publisher_failure)?;
            Actual::read(&mut *view)?
        };
        let plan = SyncPlan {
            modules: SyncPlan::new(&desired, &actual, &options).modules,
            ..SyncPlan::default()
        };
        show(context, &plan)?;
        return if plan.is_empty() {
            Ok(())
        } else {
            Err(Failure::told(FailureKind::Pending))
        };
    }
    let recovered = publisher.recover().map_err(publisher_failure)?;
    if let Some(text) = recovered {
        context.printer.note(&text);
    }
    let changed = reconcile_modules(&mut *publisher, &desired, &options, &context.cancel)
        .map_err(apply_failure)?;
    if context.json() {
        let value = json!({ "schema_version": 1, "changed": changed });
        return context.printer.json(&value);
    }
    context
        .printer
        .data(&format!("{changed} module files changed"))
}
