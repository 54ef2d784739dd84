//! `mkfs`, `publish`, `remove`, `rollback`, `gc`, `replicate`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use nd_cvmfs::{
    Action, Algorithm, Begin, ChunkSizes, CutOptions, DEFAULT_DAYS, DeflateLevel, Keep, Keys,
    NestedAt, NewRepository, ObjectOptions, Published, Publisher, PutOptions, ReplicateOptions,
    Repository, Revision, Source, Storage, TagName, Target, collect, create, roll_back,
};
use nd_rootfs::{Index, TreePath};
use nd_terminal::{Failure, FailureKind, human_bytes};
use serde_json::json;

use super::{
    args::{Context, RepositoryArgs, TrustArgs, publish_failure, replicate_failure, tree_path},
    look::target,
};
use crate::{
    Place, SourceTree,
    hints::{OPENED, opened},
    tree::{Input, files_tree, record_tree},
};

/// What names objects.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum HashArg {
    /// SHA-1, the default of CVMFS
    Sha1,
    /// RIPEMD-160
    Rmd160,
    /// SHAKE-128
    Shake128,
}

/// Arguments of `mkfs`.
#[derive(Debug, Args)]
pub(super) struct MkfsArgs {
    #[command(flatten)]
    repository: RepositoryArgs,
    /// What names objects
    #[arg(long, value_name = "NAME", default_value = "sha1")]
    hash: HashArg,
    /// How long clients keep a manifest, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 240)]
    ttl: u64,
    /// For how many days the whitelist is good
    #[arg(long, default_value_t = DEFAULT_DAYS)]
    days: u32,
    /// Never delete objects of this repository
    #[arg(long)]
    no_gc: bool,
    /// JSON file that describes the repository
    #[arg(long, value_name = "FILE")]
    meta: Option<PathBuf>,
}

pub(super) fn mkfs(context: &Context, args: &MkfsArgs) -> Result<(), Failure> {
    let repository = &args.repository;
    let storage = writable(context, repository)?;
    let folder = repository.keys.folder(context, &repository.repository)?;
    let served = Place::folder(&repository.storage, &context.environment);
    if served.is_ok_and(|served| inside(folder.path(), &served)) {
        let text = "keys must not be below the storage, from where they would be served";
        return Err(Failure::new(FailureKind::Refused, text));
    }
    if storage.size(nd_cvmfs::MANIFEST)?.is_some() {
        return Err(publish_failure(nd_cvmfs::PublishError::Exists));
    }
    let mut keys = folder.load()?;
    if keys.release.is_none() && keys.public.is_none() {
        keys = folder.create(context.now)?;
        let path = folder.path().display();
        context
            .printer
            .note(&format!("made keys in `{path}`; keep a copy of them"));
    }
    let meta_info = match &args.meta {
        Some(path) => {
            let text = fs_err::read_to_string(context.environment.absolute(path))?;
            serde_json::from_str::<serde_json::Value>(&text)?;
            Some(text)
        }
        None => None,
    };
    let new = NewRepository {
        name: repository.repository.clone(),
        algorithm: match args.hash {
            HashArg::Sha1 => Algorithm::Sha1,
            HashArg::Rmd160 => Algorithm::Rmd160,
            HashArg::Shake128 => Algorithm::Shake128,
        },
        ttl: args.ttl,
        collectable: !args.no_gc,
        days: args.days,
        meta_info,
    };
    let manifest = create(&*storage, &new, &keys, context.now).map_err(publish_failure)?;
    if context.json() {
        context.printer.json(&json!({
            "schema_version": 1,
            "repository": new.name.to_string(),
            "revision": manifest.revision,
            "root": manifest.root_catalog.to_string(),
            "keys": folder.path().display().to_string(),
        }))
    } else {
        context
            .printer
            .data(&format!("{} at revision {}", new.name, manifest.revision))
    }
}

fn inside(path: &Path, folder: &Path) -> bool {
    let real = |path: &Path| {
        // The keys' folder may not exist yet: what exists of it decides.
        path.ancestors().find_map(|dir| {
            let rest = path.strip_prefix(dir).ok()?;
            Some(fs_err::canonicalize(dir).ok()?.join(rest))
        })
    };
    match (real(path), real(folder)) {
        (Some(path), Some(folder)) => path.starts_with(folder),
        _ => path.starts_with(folder),
    }
}

fn writable(context: &Context, args: &RepositoryArgs) -> Result<Box<dyn Storage>, Failure> {
    let spool = args.spool();
    Ok(Place::writable(
        &args.storage,
        spool.as_deref(),
        &context.environment,
    )?)
}

