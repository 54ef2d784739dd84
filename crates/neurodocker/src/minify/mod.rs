//! Makes an image smaller: commands are run in it, and what they do not use goes from the directories
//! that were named.
//!
//! The image is never changed. Commands run in the sandbox while every path that they look at is taken
//! down; what lies in the named directories and was not looked at goes. The commands are run again
//! over what is left and must do the same, else what they missed is put back.

pub mod cli;
mod error;
mod glob;
mod image;
mod pull;
mod run;
mod spool;
mod usage;
mod verify;
mod write;

use std::time::Instant;

use nd_report::Cancel;
use nd_rootfs::{Index, Kind, Wanted};
use nd_runtime::{IdMode, Stream};
use nd_store::Store;
use serde::Serialize;

pub use error::MinifyError;

use glob::Pattern;
use image::{Origin, Source};
use pull::Registry;
use run::{Commands, Outcome, Stage};
use usage::{Removal, Used, is_below, prune_directories};
use verify::Verified;
use write::Target;

/// Must be called first in `main`: commands run in processes that are this program again.
pub fn hook() {
    nd_runtime::hook(&[nd_builder::role(), nd_runtime::role()]);
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    image: String,
    commands: Commands,
    prune: Vec<String>,
    keep: Vec<Pattern>,
    target: Option<Target>,
    /// Whether nothing is written.
    dry_run: bool,
    /// How often missed files are put back.
    max_repair: usize,
}

/// Who is told what happens, and asked.
pub(crate) trait Observer {
    /// Something worth knowing.
    fn note(&mut self, text: &str);
    /// A line that a command wrote.
    fn line(&mut self, stream: Stream, line: &[u8]);
    /// Whether what the plan says may be done.
    fn confirm(&mut self, report: &Report) -> bool;
}

/// What was, or would be, done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The image.
    pub image: String,
    /// The commands.
    pub commands: Vec<String>,
    /// Files and symlinks of the image.
    pub files: usize,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Files and symlinks that go.
    pub removed_files: usize,
    /// Directories that go because nothing is left in them.
    pub removed_directories: usize,
    /// Bytes of contents that go.
    pub removed_bytes: u64,
    /// Where most of that is, the largest first.
    pub by_directory: Vec<RemovedFrom>,
    /// What goes; directories stand for everything in them.
    pub removed: Vec<String>,
    /// What was put back because a command missed it.
    pub put_back: Vec<String>,
    /// Commands whose output differs from run to run, so that only their exit status was compared.
    pub unsteady: Vec<String>,
    /// What was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// How long each part took.
    pub milliseconds: Milliseconds,
    /// The files of the image that the commands looked at, as paths below its root.
    #[serde(skip)]
    pub opened: Vec<Vec<u8>>,
}

/// How long each part took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Milliseconds {
    /// Reading and unpacking the image; nothing is unpacked twice in one store.
    pub read: u64,
    /// Running the commands while what they look at is taken down.
    pub record: u64,
    /// Running them again, and what had to be put back.
    pub verify: u64,
    /// Running them once over what is left without anything being taken down, the last time of those
    /// in `verify`; what a plain run takes.
    pub plain: u64,
    /// Writing the result.
    pub write: u64,
}

/// What goes from one directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemovedFrom {
    /// The directory.
    pub directory: String,
    /// Files and symlinks.
    pub files: usize,
    /// Bytes of contents.
    pub bytes: u64,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Output {
    /// The folder or file.
    pub path: String,
    /// Digest of the manifest, of a layout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Bytes of the layer, or of the file.
    pub bytes: u64,
}

/// Does it; `None` when whoever was asked said no, and nothing was written.
pub(crate) fn minify(
    request: &Request,
    registry: &dyn Registry,
    store: &Store,
    ids: IdMode,
    cancel: &Cancel,
    observer: &mut dyn Observer,
) -> Result<Option<Report>, MinifyError> {
    let mut watch = Watch(Instant::now());
    let mut spent = Milliseconds::default();
    let mut source = Source::open(&request.image, registry, store, ids, cancel)?;
    for note in &source.notes {
        observer.note(note);
    }
    if let Some(target) = &request.target {
        target.check(&source.origin)?;
    }
    let prune = prune_directories(&source.index, &request.prune)?;
    refuse_binds(request, &prune)?;
    let (layers, state) = (source.layers.clone(), source.state.clone());
    let stage = Stage {
        store,
        ids,
        cancel,
        layers: &layers,
        state: &state,
        is_sif: matches!(source.origin, Origin::Sif(_)),
        commands: &request.commands,
    };

    stage.unpack()?;
    spent.read = watch.lap();
    let (expected, records) =
        stage.record(None, &mut |stream, line| observer.line(stream, line))?;
    spent.record = watch.lap();
    check(request, &expected)?;
    let mut looked_at = Used::none(&source.index);
    let mut used = always_used(&source.index, &stage);
    for path in records.iter().flat_map(|record| &record.paths) {
        looked_at.path(&source.index, path);
        used.path(&source.index, path);
    }
    let removal = Removal::plan(&source.index, &prune, &used, &request.keep);
    let mut report = Report {
        image: request.image.clone(),
        commands: request.commands.lines.clone(),
        opened: looked_at.files(&source.index),
        ..Report::default()
    };
    report.of_image(&source.index);
    report.of_removal(&source.index, &removal);
    report.milliseconds = spent;
    if request.dry_run {
        return Ok(Some(report));
    }
    if !removal.is_empty() && !observer.confirm(&report) {
        return Ok(None);
    }

    // How long somebody thought about the question is nobody's cost.
    watch.lap();
    let mut verified = Verified::new(used, removal);
    verified.verify(
        &stage,
        &source.index,
        &expected,
        &records,
        &mut |used| Removal::plan(&source.index, &prune, used, &request.keep),
        request.max_repair,
        observer,
    )?;
    spent.verify = watch.lap();
    spent.plain = verified.milliseconds;
    report.put_back = verified.put_back.iter().map(|path| show(path)).collect();
    report.unsteady.clone_from(&verified.unsteady);
    report.of_removal(&source.index, &verified.removal);

    if let Some(target) = &request.target {
        let how = how(request);
        let written = write::write(target, &mut source, &verified.removal, &how, store, cancel)?;
        report.output = Some(Output {
            path: target.path().display().to_string(),
            manifest: written.manifest.map(|digest| digest.oci()),
            bytes: written.bytes,
        });
    }
    spent.write = watch.lap();
    report.milliseconds = spent;
    Ok(Some(report))
}

