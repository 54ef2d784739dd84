//! `menu`.

use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand};
use nd_host::Environment;
use nd_terminal::{Failure, FailureKind, OutputFormat, Printer};
use serde_json::json;

use super::{
    files::Files,
    session::{AppsArgs, DeploymentArgs},
};
use crate::{
    catalogue::decode,
    deployment::{Deployment, Desktop, Value},
    menu::{IconFolder, Installation, MenuError, apply, clear, install, plan, uninstall},
};

/// Commands about menus.
#[derive(Debug, Subcommand)]
pub(super) enum MenuCommand {
    /// Write launchers, menu entries, folders and icons
    Build(BuildArgs),
    /// Make the menu known to the desktop
    Install(InstallArgs),
    /// Undo `install`, and remove what `build` wrote
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    #[command(flatten)]
    apps: AppsArgs,
    /// Folder that gets everything; else that of the deployment
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Folder of icons, `NAME.png`
    #[arg(long, value_name = "DIR")]
    icons: Option<PathBuf>,
    /// Desktop that menus are made for; `cli` for launchers only
    #[arg(long, value_name = "NAME", value_parser = ["cli", "lxde", "mate", "xfce", "gnome", "kde"])]
    desktop: Option<String>,
    /// Write nothing, say what would be written
    #[arg(long)]
    dry_run: bool,
    /// Let the menu lose more than a tenth of its entries
    #[arg(long)]
    allow_shrink: bool,
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// For everybody on the machine; else for you
    #[arg(long)]
    system: bool,
    /// Below this folder in place of `/`
    #[arg(long, value_name = "DIR", requires = "system")]
    root: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Keep what `build` wrote
    #[arg(long)]
    keep_files: bool,
}