/// What a revision is called.
#[derive(Debug, Args)]
struct RevisionArgs {
    /// Name of a tag for the new revision
    #[arg(long, value_name = "NAME")]
    tag: Option<TagName>,
    /// What the tag is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    message: String,
}

impl RevisionArgs {
    fn revision(&self) -> Revision {
        Revision {
            tag: self.tag.clone(),
            description: self.message.clone(),
            number: None,
        }
    }
}

/// When a tree gets a catalogue of its own.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum NestedArg {
    /// With 1,000 entries or more
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// When the tree's record is published beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecordArg {
    /// When the path ends in NAME/NAME.simg
    Auto,
    /// Never
    Never,
}

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    /// A folder, a tar (`-`: standard input), a SIF file, a squashfs, or an OCI layout
    source: PathBuf,
    #[command(flatten)]
    repository: RepositoryArgs,
    /// Path in the repository; what is there is replaced
    #[arg(long, value_name = "PATH")]
    at: String,
    /// Also put what is in a folder into a directory of the repository, in place of what has the same
    /// names there: FOLDER=PATH; may be repeated
    #[arg(long, value_name = "FOLDER=PATH")]
    files: Vec<String>,
    /// Also remove a path; may be repeated
    #[arg(long, value_name = "PATH")]
    remove: Vec<String>,
    #[command(flatten)]
    revision: RevisionArgs,
    /// When the tree gets a catalogue of its own
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    nested: NestedArg,
    /// Cut catalogues that would be larger
    #[arg(long, value_name = "MIB", default_value_t = 16)]
    catalog_size: u64,
    /// When `tree.json` and `tree.mtree.zst`, the record of the tree, are published beside it
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    record: RecordArg,
    /// List of the files that commands of the container open, one path of its tree a line, as `neurodocker
    /// minify --opened` writes it; it is published beside the tree as `opened.txt`, for `prefetch`
    #[arg(long, value_name = "FILE")]
    opened: Option<PathBuf>,
    /// How hard files are compressed, 1 to 12; other levels give other objects for equal files
    #[arg(long, value_name = "LEVEL", default_value_t = 3)]
    level: i32,
    /// Sizes between which large files are cut, in KiB: least, average, most
    #[arg(long, value_name = "MIN,AVG,MAX", value_parser = chunk_sizes)]
    chunks: Option<ChunkSizes>,
}

/// Three sizes in KiB.
fn chunk_sizes(text: &str) -> Result<ChunkSizes, String> {
    let sizes: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
    let sizes = match sizes.as_deref() {
        Ok([min, avg, max]) => {
            let kib = |size: &u32| size.saturating_mul(1024);
            ChunkSizes::new(kib(min), kib(avg), kib(max))
        }
        _ => None,
    };
    sizes.ok_or_else(|| "three sizes in KiB that rise, such as `4096,8192,16384`".to_owned())
}

