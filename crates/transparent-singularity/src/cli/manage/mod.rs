//! Commands about what is installed.

pub(super) mod doctor;
mod prove;

use std::fmt::Write as _;

use clap::Args;
use nd_host::FileLock;
use nd_terminal::{Align, Failure, FailureKind, OrFail as _, Table, human_bytes};
use serde_json::json;

use super::{Context, install};
use crate::{Depth, InstallRecord, Site};

pub(super) use prove::ProveArgs;
pub(super) use prove::prove;

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// List what can be installed instead, those with all of these words
    #[arg(long, num_args = 0.., value_name = "WORD")]
    pub available: Option<Vec<String>>,
}

/// Names of images.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Which images [default: all]
    pub names: Vec<String>,
}

/// The name of an image.
#[derive(Debug, Args)]
pub struct NameArg {
    /// Which image
    pub name: String,
}

/// The name of a command.
#[derive(Debug, Args)]
pub struct CommandArgs {
    /// Which command
    #[arg(value_name = "CMD")]
    pub command: String,
}

/// Arguments of `uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// What to remove
    #[arg(required = true)]
    pub names: Vec<String>,
    /// The container's folder, whose parent is the prefix
    #[arg(long, value_name = "DIR")]
    pub folder: Option<std::path::PathBuf>,
    /// Print what would be removed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The installations that are meant: all, or those named.
fn chosen(context: &Context, names: &[String]) -> Result<Vec<(Site, InstallRecord)>, Failure> {
    if names.is_empty() {
        return context.all();
    }
    names.iter().map(|name| context.find(name)).collect()
}

pub(super) fn list(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    if let Some(words) = &args.available {
        return available(context, words, false);
    }
    let all = context.all()?;
    if context.is_json() {
        let images: Vec<_> = all
            .iter()
            .map(|(site, record)| {
                json!({
                    "image": record.image,
                    "prefix": site.prefix(),
                    "folder": site.folder(record),
                    "commands": record.commands.len(),
                    "installed": record.installed,
                    "placement": record.placement,
                    "source": record.source,
                })
            })
            .collect();
        return context
            .printer
            .json(&json!({"schema_version": 1, "images": images}));
    }
    let mut table = Table::new([
        ("image", Align::Left),
        ("commands", Align::Right),
        ("size", Align::Right),
        ("prefix", Align::Left),
    ]);
    for (site, record) in &all {
        let size = record.source.bytes.map_or_else(String::new, human_bytes);
        let commands = record.commands.len().to_string();
        table.row([
            record.image.clone(),
            commands,
            size,
            site.prefix().display().to_string(),
        ]);
    }
    if all.is_empty() {
        context.printer.note("nothing is installed");
        return Ok(());
    }
    context.printer.data(&table.render_for_terminal())
}

/// The published list; `fresh` asks for it, otherwise what is known is good enough.
pub(super) fn available(context: &Context, words: &[String], fresh: bool) -> Result<(), Failure> {
    // Whoever only looks may have no right to write to a prefix.
    let store = match context.site.prepare() {
        Ok(()) => context.site.store(),
        Err(_) => context
            .environment
            .cache_dir()
            .or_fail(FailureKind::Failed)?
            .join("store"),
    };
    let fetch = context.fetch(&store)?;
    let list = install::published(context, &fetch, fresh && !context.offline)?;
    let found = list.search(words);
    if context.is_json() {
        let images: Vec<_> = found
            .iter()
            .map(|image| json!({"image": image.name.stem(), "words": image.words}))
            .collect();
        return context
            .printer
            .json(&json!({"schema_version": 1, "images": images}));
    }
    if found.is_empty() {
        let near = crate::nearest(words.first().map_or("", String::as_str), &list.names());
        if !near.is_empty() {
            context
                .printer
                .note(&format!("near is {}", near.join(", ")));
        }
    }
    let mut out = String::new();
    for image in found {
        let _ = writeln!(out, "{} {}", image.name, image.words);
    }
    context.printer.data(&out)?;
    if fresh {
        context
            .printer
            .note("install one: transparent-singularity install TOOL/VERSION");
        context.printer.note(
            "folders besides your home are bound by `APPTAINER_BINDPATH`, for example `/opt,/data`",
        );
    }
    Ok(())
}

