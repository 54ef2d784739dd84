//! The catalogue and the repository that the verbs of the reconciler compare.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use nd_cvmfs::RepositoryName;
use nd_report::{FileId, Sink};
use nd_terminal::{DiagnosticStyle, Failure, FailureKind, Sources, render_diagnostics};

use super::publisher::publisher_failure;
use crate::{
    Place,
    cli::args::Context,
    publisher::{DirectoryPublisher, Publisher as _},
    sync::{Actual, Desired, FolderView, Menu, MenuStep, RepositoryView, View},
};

/// Larger catalogues are none, in bytes.
const LONGEST: u64 = 32 << 20;
/// Where a checkout has a catalogue, best first.
const IN_CHECKOUT: [&str; 3] = ["cvmfs/log.txt", "apps.json", "neurodesk/apps.json"];

/// What should be published.
#[derive(Debug, Args)]
pub(super) struct CatalogueArgs {
    /// What should be published: `log.txt`, `applist.json` or `apps.json`, as a file or an address, or a
    /// checkout with one of them
    #[arg(long, value_name = "FILE|URL|DIR")]
    catalogue: String,
    /// Folder with release records, which tell sizes and digests of images
    #[arg(long, value_name = "DIR")]
    releases: Option<PathBuf>,
}

impl CatalogueArgs {
    /// What it was called.
    pub(super) fn word(&self) -> &str {
        &self.catalogue
    }

    /// Reads it. Everything that is wrong is told.
    pub(super) fn read(&self, context: &Context) -> Result<Desired, Failure> {
        let text = text(context, &self.catalogue)?;
        let mut sink = Sink::new();
        let file = FileId(0);
        let sources = Sources::new().with(file, &self.catalogue, &*text);
        let read = Desired::read(&text, file, &mut sink);
        let told = render_diagnostics(sink.diagnostics(), &sources, DiagnosticStyle::of_stdout());
        if !told.is_empty() {
            context.printer.error_line(&told);
        }
        let mut desired = read?;
        if let Some(folder) = &self.releases {
            let shown = folder.display().to_string();
            let folder = context.environment.absolute(folder);
            let mut sink = Sink::new();
            let releases =
                neurocommand::sources::read_releases(&folder, &shown, &mut Vec::new(), &mut sink)?;
            for found in sink.diagnostics() {
                context.printer.warn(&found.message);
            }
            desired.record(&releases);
        }
        Ok(desired)
    }
}

/// The text of a catalogue by its word.
pub(super) fn text(context: &Context, word: &str) -> Result<String, Failure> {
    let absent = || {
        Failure::new(
            FailureKind::Failed,
            format!("there is no catalogue `{word}`"),
        )
    };
    let mut bytes = Vec::new();
    if word.contains("://") {
        let (base, file) = word.rsplit_once('/').unwrap_or((word, ""));
        let place = Place::open(base, &context.environment)?;
        let body = place.source().open(file)?.ok_or_else(absent)?;
        body.take(LONGEST + 1).read_to_end(&mut bytes)?;
    } else {
        let mut path = context.environment.absolute(word);
        if path.is_dir() {
            let found = IN_CHECKOUT.iter().map(|name| path.join(name));
            path = found
                .into_iter()
                .find(|path| path.is_file())
                .ok_or_else(absent)?;
        }
        let file = fs_err::File::open(&path)?;
        file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LONGEST {
        let text = format!("catalogue `{word}` has more than {LONGEST} bytes");
        return Err(Failure::new(FailureKind::Failed, text));
    }
    let refused = |_| Failure::new(FailureKind::Failed, format!("`{word}` is no UTF-8"));
    String::from_utf8(bytes).map_err(refused)
}

/// Which repository, and where users see it.
#[derive(Debug, Args)]
pub(super) struct MountArgs {
    /// Name of the repository, such as `software.example.org`
    #[arg(long, value_name = "NAME")]
    pub(super) repository: RepositoryName,
    /// Folder where users see the repository [default: `/cvmfs/NAME`]
    #[arg(long, value_name = "DIR")]
    mount: Option<String>,
}

impl MountArgs {
    /// The folder, as module files can have it.
    pub(super) fn mount(&self) -> Result<String, Failure> {
        let mount = match &self.mount {
            Some(mount) => mount.clone(),
            None => format!("/cvmfs/{}", self.repository),
        };
        let folder: nd_modulefile::Folder = mount
            .parse()
            .map_err(|error| Failure::new(FailureKind::Usage, error))?;
        Ok(folder.as_str().to_owned())
    }
}

/// What a plan is compared with.
pub(super) struct Seen {
    /// What is published.
    pub(super) actual: Actual,
    /// The revision, where there are revisions.
    pub(super) revision: Option<u64>,
    /// What the menu needs.
    pub(super) menu: Option<MenuStep>,
}

impl Seen {
    fn of(
        view: &mut dyn View,
        revision: Option<u64>,
        menu: Option<&Menu>,
    ) -> Result<Self, Failure> {
        let step = menu.map(|menu| menu.step(view)).transpose()?;
        Ok(Self {
            actual: Actual::read(view)?,
            revision,
            menu: step.flatten(),
        })
    }
}

/// Looks at a repository: the folder of a mounted one or of that shape, the folder of revisions, the
/// folder of its files, or a server.
pub(super) fn look(context: &Context, word: &str, menu: Option<&Menu>) -> Result<Seen, Failure> {
    let is_tree = |path: &Path| path.is_dir() && !path.join(nd_cvmfs::MANIFEST).is_file();
    let path = context.environment.absolute(word);
    if !word.contains("://")
        && let Some(mut publisher) = DirectoryPublisher::existing(&path)
    {
        let revision = publisher.state().map_err(publisher_failure)?.revision;
        let mut view = publisher.view().map_err(publisher_failure)?;
        return Seen::of(&mut *view, Some(revision), menu);
    }
    if !word.contains("://") && is_tree(&path) {
        return Seen::of(&mut FolderView::open(&path)?, None, menu);
    }
    let place = Place::open(word, &context.environment)?;
    let mut view = RepositoryView::open(place.source())?;
    let revision = view.repository().manifest().revision;
    Seen::of(&mut view, Some(revision), menu)
}