#[derive(Debug, Args)]
struct PlaceArgs {
    #[command(flatten)]
    deployment: DeploymentArgs,
    /// Folder that `build` wrote to; else that of the deployment
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

pub(super) fn run(command: &MenuCommand, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    match command {
        MenuCommand::Build(args) => build(args, &environment, printer),
        MenuCommand::Install(args) => make_known(args, &environment, printer),
        MenuCommand::Remove(args) => remove(args, &environment, printer),
    }
}

fn utf8(path: PathBuf) -> Result<Utf8PathBuf, Failure> {
    Utf8PathBuf::from_path_buf(path).map_err(|path| {
        let message = format!("`{}` is no UTF-8, and menus name paths", path.display());
        Failure::new(FailureKind::Failed, message)
    })
}

/// The folder, from the command line, the deployment, or the user's data.
fn prefix(
    given: Option<&PathBuf>,
    deployment: &Deployment,
    environment: &Environment,
) -> Result<Utf8PathBuf, Failure> {
    if let Some(path) = given {
        return utf8(environment.absolute(path));
    }
    if let Some(path) = &deployment.prefix {
        return Ok(path.clone());
    }
    // Not below `data_dir`, whose last part is of one project.
    Ok(data(environment)?.join(format!("{}-menu", deployment.slug)))
}

/// The user's base folder of data.
fn data(environment: &Environment) -> Result<Utf8PathBuf, Failure> {
    let folder = environment.data_dir()?;
    utf8(folder.parent().unwrap_or(&folder).to_path_buf())
}

fn build(args: &BuildArgs, environment: &Environment, printer: &Printer) -> Result<(), Failure> {
    let mut settings = args.apps.deployment.resolve(environment, printer)?;
    if let Some(desktop) = &args.desktop {
        settings.set("desktop", Value::Text(desktop.clone()), "--desktop");
    }
    let deployment = Deployment::of(&settings);
    let prefix = prefix(args.prefix.as_ref(), &deployment, environment)?;
    let mut files = Files::default();
    let path = args.apps.path(environment, printer)?;
    let document = files.required(&path, printer)?;
    let catalogue = decode(&document, &mut files.sink);
    // A menu of half a catalogue would take entries away.
    if files.sink.has_errors() {
        return files.end(printer);
    }
    let icons = args
        .icons
        .as_ref()
        .map(|path| environment.absolute(path))
        .or_else(|| deployment.icons.clone().map(Utf8PathBuf::into_std_path_buf));
    let icons = IconFolder::open(icons.as_deref())?;
    let program = utf8(program(environment))?;
    let mut files = Files {
        texts: files.texts,
        ..Files::default()
    };
    let plan = plan(
        &catalogue,
        &deployment,
        &prefix,
        program.as_str(),
        &icons,
        &mut files.sink,
    );
    files.end(printer)?;
    if args.dry_run {
        if printer.format() == OutputFormat::Json {
            let paths: Vec<&Utf8PathBuf> = plan.files.keys().collect();
            return printer.json(&json!({ "schema_version": 1, "prefix": prefix, "files": paths }));
        }
        let lines: Vec<String> = plan
            .files
            .keys()
            .map(|path| format!("{prefix}/{path}\n"))
            .collect();
        return printer.data(&lines.concat());
    }
    let applied = apply(&plan, args.allow_shrink).map_err(failure)?;
    if printer.format() == OutputFormat::Json {
        return printer.json(&json!({
            "schema_version": 1, "prefix": prefix, "shown": plan.shown,
            "written": applied.written, "unchanged": applied.unchanged, "removed": applied.removed,
        }));
    }
    printer.note(&format!(
        "{prefix}: {} entries shown, {} files written, {} unchanged, {} removed",
        plan.shown, applied.written, applied.unchanged, applied.removed
    ));
    Ok(())
}

/// This program, as launchers call it.
fn program(environment: &Environment) -> PathBuf {
    let name = "neurocommand";
    let found = environment
        .search_path()
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

fn failure(error: MenuError) -> Failure {
    match error {
        MenuError::Shrinks { .. } => {
            Failure::new(FailureKind::Refused, error).hint("`--allow-shrink` lets it")
        }
        MenuError::InTheWay { .. } => {
            Failure::new(FailureKind::Refused, error).hint("move it away, or choose another `slug`")
        }
        error => error.into(),
    }
}

fn make_known(
    args: &InstallArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<(), Failure> {
    let deployment = Deployment::of(&args.place.deployment.resolve(environment, printer)?);
    if deployment.desktop == Desktop::Cli {
        let message = "the deployment has no desktop, so there is no menu to make known";
        return Err(Failure::new(FailureKind::Refused, message));
    }
    let prefix = prefix(args.place.prefix.as_ref(), &deployment, environment)?;
    if !prefix.join(deployment.menu_file()).is_file() {
        let message = format!("there is no menu in `{prefix}`");
        return Err(
            Failure::new(FailureKind::Failed, message).hint("`neurocommand menu build` writes one")
        );
    }
    let installation = if args.system {
        let root = args.root.clone().unwrap_or_else(|| PathBuf::from("/"));
        Installation::of_machine(&deployment, &utf8(environment.absolute(root))?)
    } else {
        let config = environment.config_dir()?;
        let config = utf8(config.parent().unwrap_or(&config).to_path_buf())?;
        Installation::of_user(&config, &data(environment)?)
    };
    let links = install(&deployment, &prefix, &installation).map_err(failure)?;
    if printer.format() == OutputFormat::Json {
        return printer.json(&json!({ "schema_version": 1, "links": links }));
    }
    for link in links {
        printer.note(&format!("{} -> {}", link.path, link.target));
    }
    Ok(())
}

fn remove(args: &RemoveArgs, environment: &Environment, printer: &Printer) -> Result<(), Failure> {
    let deployment = Deployment::of(&args.place.deployment.resolve(environment, printer)?);
    let prefix = prefix(args.place.prefix.as_ref(), &deployment, environment)?;
    if !Utf8Path::new(&prefix).is_dir() {
        printer.note(&format!("there is nothing in `{prefix}`"));
        return Ok(());
    }
    let gone = uninstall(&deployment, &prefix).map_err(failure)?;
    let mut removed = 0;
    if !args.keep_files {
        removed = clear(&prefix).map_err(failure)?.removed;
    }
    if printer.format() == OutputFormat::Json {
        return printer.json(&json!({ "schema_version": 1, "links": gone, "removed": removed }));
    }
    printer.note(&format!("{} links and {removed} files removed", gone.len()));
    Ok(())
}