pub(super) fn commands(context: &Context, args: &NameArgs) -> Result<(), Failure> {
    let all = chosen(context, &args.names)?;
    if context.is_json() {
        let commands: Vec<_> = all
            .iter()
            .flat_map(|(site, record)| {
                let folder = site.folder(record);
                record.commands.iter().map(move |command| {
                    json!({"command": command, "image": record.image, "path": folder.join(command)})
                })
            })
            .collect();
        return context
            .printer
            .json(&json!({"schema_version": 1, "commands": commands}));
    }
    let mut out = String::new();
    for (_, record) in &all {
        for command in &record.commands {
            let _ = writeln!(out, "{command}\t{}", record.image);
        }
    }
    context.printer.data(&out)
}

/// The installations that have a command, newest version first.
pub(super) fn having(
    context: &Context,
    command: &str,
) -> Result<Vec<(Site, InstallRecord)>, Failure> {
    let mut found = context.all()?;
    found.retain(|(_, record)| record.commands.iter().any(|one| one == command));
    found.sort_by(|(_, a), (_, b)| {
        let (a, b) = (a.name(), b.name());
        crate::compare_versions(b.version.as_str(), a.version.as_str())
            .then_with(|| b.date.cmp(&a.date))
    });
    if found.is_empty() {
        return Err(Failure::new(
            FailureKind::Failed,
            format!("no installed image has a command `{command}`"),
        )
        .hint("`transparent-singularity commands` lists them all"));
    }
    Ok(found)
}

pub(super) fn which(context: &Context, args: &CommandArgs) -> Result<(), Failure> {
    let found = having(context, &args.command)?;
    if context.is_json() {
        let list: Vec<_> = found
            .iter()
            .map(|(site, record)| json!({"image": record.image, "path": site.folder(record).join(&args.command)}))
            .collect();
        return context
            .printer
            .json(&json!({"schema_version": 1, "command": args.command, "found": list}));
    }
    let mut out = String::new();
    for (site, record) in &found {
        let _ = writeln!(out, "{}", site.folder(record).join(&args.command).display());
    }
    context.printer.data(&out)
}

pub(super) fn path(context: &Context, args: &NameArg) -> Result<(), Failure> {
    let (site, record) = context.find(&args.name)?;
    let folder = site.folder(&record);
    if context.is_json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "image": record.image,
            "folder": folder,
            "file": site.image(&record),
        }));
    }
    context.printer.data(&format!("{}\n", folder.display()))
}

pub(super) fn verify(context: &Context, args: &NameArgs) -> Result<(), Failure> {
    let all = chosen(context, &args.names)?;
    let mut broken = 0;
    let mut report = Vec::new();
    for (site, record) in &all {
        let findings = crate::verify(site, record, Depth::Full);
        let bad = findings.iter().filter(|finding| !finding.is_note()).count();
        broken += usize::from(bad > 0);
        if !context.is_json() {
            let word = if bad > 0 { "broken" } else { "whole" };
            context.printer.note(&format!("{}: {word}", record.image));
            for finding in &findings {
                context.printer.note(&format!("  {finding}"));
            }
        }
        report.push(json!({"image": record.image, "whole": bad == 0, "findings": findings}));
    }
    if context.is_json() {
        context
            .printer
            .json(&json!({"schema_version": 1, "images": report}))?;
    }
    if broken > 0 {
        if context.is_json() {
            return Err(Failure::told(FailureKind::Failed));
        }
        return Err(Failure::new(FailureKind::Failed, format!("{broken} of {} images are not as they were installed", all.len()))
            .hint("`transparent-singularity repair` puts right what it can, `install --reinstall` the rest"));
    }
    Ok(())
}

