//! `keys` and `resign`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nd_cvmfs::{
    Algorithm, DEFAULT_DAYS, KeyFolder, Keys, Repository, RepositoryName, Source, WHITELIST,
    Whitelist, assemble_whitelist, hash_to_sign, seal_whitelist,
};
use nd_terminal::{Failure, FailureKind};
use serde_json::json;

use super::args::{Context, KeyArgs, RepositoryArgs, publish_failure};
use crate::Place;

/// The command `keys`.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Make a master key and a release key
    Init(OneArgs),
    /// Take keys from a folder that has them under the names that CVMFS gives them
    Import(MoveArgs),
    /// Copy keys to a folder, under the names that CVMFS gives them
    Export(MoveArgs),
    /// Say which keys there are, and whether they belong together
    Check(OneArgs),
}

/// Whose keys.
#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Name of the repository
    repository: RepositoryName,
    #[command(flatten)]
    keys: KeyArgs,
}

/// From or to where.
#[derive(Debug, Args)]
pub(super) struct MoveArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The folder
    folder: PathBuf,
    /// Leave the private master key where it is
    #[arg(long)]
    without_master: bool,
}

pub(super) fn run(context: &Context, command: &KeysCommand) -> Result<(), Failure> {
    match command {
        KeysCommand::Init(args) => {
            let folder = args.keys.folder(context, &args.repository)?;
            let keys = folder.create(context.now)?;
            tell(context, &folder, &keys)
        }
        KeysCommand::Check(args) => {
            let folder = args.keys.folder(context, &args.repository)?;
            let keys = args.keys.load(context, &args.repository)?;
            tell(context, &folder, &keys)?;
            if keys.public.is_none() && keys.release.is_none() {
                let text = format!("there are no keys in `{}`", folder.path().display());
                return Err(Failure::new(FailureKind::Failed, text));
            }
            Ok(())
        }
        KeysCommand::Import(args) => {
            let there = context.environment.absolute(&args.folder);
            let from = KeyFolder::new(there, args.one.repository.clone());
            let to = args.one.keys.folder(context, &args.one.repository)?;
            move_keys(context, args, &from, &to)
        }
        KeysCommand::Export(args) => {
            let there = context.environment.absolute(&args.folder);
            let to = KeyFolder::new(there, args.one.repository.clone());
            let from = args.one.keys.folder(context, &args.one.repository)?;
            move_keys(context, args, &from, &to)
        }
    }
}

fn move_keys(
    context: &Context,
    args: &MoveArgs,
    from: &KeyFolder,
    to: &KeyFolder,
) -> Result<(), Failure> {
    let mut keys = from.load()?;
    if args.without_master {
        keys.master = None;
    }
    if keys.public.is_none() && keys.release.is_none() {
        let text = format!("there are no keys in `{}`", from.path().display());
        return Err(Failure::new(FailureKind::Failed, text));
    }
    to.save(&keys)?;
    tell(context, to, &keys)
}

fn tell(context: &Context, folder: &KeyFolder, keys: &Keys) -> Result<(), Failure> {
    let print = |keys: &Keys| {
        let release = keys.release.as_ref();
        release.map(|release| release.certificate().fingerprint(Algorithm::Sha1))
    };
    if context.json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "folder": folder.path().display().to_string(),
            "master": keys.master.is_some(),
            "public": keys.public.is_some(),
            "release": keys.release.is_some(),
            "fingerprint": print(keys),
        }));
    }
    let yes = |have: bool| if have { "yes" } else { "no" };
    context.printer.data(&format!(
        "folder         {}\nmaster key     {}\npublic key     {}\nrelease key    {}\ncertificate    {}",
        folder.path().display(),
        yes(keys.master.is_some()),
        yes(keys.public.is_some()),
        yes(keys.release.is_some()),
        print(keys).unwrap_or_else(|| "none".to_owned())
    ))
}

/// Arguments of `resign`.
#[derive(Debug, Args)]
pub(super) struct ResignArgs {
    #[command(flatten)]
    repository: RepositoryArgs,
    /// For how many days the whitelist is good
    #[arg(long, default_value_t = DEFAULT_DAYS)]
    days: u32,
    /// Write the whitelist's text to this file and sign nothing: first step with a master key that is
    /// kept elsewhere
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sign", "signature"])]
    prepare: Option<PathBuf>,
    /// Sign the text of this file with the master key here, to FILE.signature: the step where that key
    /// is kept; the storage is not looked at
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    sign: Option<PathBuf>,
    /// Publish the text of this file with the signature in FILE.signature: the last step
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

/// The command `resign`.
pub(super) fn resign(context: &Context, args: &ResignArgs) -> Result<(), Failure> {
    let repository = &args.repository;
    let name = &repository.repository;
    let keys = repository.keys.load(context, name)?;
    let beside = |path: &PathBuf| {
        let mut name = path.clone().into_os_string();
        name.push(".signature");
        context.environment.absolute(PathBuf::from(name))
    };
    if let Some(file) = &args.sign {
        let payload = fs_err::read(context.environment.absolute(file))?;
        let list = Whitelist::parse_lines(&payload)?;
        if list.name != *name {
            let text = format!("the whitelist is that of `{}`", list.name);
            return Err(Failure::new(FailureKind::Refused, text));
        }
        let algorithm = list.algorithm();
        let signature = keys
            .master()?
            .sign_hash(&hash_to_sign(&payload, algorithm))?;
        nd_host::write_atomic(&beside(file), &signature)?;
        return context.printer.data(&beside(file).display().to_string());
    }
    let spool = repository.spool();
    let storage = Place::writable(&repository.storage, spool.as_deref(), &context.environment)?;
    let source: &dyn Source = &*storage;
    let algorithm = Repository::open(source)?.manifest().root_catalog.algorithm;
    let print = keys.release()?.certificate().fingerprint(algorithm);
    let list = Whitelist::new(name.clone(), print, context.now, args.days);
    if let Some(file) = &args.prepare {
        let file = context.environment.absolute(file);
        nd_host::write_atomic(&file, &list.to_lines())?;
        return context.printer.data(&file.display().to_string());
    }
    let (list, sealed) = if let Some(file) = &args.signature {
        let payload = fs_err::read(context.environment.absolute(file))?;
        let signature = fs_err::read(beside(file))?;
        let public = keys.public.as_ref();
        let public = public
            .ok_or_else(|| Failure::new(FailureKind::Failed, "the public master key is missing"))?;
        let list = Whitelist::parse_lines(&payload)?;
        let sealed = assemble_whitelist(&payload, &signature, list.algorithm(), public);
        let wrong = || {
            Failure::new(
                FailureKind::Refused,
                "the signature is not the master key's",
            )
        };
        (list, sealed.ok_or_else(wrong)?)
    } else {
        let sealed = seal_whitelist(&list, algorithm, keys.master()?)?;
        (list, sealed)
    };
    if list.name != *name || list.is_expired(context.now) {
        let text = "the whitelist is that of another repository, or has expired";
        return Err(Failure::new(FailureKind::Refused, text));
    }
    let _guard = storage
        .lock()
        .map_err(|error| publish_failure(error.into()))?;
    storage.put(WHITELIST, &sealed)?;
    if context.json() {
        context.printer.json(&json!({
            "schema_version": 1,
            "repository": name.to_string(),
            "expires": format!("{}Z", list.expires),
        }))
    } else {
        context
            .printer
            .data(&format!("good until {} UTC", list.expires))
    }
}
