//! `ls`, `cat`, `stat`, `log`, `diff`, `catalogs`.

use std::{fmt::Write as _, io::Write as _};

use clap::Args;
use nd_cvmfs::{
    Catalog, Change, Counter, ObjectKind, PublishError, ReadError, Repository, Row, RowKind,
    Target, find_revision, unpack_xattrs,
};
use nd_rootfs::show;
use nd_terminal::{Align, Failure, Table, human_bytes};
use serde_json::json;

use super::args::{Context, absolute, publish_failure};
use crate::Place;

/// Which path of which repository.
#[derive(Debug, Args)]
pub(super) struct PathArgs {
    /// Address or folder of the repository
    place: String,
    /// Path in it
    #[arg(default_value = "/")]
    path: String,
    /// Tag or number of an earlier revision
    #[arg(long, value_name = "REVISION")]
    at: Option<String>,
}

/// What a word of the command line means: a number is a revision, anything else a tag.
pub(super) fn target(word: &str) -> Target {
    match word.parse() {
        Ok(number) => Target::Number(number),
        Err(_) => Target::Tag(word.to_owned()),
    }
}

fn at<'s>(
    repository: Repository<'s>,
    revision: Option<&str>,
) -> Result<Repository<'s>, PublishError> {
    let Some(word) = revision else {
        return Ok(repository);
    };
    let tag = find_revision(&repository, &target(word))?;
    Ok(repository.at(tag.root, tag.revision, tag.size))
}

fn kind(row: &Row) -> &'static str {
    match row.kind() {
        RowKind::Dir => "directory",
        RowKind::File => "file",
        RowKind::Symlink => "symlink",
        RowKind::Special => match row.mode & 0o170_000 {
            0o010_000 => "fifo",
            0o140_000 => "socket",
            0o020_000 => "character device",
            _ => "block device",
        },
    }
}

pub(super) fn ls(context: &Context, args: &PathArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let repository = at(Repository::open(place.source())?, args.at.as_deref());
    let repository = repository.map_err(publish_failure)?;
    let path = absolute(&args.path)?;
    let rows = match repository.list(&path) {
        Err(ReadError::Not { .. }) => vec![repository.stat(&path)?],
        other => other?,
    };
    if context.json() {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "name": show(&row.name),
                    "kind": kind(row),
                    "size": row.size,
                    "mode": format!("{:04o}", row.mode & 0o7777),
                    "mtime": row.mtime,
                })
            })
            .collect();
        return context
            .printer
            .json(&json!({ "schema_version": 1, "entries": rows }));
    }
    let mut text = String::new();
    for row in rows {
        let end = match row.kind() {
            RowKind::Dir => "/".to_owned(),
            RowKind::Symlink => format!(" -> {}", show(&row.symlink)),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "{:04o} {:>12} {}{end}",
            row.mode & 0o7777,
            row.size,
            show(&row.name)
        );
    }
    if text.is_empty() {
        Ok(())
    } else {
        context.printer.data(&text)
    }
}

pub(super) fn cat(context: &Context, args: &PathArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let repository = at(Repository::open(place.source())?, args.at.as_deref());
    let repository = repository.map_err(publish_failure)?;
    let row = repository.stat(&absolute(&args.path)?)?;
    let mut bytes = repository.read(&row)?;
    let mut out = std::io::stdout().lock();
    std::io::copy(&mut bytes, &mut out)?;
    Ok(out.flush()?)
}

pub(super) fn stat(context: &Context, args: &PathArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let repository = at(Repository::open(place.source())?, args.at.as_deref());
    let repository = repository.map_err(publish_failure)?;
    let path = absolute(&args.path)?;
    let row = repository.stat(&path)?;
    let objects: Vec<String> = row
        .objects()
        .map(|(hash, kind, _)| hash.path(kind))
        .collect();
    let xattrs = row
        .xattrs
        .as_deref()
        .and_then(unpack_xattrs)
        .unwrap_or_default();
    let names: Vec<String> = xattrs.iter().map(|(name, _)| show(name)).collect();
    let target = (row.kind() == RowKind::Symlink).then(|| show(&row.symlink));
    if context.json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "path": if path.is_empty() { "/".to_owned() } else { show(&path) },
            "kind": kind(&row),
            "size": row.size,
            "mode": format!("{:04o}", row.mode & 0o7777),
            "uid": row.uid,
            "gid": row.gid,
            "mtime": row.mtime,
            "links": row.links,
            "target": target,
            "attributes": names,
            "objects": objects,
        }));
    }
    let time = jiff::Timestamp::from_second(row.mtime)
        .map_or_else(|_| row.mtime.to_string(), |time| time.to_string());
    let mut text = format!(
        "path   {}\nkind   {}\nsize   {}\nmode   {:04o}\nowner  {}:{}\ntime   {time}\nlinks  {}\n",
        if path.is_empty() {
            "/".to_owned()
        } else {
            show(&path)
        },
        kind(&row),
        row.size,
        row.mode & 0o7777,
        row.uid,
        row.gid,
        row.links,
    );
    if let Some(target) = target {
        let _ = writeln!(text, "target {target}");
    }
    for name in names {
        let _ = writeln!(text, "xattr  {name}");
    }
    for object in objects {
        let _ = writeln!(text, "object {object}");
    }
    context.printer.data(&text)
}

/// Which repository.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    /// Address or folder of the repository
    place: String,
}

