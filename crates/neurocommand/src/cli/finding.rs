//! `list`, `search` and `info`.

use std::fmt::Write as _;

use camino::{Utf8DirEntry, Utf8Path, Utf8PathBuf};
use clap::Args;
use nd_host::Environment;
use nd_terminal::{Align, Failure, FailureKind, OutputFormat, Printer, Table};
use serde::Serialize;
use serde_json::json;

use super::session::AppsArgs;
use crate::{
    catalogue::{App, Catalogue, Container, quote},
    deployment::Deployment,
    find::{self, Index},
};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Containers whose name or category has this in it, or fits it with `*`
    pattern: Option<String>,
    /// Containers of this category
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// The highest version of each only
    #[arg(long)]
    latest: bool,
    /// Hidden ones, too
    #[arg(long)]
    hidden: bool,
    #[command(flatten)]
    apps: AppsArgs,
}

#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// Words that have to be found
    #[arg(required_unless_present = "command")]
    words: Vec<String>,
    /// Who offers this command, instead
    #[arg(long, value_name = "NAME", conflicts_with = "words")]
    command: Option<String>,
    #[command(flatten)]
    apps: AppsArgs,
}

#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// `NAME`, `NAME/VERSION` or `NAME_VERSION_DATE`
    name: String,
    /// Version, when the name has none
    version: Option<String>,
    #[command(flatten)]
    apps: AppsArgs,
}

fn is_json(printer: &Printer) -> bool {
    printer.format() == OutputFormat::Json
}

