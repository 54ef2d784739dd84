//! `bundle` and `prefetch`: installed containers for sites without a network, and for the disk of a node.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use nd_host::{AtomicFile, Environment, write_atomic};
use nd_names::Sha256;
use nd_terminal::{Failure, FailureKind, OutputFormat, Printer, human_bytes};
use serde_json::json;
use transparent_singularity::{
    Given, InstallRecord, InstallWish, Placement, Site,
    cli::{Installer, InstallerOptions},
};

use super::{
    installing::{JobsArgs, SiteArgs, summary},
    syncing::{pinned_wish, read_lock, style_of},
};
use crate::{images::key_of, site::SiteLock};

/// The lock in a bundle.
const LOCK: &str = "site.lock";

/// Commands about bundles: folders with images and the lock that pins them.
#[derive(Debug, Subcommand)]
pub(super) enum BundleCommand {
    /// Write containers that are installed to a folder
    Export(ExportArgs),
    /// Install the containers of a folder; no connection is opened
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The folder; an earlier bundle in it is brought up to date
    folder: PathBuf,
    /// `NAME`, `NAME/VERSION` or `NAME_VERSION_DATE`; everything without
    names: Vec<String>,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The folder
    folder: PathBuf,
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
pub(super) struct PrefetchArgs {
    /// `NAME`, `NAME/VERSION` or `NAME_VERSION_DATE`; everything without
    names: Vec<String>,
    /// Folder of installed images on the node's own disk
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    jobs: JobsArgs,
    #[command(flatten)]
    site: SiteArgs,
}

pub(super) fn bundle(command: &BundleCommand, printer: &Printer) -> Result<(), Failure> {
    match command {
        BundleCommand::Export(args) => export(args, printer),
        BundleCommand::Import(args) => import(args, printer),
    }
}

/// The containers that are named, or all; each has to be an image file, whose bytes can be compared.
fn files(site: &Site, names: &[String]) -> Result<Vec<(InstallRecord, Sha256)>, Failure> {
    let records = if names.is_empty() {
        site.installed()?
    } else {
        let found = names.iter().map(|name| site.find(name));
        found.collect::<Result<Vec<_>, _>>()?
    };
    let with_digest = |record: InstallRecord| {
        if record.placement == Placement::File
            && let Some(sha256) = record.sha256()
        {
            return Ok((record, sha256));
        }
        let image = &record.image;
        let message = format!("`{image}` is a folder or a link, and no image file");
        Err(Failure::new(FailureKind::Failed, message))
    };
    records.into_iter().map(with_digest).collect()
}

fn export(args: &ExportArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let site = args.site.open(&environment)?;
    let files = files(&site, &args.names)?;
    if files.is_empty() {
        return Err(Failure::new(FailureKind::Failed, "nothing is installed"));
    }
    let folder = environment.absolute(&args.folder);
    fs_err::create_dir_all(&folder)?;
    nd_host::remove_abandoned(&folder)?;
    let mut bytes = 0;
    for (record, sha256) in &files {
        bytes += copy(
            &site.image(record),
            &folder.join(key_of(&record.name())),
            sha256,
        )?;
    }
    // The lock comes last: a bundle without one is not whole.
    let records: Vec<InstallRecord> = files.into_iter().map(|(record, _)| record).collect();
    let lock = SiteLock::of(&records);
    write_atomic(&folder.join(LOCK), lock.render().as_bytes())?;
    if printer.format() == OutputFormat::Json {
        let images: Vec<&str> = records.iter().map(|record| record.image.as_str()).collect();
        return printer.json(&json!({
            "schema_version": 1, "folder": folder, "images": images, "written": bytes,
        }));
    }
    let (count, size) = (records.len(), human_bytes(bytes));
    printer.note(&format!(
        "{}: {count} containers, {size} written",
        folder.display()
    ));
    Ok(())
}

/// Copies an image unless its very bytes are there; how many bytes were written.
fn copy(from: &Path, to: &Path, sha256: &Sha256) -> Result<u64, Failure> {
    let there = match fs_err::File::open(to) {
        Ok(mut file) => Some(Sha256::of_rest(&mut file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if there == Some(*sha256) {
        return Ok(0);
    }
    let mut file = AtomicFile::create(to)?;
    let bytes = io::copy(&mut fs_err::File::open(from)?, &mut file)?;
    if Sha256::of_rest(fs_err::File::open(file.path())?)? != *sha256 {
        let message = format!("`{}` is not what was installed", from.display());
        return Err(Failure::new(FailureKind::Failed, message)
            .hint("`transparent-singularity verify` says more"));
    }
    file.commit()?;
    Ok(bytes)
}

fn import(args: &ImportArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let folder = environment.absolute(&args.folder);
    let lock = read_lock(&environment, &folder.join(LOCK))?;
    let set_up = InstallerOptions {
        offline: true,
        ..args.site.options(style_of(lock.containers()))
    };
    let installer = Installer::new(&set_up, printer.clone())?;
    let mut wishes = Vec::new();
    for pinned in lock.containers() {
        let path = folder.join(key_of(&pinned.image()));
        let Some(sha256) = pinned.sha256 else {
            let message = format!("the bundle does not pin the bytes of `{}`", pinned.image());
            return Err(Failure::new(FailureKind::Failed, message));
        };
        let site = installer.site();
        let is_there = site.kept(&sha256)?.is_some();
        if !is_there && !site.keep_bytes(fs_err::File::open(&path)?, &sha256)? {
            let message = format!("`{}` is not what the bundle says", path.display());
            return Err(Failure::new(FailureKind::Failed, message));
        }
        wishes.push(pinned_wish(&installer, pinned)?);
    }
    let done = installer.install_all(&wishes, args.jobs.jobs);
    summary(&installer, &wishes, done, printer)
}

pub(super) fn prefetch(args: &PrefetchArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let site = args.site.open(&environment)?;
    let to = environment.absolute(&args.to);
    if to == site.prefix() {
        let message = format!("`{}` is where the containers are", to.display());
        return Err(Failure::new(FailureKind::Usage, message));
    }
    let files = files(&site, &args.names)?;
    let records: Vec<InstallRecord> = files.iter().map(|(record, _)| record.clone()).collect();
    let lock = SiteLock::of(&records);
    let set_up = InstallerOptions {
        prefix: Some(to),
        ..args.site.options(style_of(lock.containers()))
    };
    let installer = Installer::new(&set_up, printer.clone())?;
    let mut wishes = Vec::new();
    for pinned in lock.containers() {
        let image = pinned.image().stem();
        let record = records.iter().find(|record| record.image == image);
        let from = record.map(|record| Given::Path(site.image(record)));
        wishes.push(InstallWish {
            from,
            ..pinned_wish(&installer, pinned)?
        });
    }
    let done = installer.install_all(&wishes, args.jobs.jobs);
    summary(&installer, &wishes, done, printer)
}