pub(super) fn log(context: &Context, args: &LogArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let repository = Repository::open(place.source())?;
    let tags = match repository.history()? {
        Some(history) => history.tags()?,
        None => Vec::new(),
    };
    if context.json() {
        let tags: Vec<_> = tags
            .iter()
            .map(|tag| {
                json!({
                    "name": tag.name,
                    "revision": tag.revision,
                    "root": tag.root.to_string(),
                    "timestamp": tag.timestamp,
                    "description": tag.description,
                })
            })
            .collect();
        return context.printer.json(&json!({
            "schema_version": 1,
            "revision": repository.manifest().revision,
            "root": repository.manifest().root_catalog.to_string(),
            "tags": tags,
        }));
    }
    let mut table = Table::new([
        ("revision", Align::Right),
        ("time", Align::Left),
        ("tag", Align::Left),
        ("description", Align::Left),
    ]);
    for tag in tags {
        let time = jiff::Timestamp::from_second(tag.timestamp)
            .map_or_else(|_| tag.timestamp.to_string(), |time| time.to_string());
        let plain = |text: &str| show(text.as_bytes());
        table.row([
            tag.revision.to_string(),
            time,
            plain(&tag.name),
            plain(&tag.description),
        ]);
    }
    context.printer.data(&table.render_for_terminal())
}

/// Which revisions.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// Address or folder of the repository
    place: String,
    /// Tag or number of the older revision
    old: String,
    /// Tag or number of the newer revision [default: the current one]
    new: Option<String>,
}

pub(super) fn diff(context: &Context, args: &DiffArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let open = || Repository::open(place.source());
    let old = at(open()?, Some(&args.old)).map_err(publish_failure)?;
    let new = at(open()?, args.new.as_deref()).map_err(publish_failure)?;
    let changes = nd_cvmfs::diff(&old, &new)?;
    let word = |change| match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Content => "content",
        Change::Attributes => "attributes",
    };
    if context.json() {
        let changes: Vec<_> = changes
            .iter()
            .map(|one| json!({ "path": show(&one.path), "change": word(one.change) }))
            .collect();
        return context
            .printer
            .json(&json!({ "schema_version": 1, "changes": changes }));
    }
    let mut text = String::new();
    for one in &changes {
        let _ = writeln!(text, "{:10} {}", word(one.change), show(&one.path));
    }
    if text.is_empty() {
        Ok(())
    } else {
        context.printer.data(&text)
    }
}

/// Which repository, and what is too large.
#[derive(Debug, Args)]
pub(super) struct CatalogsArgs {
    /// Address or folder of the repository
    place: String,
    /// Propose cuts where a catalogue has more bytes
    #[arg(long, value_name = "MIB", default_value_t = 32)]
    above: u64,
}

pub(super) fn catalogs(context: &Context, args: &CatalogsArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let repository = Repository::open(place.source())?;
    let manifest = repository.manifest();
    let mut waiting = vec![(Vec::new(), manifest.root_catalog, manifest.root_size, 0u32)];
    let mut found = Vec::new();
    while let Some((prefix, hash, size, depth)) = waiting.pop() {
        context.cancel.check()?;
        let catalog = repository.catalog(&hash, size, &prefix)?;
        for (path, nested) in catalog.nested.iter().rev() {
            waiting.push((path.clone(), nested.hash, nested.size, depth + 1));
        }
        let stored = repository.source().size(&hash.path(ObjectKind::Catalog))?;
        let cuts = if size > args.above << 20 {
            proposals(&catalog)
        } else {
            Vec::new()
        };
        found.push((prefix, catalog, size, stored.unwrap_or(0), depth, cuts));
    }
    if context.json() {
        let all: Vec<_> = found
            .iter()
            .map(|(prefix, catalog, size, stored, depth, cuts)| {
                json!({
                    "path": if prefix.is_empty() { "/".to_owned() } else { show(prefix) },
                    "entries": catalog.rows.len(),
                    "bytes": size,
                    "stored": stored,
                    "depth": depth,
                    "files": catalog.statistics.own.get(Counter::Regular),
                    "cuts": cuts.iter().map(|(path, rows)| {
                        json!({ "path": show(path), "entries": rows })
                    }).collect::<Vec<_>>(),
                })
            })
            .collect();
        return context
            .printer
            .json(&json!({ "schema_version": 1, "catalogs": all }));
    }
    let mut table = Table::new([
        ("entries", Align::Right),
        ("bytes", Align::Right),
        ("stored", Align::Right),
        ("depth", Align::Right),
        ("path", Align::Left),
    ]);
    for (prefix, catalog, size, stored, depth, _) in &found {
        table.row([
            catalog.rows.len().to_string(),
            human_bytes(*size),
            human_bytes(*stored),
            depth.to_string(),
            if prefix.is_empty() {
                "/".to_owned()
            } else {
                show(prefix)
            },
        ]);
    }
    context.printer.data(&table.render_for_terminal())?;
    for (path, rows) in found.iter().flat_map(|one| &one.5) {
        context
            .printer
            .note(&format!("cut at {} ({rows} entries)", show(path)));
    }
    Ok(())
}

/// The directories of a catalogue that would take at least a tenth of it away, and no more than half
/// where there is such a one, heaviest first.
fn proposals(catalog: &Catalog) -> Vec<(Vec<u8>, usize)> {
    let total = catalog.rows.len();
    let mut out: Vec<(Vec<u8>, usize)> = catalog
        .rows
        .values()
        .zip(catalog.paths())
        .filter(|(row, path)| row.kind() == RowKind::Dir && path.len() > catalog.prefix.len())
        .map(|(_, path)| {
            let rows = catalog.below(&path).count();
            (path, rows)
        })
        .filter(|(_, rows)| *rows * 10 >= total && *rows * 2 <= total)
        .collect();
    out.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let mut kept: Vec<(Vec<u8>, usize)> = Vec::new();
    for (path, rows) in out {
        let inside = kept
            .iter()
            .any(|(dir, _)| path.starts_with(&[&dir[..], b"/"].concat()));
        if !inside {
            kept.push((path, rows));
        }
    }
    kept
}