/// Measures laps.
struct Watch(Instant);

impl Watch {
    /// Milliseconds since the last one.
    fn lap(&mut self) -> u64 {
        let began = std::mem::replace(&mut self.0, Instant::now());
        u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What came of a command in the image as it is must be success.
fn check(request: &Request, outcomes: &[Outcome]) -> Result<(), MinifyError> {
    for (outcome, command) in outcomes.iter().zip(&request.commands.lines) {
        if outcome.status != 0 {
            let said = [&outcome.stdout[..], b"\n", &outcome.stderr[..]].concat();
            let last = said
                .split(|&byte| byte == b'\n')
                .rfind(|line| !line.is_empty())
                .unwrap_or_default();
            return Err(MinifyError::CommandFailed {
                command: command.clone(),
                status: outcome.status,
                last_line: String::from_utf8_lossy(last).into_owned(),
            });
        }
    }
    Ok(())
}

/// Nothing that the host shows inside can be pruned.
fn refuse_binds(request: &Request, prune: &[Vec<u8>]) -> Result<(), MinifyError> {
    use std::os::unix::ffi::OsStrExt as _;
    for bind in &request.commands.binds {
        let inside = bind.inside.as_os_str().as_bytes();
        let inside = inside.strip_prefix(b"/").unwrap_or(inside);
        for dir in prune {
            if inside == &dir[..] || is_below(inside, dir) || is_below(dir, inside) {
                return Err(MinifyError::Directory {
                    directory: show(dir),
                    problem: "something of the host is shown there",
                });
            }
        }
    }
    Ok(())
}

/// What a container needs before any command of it runs.
fn always_used(index: &Index, stage: &Stage<'_>) -> Used {
    let mut used = Used::none(index);
    for path in ["etc/passwd", "etc/group", "etc/hosts", "etc/resolv.conf"] {
        used.path(index, path.as_bytes());
    }
    let state = stage.state;
    used.path(index, state.directory().as_bytes());
    for words in [&state.entrypoint, &state.cmd] {
        let Some(program) = words.first() else {
            continue;
        };
        if program.contains('/') {
            used.path(index, program.as_bytes());
            continue;
        }
        let env = state.run_env();
        let path = env.iter().find(|(name, _)| name == "PATH");
        for folder in path.map_or("", |(_, value)| value).split(':') {
            used.path(index, format!("{folder}/{program}").as_bytes());
        }
    }
    let own = b".singularity.d";
    if let Some(start) = index.position(own) {
        for at in start..start + index.subtree(own).len() {
            used.mark(at);
        }
    }
    used
}

/// What the result says of how it was made. Equal requests say equal things.
fn how(request: &Request) -> String {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    let mut words = vec!["neurodocker minify".to_owned()];
    for command in &request.commands.lines {
        words.extend(["-c".to_owned(), quoted(command)]);
    }
    for directory in &request.prune {
        words.extend(["-d".to_owned(), quoted(directory)]);
    }
    words.join(" ")
}

fn show(path: &[u8]) -> String {
    format!("/{}", nd_rootfs::show(path))
}

impl Report {
    fn of_image(&mut self, index: &Index) {
        let dirs = index.iter().filter(|entry| entry.kind.is_dir()).count();
        self.files = index.len() - dirs;
        self.bytes = Wanted::every_location(index)
            .iter()
            .map(|(_, file)| file.size)
            .sum();
    }

    fn of_removal(&mut self, index: &Index, removal: &Removal) {
        self.removed_files = removal.files;
        self.removed_directories = removal.directories;
        self.removed_bytes = removal.bytes;
        let line = |(dir, files, bytes): &(Vec<u8>, usize, u64)| RemovedFrom {
            directory: show(dir),
            files: *files,
            bytes: *bytes,
        };
        self.by_directory = removal.by_directory.iter().map(line).collect();
        self.removed = removal
            .tops(index)
            .map(|path| {
                let is_dir = index
                    .get(path)
                    .is_some_and(|entry| matches!(entry.kind, Kind::Dir { .. }));
                show(path) + if is_dir { "/" } else { "" }
            })
            .collect();
    }
}