/// Whether `text` fits `pattern`: with `*` as a whole, else somewhere; case does not count.
pub(super) fn fits(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
    if !pattern.contains('*') {
        return text.contains(&pattern);
    }
    let parts: Vec<&str> = pattern.split('*').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    let Some(rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    for part in &parts[1..parts.len() - 1] {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

pub(super) fn list(args: &ListArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let (catalogue, _) = args.apps.load(&environment, printer)?;
    let mut rows: Vec<(&Container, &App)> = Vec::new();
    for container in &catalogue.containers {
        let meant = args.pattern.as_ref().is_none_or(|pattern| {
            fits(&container.name, pattern)
                || container.categories.iter().any(|name| fits(name, pattern))
        });
        let in_category = args.category.as_ref().is_none_or(|wanted| {
            container
                .categories
                .iter()
                .any(|name| name.eq_ignore_ascii_case(wanted))
        });
        if !meant || !in_category {
            continue;
        }
        let shown = |app: &&App| args.hidden || app.show_in_applist;
        if args.latest {
            rows.extend(container.latest().filter(shown).map(|app| (container, app)));
        } else {
            rows.extend(container.images().filter(shown).map(|app| (container, app)));
        }
    }
    if is_json(printer) {
        let list: Vec<_> = rows
            .iter()
            .map(|(container, app)| {
                json!({
                    "name": container.name,
                    "version": app.identity.version,
                    "build_date": app.build_date,
                    "categories": container.categories,
                })
            })
            .collect();
        printer.json(&json!({ "schema_version": 1, "containers": list }))?;
    } else if !rows.is_empty() {
        let mut table = Table::new([
            ("container", Align::Left),
            ("version", Align::Left),
            ("built", Align::Left),
            ("categories", Align::Left),
        ]);
        for (container, app) in &rows {
            table.row([
                container.name.clone(),
                app.identity.version.clone(),
                app.build_date.clone(),
                container.categories.join(", "),
            ]);
        }
        printer.data(&table.render_for_terminal())?;
    }
    match &args.pattern {
        Some(pattern) if rows.is_empty() => Err(nothing(&catalogue, pattern)),
        _ => Ok(()),
    }
}

/// The failure that names what was probably meant.
pub(super) fn nothing(catalogue: &Catalogue, word: &str) -> Failure {
    let names = catalogue
        .containers
        .iter()
        .map(|container| container.name.as_str());
    let near = find::nearest_names(names, word);
    let failure = Failure::new(
        FailureKind::Failed,
        format!("nothing matches `{}`", crate::json::shown(word)),
    );
    if near.is_empty() {
        failure.hint("`neurocommand list` names all containers")
    } else {
        failure.hint(format!("similar names: {}", near.join(", ")))
    }
}

pub(super) fn search(args: &SearchArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let (catalogue, index) = args.apps.load(&environment, printer)?;
    if let Some(command) = &args.command {
        return owners(command, &catalogue, &index, printer);
    }
    let hits = find::search(&catalogue, &index, &args.words);
    if is_json(printer) {
        printer.json(&json!({ "schema_version": 1, "containers": hits }))?;
        return if hits.is_empty() {
            Err(Failure::told(FailureKind::Failed))
        } else {
            Ok(())
        };
    }
    if hits.is_empty() {
        return Err(nothing(&catalogue, &args.words.join(" ")));
    }
    let mut table = Table::new([
        ("container", Align::Left),
        ("versions", Align::Left),
        ("about", Align::Left),
    ]);
    for hit in &hits {
        let about = if hit.description.is_empty() {
            hit.categories.join(", ")
        } else {
            hit.description.clone()
        };
        let newest: Vec<&str> = hit
            .versions
            .iter()
            .rev()
            .take(3)
            .map(String::as_str)
            .collect();
        let more = if hit.versions.len() > 3 { ", …" } else { "" };
        table.row([
            hit.name.clone(),
            format!("{}{more}", newest.join(", ")),
            about,
        ]);
    }
    printer.data(&table.render_for_terminal())
}

fn owners(
    command: &str,
    catalogue: &Catalogue,
    index: &Index,
    printer: &Printer,
) -> Result<(), Failure> {
    if index.containers.is_empty() {
        return Err(
            Failure::new(FailureKind::Failed, "no index of commands is at hand")
                .hint("`neurocommand catalogue index --recipes DIR --output index.json` makes one"),
        );
    }
    let names = index.owners(command);
    let owners: Vec<find::CommandOwner> = names
        .iter()
        .map(|&name| find::CommandOwner {
            container: name.to_owned(),
            version: catalogue
                .container(name)
                .and_then(Container::latest)
                .map(|app| app.identity.version.clone())
                .unwrap_or_default(),
            shadows: names
                .iter()
                .filter(|other| **other != name)
                .map(|&other| other.to_owned())
                .collect(),
        })
        .collect();
    if is_json(printer) {
        printer.json(&json!({ "schema_version": 1, "command": command, "containers": owners }))?;
    }
    if owners.is_empty() {
        let near = find::nearest_names(index.commands(), command);
        let failure = Failure::new(
            FailureKind::Failed,
            format!(
                "no container offers the command `{}`",
                crate::json::shown(command)
            ),
        );
        return Err(if near.is_empty() {
            failure
        } else {
            failure.hint(format!("similar commands: {}", near.join(", ")))
        });
    }
    if is_json(printer) {
        return Ok(());
    }
    let mut table = Table::new([
        ("container", Align::Left),
        ("version", Align::Left),
        ("shadows, when loaded later", Align::Left),
    ]);
    for owner in owners {
        table.row([owner.container, owner.version, owner.shadows.join(", ")]);
    }
    printer.data(&table.render_for_terminal())
}

pub(super) fn info(args: &InfoArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let (catalogue, index) = args.apps.load(&environment, printer)?;
    let (name, mut version) = match args.name.split_once('/') {
        Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
        None => (args.name.clone(), args.version.clone()),
    };
    let mut name = name;
    if version.is_none()
        && catalogue.container(&name).is_none()
        && let Ok(image) = name.parse::<nd_names::ImageName>()
    {
        version = Some(image.version.to_string());
        name = image.app.to_string();
    }
    let Some(container) = catalogue.container(&name) else {
        return Err(nothing(&catalogue, &name));
    };
    let apps: Vec<&App> = container
        .apps
        .iter()
        .filter(|app| {
            version
                .as_ref()
                .is_none_or(|version| app.identity.version == *version)
        })
        .collect();
    if let (Some(version), true) = (&version, apps.is_empty()) {
        let versions: Vec<&str> = container
            .images()
            .map(|app| app.identity.version.as_str())
            .collect();
        let message = format!("`{name}` has no version `{}`", crate::json::shown(version));
        return Err(Failure::new(FailureKind::Failed, message)
            .hint(format!("versions: {}", versions.join(", "))));
    }
    let about = index.containers.get(&name).cloned().unwrap_or_default();
    let deployment = Deployment::of(&args.apps.deployment.resolve(&environment, printer)?);
    let modules = modules(deployment.module_root.as_deref(), &apps);
    if is_json(printer) {
        return printer.json(&json!({
            "schema_version": 1,
            "name": container.name,
            "categories": container.categories,
            "description": about.description,
            "commands": about.commands,
            "apps": apps,
            "modules": modules,
        }));
    }
    let mut text = format!("{}\n", container.name);
    if !about.description.is_empty() {
        text.extend([about.description.as_str(), "\n"]);
    }
    let mut line = |what: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{what:<11} {value}");
        }
    };
    line("categories", &container.categories.join(", "));
    line("commands", &about.commands.join(" "));
    for module in &modules {
        line("repository", &module.words());
    }
    let mut table = Table::new([
        ("application", Align::Left),
        ("built", Align::Left),
        ("runs", Align::Left),
        ("in menus", Align::Left),
    ]);
    for app in &apps {
        table.row([
            app.name.clone(),
            app.build_date.clone(),
            if app.exec.is_empty() {
                "a shell".to_owned()
            } else {
                app.exec.clone()
            },
            if app.show_in_menu { "yes" } else { "no" }.to_owned(),
        ]);
    }
    text.push_str(&table.render_for_terminal());
    printer.data(&text)
}

/// A module of the repository.
#[derive(Debug, Serialize)]
struct RepositoryModule {
    /// Folder for `module use`.
    r#use: Utf8PathBuf,
    /// Name for `module load`.
    load: String,
}

impl RepositoryModule {
    fn words(&self) -> String {
        let folder = quote(self.r#use.as_str());
        format!("module use {folder} && module load {}", self.load)
    }
}

/// The modules of `apps` below `root`, each in the first category that has it; none when there is no
/// such folder, since a repository need not be mounted.
fn modules(root: Option<&Utf8Path>, apps: &[&App]) -> Vec<RepositoryModule> {
    let folders = root.and_then(|root| root.read_dir_utf8().ok());
    let mut folders: Vec<Utf8PathBuf> = (folders.into_iter().flatten().flatten())
        .map(Utf8DirEntry::into_path)
        .collect();
    folders.sort();
    let images = apps.iter().filter(|app| app.primary);
    let found = images.filter_map(|app| {
        let load = format!("{}/{}", app.identity.container, app.identity.version);
        let has = |folder: &&Utf8PathBuf| {
            let module = folder.join(&load);
            module.is_file() || folder.join(format!("{load}.lua")).is_file()
        };
        let r#use = folders.iter().find(has)?.clone();
        Some(RepositoryModule { r#use, load })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn patterns_fit_somewhere_or_as_a_whole() {
        assert!(fits("FreeSurfer", "surf") && fits("freesurfer", "FREE*er") && fits("a", "*"));
        assert!(!fits("freesurfer", "surf*") && !fits("ab", "a*b*b") && !fits("a", "aa*"));
    }
}