pub(super) fn publish(context: &Context, args: &PublishArgs) -> Result<(), Failure> {
    let usage = |text: String| Failure::new(FailureKind::Usage, text);
    let at = tree_path(&args.at)?;
    let at = at.ok_or_else(|| usage("`--at` must name a path below the root".into()))?;
    if args.opened.is_some() && at.parent().is_none() {
        let text = "`--opened` needs a folder beside the tree: `--at NAME/NAME.simg`";
        return Err(usage(text.into()));
    }
    let level = DeflateLevel::new(args.level);
    let mut objects = ObjectOptions {
        level: level.ok_or_else(|| usage("`--level` goes from 1 to 12".into()))?,
        ..ObjectOptions::default()
    };
    if let Some(sizes) = args.chunks {
        objects.chunks = sizes;
    }
    let storage = writable(context, &args.repository)?;
    let name = &args.repository.repository;
    let keys = args.repository.keys.load(context, name)?;
    // What is to be published is read before anybody is locked out.
    let source = if args.source == Path::new("-") {
        args.source.clone()
    } else {
        context.environment.absolute(&args.source)
    };
    let temporary = context.environment.cache_dir()?;
    fs_err::create_dir_all(&temporary)?;
    let input = Input::open(&source, &temporary, &context.cancel)?;
    let mut more = Vec::new();
    for word in &args.files {
        let (folder, path) = word
            .rsplit_once('=')
            .ok_or_else(|| usage(format!("`{word}` is not FOLDER=PATH")))?;
        let folder = context.environment.absolute(folder);
        more.push((
            SourceTree::open(&folder, &temporary, &context.cancel)?,
            tree_path(path)?,
        ));
    }
    let mut known = context.known(name)?;
    let begin = begin(context, &*storage, &keys, args.repository_name());
    let cancel = &context.cancel;
    // A stream is read when others are locked out: its objects must stay until something names them.
    let (mut publisher, mut tree) = match input {
        Input::Tree(tree) => {
            more.extend(beside(context, args, &at, &tree.index)?);
            (Publisher::begin(begin).map_err(publish_failure)?, tree)
        }
        Input::Stream(stream) => {
            let mut publisher = Publisher::begin(begin).map_err(publish_failure)?;
            let tree = publisher
                .store_stream(&mut known, &objects, cancel, |each| stream.read(each))
                .map_err(publish_failure)??;
            more.extend(beside(context, args, &at, &tree.index)?);
            (publisher, tree)
        }
    };
    for path in &args.remove {
        let path = tree_path(path)?;
        let path = path.ok_or_else(|| usage("the root cannot be removed".into()))?;
        publisher.remove(&path).map_err(publish_failure)?;
    }
    for note in tree.notes.drain(..) {
        publisher.note(note);
    }
    // Of a stream, everything is stored already.
    publisher
        .store(
            &tree.index,
            &mut *tree.contents,
            &mut known,
            &objects,
            cancel,
        )
        .map_err(publish_failure)?;
    let options = PutOptions {
        nested: match args.nested {
            NestedArg::Auto => NestedAt::Auto,
            NestedArg::Always => NestedAt::Always,
            NestedArg::Never => NestedAt::Never,
        },
        cuts: CutOptions {
            max_bytes: args.catalog_size << 20,
        },
        root: None,
    };
    publisher
        .put(&at, &tree.index, &options)
        .map_err(publish_failure)?;
    for (tree, dir) in &mut more {
        publisher
            .store(
                &tree.index,
                &mut *tree.contents,
                &mut known,
                &objects,
                cancel,
            )
            .map_err(publish_failure)?;
        publisher
            .put_into(dir.as_ref(), &tree.index)
            .map_err(publish_failure)?;
    }
    let published = publisher
        .commit(&args.revision.revision())
        .map_err(publish_failure)?;
    tell(context, &published, Some((&tree.index, &at)))
}

/// What is published beside a tree: its record, and the list of files that commands open.
fn beside(
    context: &Context,
    args: &PublishArgs,
    at: &TreePath,
    index: &Index,
) -> Result<Vec<(SourceTree, Option<TreePath>)>, Failure> {
    let mut more = Vec::new();
    if args.record == RecordArg::Auto
        && let Some(dir) = at.parent()
        && at.name() == [dir.name(), b".simg"].concat()
    {
        more.push((record_tree(index)?, Some(dir)));
    }
    if let Some(list) = &args.opened {
        let text = fs_err::read(context.environment.absolute(list))?;
        let (list, none) = opened(&text, index);
        if none > 0 {
            let text = format!("{none} lines of the list name no file of the tree");
            context.printer.warn(&text);
        }
        more.push((files_tree(vec![(OPENED, list)])?, at.parent()));
    }
    Ok(more)
}

impl PublishArgs {
    fn repository_name(&self) -> &nd_cvmfs::RepositoryName {
        &self.repository.repository
    }
}

fn begin<'s>(
    context: &Context,
    storage: &'s dyn Storage,
    keys: &'s Keys,
    name: &'s nd_cvmfs::RepositoryName,
) -> Begin<'s> {
    Begin {
        storage,
        keys,
        name,
        now: context.now,
    }
}

fn tell(
    context: &Context,
    published: &Published,
    tree: Option<(&Index, &TreePath)>,
) -> Result<(), Failure> {
    let objects = &published.objects;
    let digest = tree.map(|(index, _)| nd_rootfs::digests(index).tree.to_string());
    if context.json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "changed": published.changed,
            "revision": published.manifest.revision,
            "root": published.manifest.root_catalog.to_string(),
            "new_objects": objects.new,
            "new_bytes": objects.new_bytes,
            "read_bytes": objects.read_bytes,
            "entries": tree.map(|(index, _)| index.len()),
            "tree": digest,
            "notes": published.notes,
        }));
    }
    for note in &published.notes {
        context.printer.warn(note);
    }
    if !published.changed {
        return context.printer.data(&format!(
            "nothing to publish; revision {} stays",
            published.manifest.revision
        ));
    }
    context.printer.data(&format!(
        "revision {}: {} new objects, {}",
        published.manifest.revision,
        objects.new,
        human_bytes(objects.new_bytes)
    ))?;
    match (tree, digest) {
        (Some((index, at)), Some(digest)) => context
            .printer
            .data(&format!("/{at}: {} entries\n{digest}", index.len())),
        _ => Ok(()),
    }
}