pub(super) fn repair(context: &Context, args: &NameArgs) -> Result<(), Failure> {
    let _here = context.site.enter().map_err(install::site_failure)?;
    let launcher = install::launcher(context).unwrap_or_default();
    let mut report = Vec::new();
    let mut left = 0;
    let records = if args.names.is_empty() {
        let all = context.site.all_records().map_err(install::site_failure)?;
        all.into_iter()
            .collect::<Result<Vec<_>, _>>()
            .or_fail(FailureKind::Failed)?
    } else {
        let all = args.names.iter().map(|name| context.site.find(name));
        all.collect::<Result<Vec<_>, _>>()
            .map_err(install::site_failure)?
    };
    for record in &records {
        let _lock = context
            .site
            .lock(&record.name())
            .map_err(install::site_failure)?;
        let done =
            crate::repair(&context.site, record, &launcher).map_err(install::site_failure)?;
        for path in &done.written {
            context
                .printer
                .note(&format!("{}: wrote `{path}`", record.image));
        }
        for finding in &done.left {
            context
                .printer
                .warn(&format!("{}: {finding}", record.image));
        }
        left += done.left.len();
        report.push(json!({"image": record.image, "written": done.written, "left": done.left}));
    }
    if context.is_json() {
        context
            .printer
            .json(&json!({"schema_version": 1, "images": report}))?;
    }
    if left > 0 {
        return Err(
            Failure::new(FailureKind::Failed, format!("{left} problems are left"))
                .hint("`transparent-singularity install --reinstall NAME` writes everything anew"),
        );
    }
    Ok(())
}

pub(super) fn uninstall(context: &Context, args: &UninstallArgs) -> Result<(), Failure> {
    let site = match &args.folder {
        Some(folder) => {
            let folder = context.environment.absolute(folder);
            Site::new(super::clean(folder.parent().unwrap_or(&folder)))
        }
        None => context.site.clone(),
    };
    let mut report = Vec::new();
    for name in &args.names {
        // An installation that was never finished can be removed as well.
        let record = match site.record(name.trim_end_matches(".simg")) {
            Ok(Some(record)) => record,
            _ => site.find(name).map_err(install::site_failure)?,
        };
        let (removed, verb) = if args.dry_run {
            (
                site.plan_removal(&record).map_err(install::site_failure)?,
                "would remove",
            )
        } else {
            let _lock = site.lock(&record.name()).map_err(install::site_failure)?;
            (
                site.remove(&record).map_err(install::site_failure)?,
                "removed",
            )
        };
        for path in &removed.paths {
            context
                .printer
                .detail(&format!("{verb} `{}`", path.display()));
        }
        context.printer.note(&format!(
            "{verb} {}: {} files and folders",
            record.image,
            removed.paths.len()
        ));
        for left in &removed.left {
            context.printer.note(&format!(
                "`{}` stays: it was not installed",
                left.0.display()
            ));
        }
        report.push(json!({
            "image": record.image,
            "removed": removed.paths,
            "left": removed.left.iter().map(|left| &left.0).collect::<Vec<_>>(),
        }));
    }
    if !args.dry_run && site.prefix().is_dir() {
        site.remove_if_empty().map_err(install::site_failure)?;
    }
    if context.is_json() {
        context
            .printer
            .json(&json!({"schema_version": 1, "images": report}))?;
    }
    Ok(())
}

pub(super) fn gc(context: &Context) -> Result<(), Failure> {
    if !context.site.state().is_dir() {
        if context.is_json() {
            let nothing = json!({"schema_version": 1, "items": 0, "bytes": 0, "locks": 0});
            return context.printer.json(&nothing);
        }
        context.printer.note("nothing is installed");
        return Ok(());
    }
    // Also finishes or forgets what killed runs left.
    context.site.prepare().map_err(install::site_failure)?;
    let store = context.fetch(&context.site.store())?.store;
    let pruned = store.prune(0)?;
    let mut locks = 0;
    let folder = context.site.state().join("locks");
    let used: Vec<String> = context
        .site
        .all_records()
        .map_err(install::site_failure)?
        .into_iter()
        .flatten()
        .map(|record| {
            let name = record.name();
            format!("{}_{}.lock", name.app, name.version)
        })
        .collect();
    for entry in fs_err::read_dir(&folder)?.flatten() {
        let path = entry.path();
        let is_used = used.iter().any(|name| entry.file_name() == name.as_str());
        if !is_used && FileLock::try_exclusive(&path)?.is_some() {
            fs_err::remove_file(&path)?;
            locks += 1;
        }
    }
    if context.is_json() {
        return context.printer.json(&json!({"schema_version": 1, "items": pruned.items, "bytes": pruned.bytes, "locks": locks}));
    }
    context.printer.note(&format!(
        "removed {} downloads, {}",
        pruned.items,
        human_bytes(pruned.bytes)
    ));
    Ok(())
}