/// Arguments of `remove`.
#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// Paths in the repository
    #[arg(required = true)]
    paths: Vec<String>,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    revision: RevisionArgs,
}

pub(super) fn remove(context: &Context, args: &RemoveArgs) -> Result<(), Failure> {
    let storage = writable(context, &args.repository)?;
    let name = &args.repository.repository;
    let keys = args.repository.keys.load(context, name)?;
    let mut publisher =
        Publisher::begin(begin(context, &*storage, &keys, name)).map_err(publish_failure)?;
    for path in &args.paths {
        let path = tree_path(path)?
            .ok_or_else(|| Failure::new(FailureKind::Usage, "the root cannot be removed"))?;
        publisher.remove(&path).map_err(publish_failure)?;
    }
    let published = publisher
        .commit(&args.revision.revision())
        .map_err(publish_failure)?;
    tell(context, &published, None)
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    repository: RepositoryArgs,
    /// Number or tag of the revision whose content comes back [default: the one before]
    #[arg(long, value_name = "REVISION")]
    to: Option<String>,
    #[command(flatten)]
    revision: RevisionArgs,
}

pub(super) fn rollback(context: &Context, args: &RollbackArgs) -> Result<(), Failure> {
    let storage = writable(context, &args.repository)?;
    let name = &args.repository.repository;
    let keys = args.repository.keys.load(context, name)?;
    let to = args.to.as_deref().map_or(Target::Previous, target);
    let published = roll_back(
        begin(context, &*storage, &keys, name),
        &to,
        &args.revision.revision(),
    );
    tell(context, &published.map_err(publish_failure)?, None)
}

/// Arguments of `gc`.
#[derive(Debug, Args)]
pub(super) struct GcArgs {
    #[command(flatten)]
    repository: RepositoryArgs,
    /// Keep revisions of the last so many hours, besides the current one and all tags
    #[arg(long, value_name = "HOURS", default_value_t = 72)]
    keep_hours: u32,
    /// Delete nothing; say what would be deleted
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn gc(context: &Context, args: &GcArgs) -> Result<(), Failure> {
    let storage = writable(context, &args.repository)?;
    let name = &args.repository.repository;
    let keys = args.repository.keys.load(context, name)?;
    let keep = Keep {
        seconds: i64::from(args.keep_hours) * 3600,
    };
    let action = if args.dry_run {
        Action::Plan
    } else {
        Action::Apply
    };
    let begin = begin(context, &*storage, &keys, name);
    let done = collect(begin, keep, action, &context.cancel).map_err(publish_failure)?;
    if context.json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "applied": !args.dry_run,
            "kept_revisions": done.kept_roots,
            "dropped_revisions": done.dropped_roots,
            "kept_objects": done.kept,
            "deleted_objects": done.deleted,
            "deleted_bytes": done.deleted_bytes,
        }));
    }
    let word = if args.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    context.printer.data(&format!(
        "{word} {} objects, {}; {} stay for {} revisions",
        done.deleted,
        human_bytes(done.deleted_bytes),
        done.kept,
        done.kept_roots
    ))
}

/// Arguments of `replicate`.
#[derive(Debug, Args)]
pub(super) struct ReplicateArgs {
    /// Address, bucket or folder of the original
    place: String,
    /// Where the copy is: a folder, or `s3://BUCKET/PATH`
    storage: String,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) fn replicate(context: &Context, args: &ReplicateArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let storage = Place::writable(&args.storage, None, &context.environment)?;
    let source: &dyn Source = place.source();
    let named = Repository::open(source)?.manifest().name.clone();
    let keys = args.trust.public(context, named.as_ref())?;
    let options = ReplicateOptions {
        keys: &keys,
        name: args.trust.repository.as_ref(),
        now: context.now,
        parallel: None,
    };
    let done = nd_cvmfs::replicate(source, &*storage, &options, &context.cancel)
        .map_err(replicate_failure)?;
    if context.json() {
        context.printer.json(&json!({
            "schema_version": 1,
            "revision": done.revision,
            "copied_objects": done.copied,
            "copied_bytes": done.copied_bytes,
            "known_objects": done.known,
        }))
    } else {
        context.printer.data(&format!(
            "revision {}: {} objects copied, {}; {} were there",
            done.revision,
            done.copied,
            human_bytes(done.copied_bytes),
            done.known
        ))
    }
}
