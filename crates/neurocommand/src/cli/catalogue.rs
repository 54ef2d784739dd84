//! `catalogue`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nd_host::Environment;
use nd_report::{Diagnostic, FileId, Severity, Span};
use nd_terminal::{
    Counts, DiagnosticStyle, Failure, FailureKind, OutputFormat, Printer, ToolInfo,
    github_commands, json_report, render_diagnostics, sarif_report,
};
use serde_json::json;

use super::files::{Files, write};
use crate::{
    catalogue::{self, ListForm, Release, Source, canonical, decode},
    codes,
    json::Node,
    sources::{read_icons, read_index, read_releases, read_webapps},
};

/// Who reports.
const TOOL: ToolInfo<'static> = ToolInfo {
    name: "neurocommand",
    version: env!("CARGO_PKG_VERSION"),
    home: env!("CARGO_PKG_REPOSITORY"),
    pages: concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/book/src/"),
};

/// Commands about catalogues.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogueCommand {
    /// Make the catalogue from release records
    Build(BuildArgs),
    /// Make the list of images, `log.txt`
    Log(FromApps),
    /// Make the list of applications for the web site, `applist.json`
    Applist(ApplistArgs),
    /// Make the list of web applications for JupyterLab, `webapps.json`
    Webapps(WebappsArgs),
    /// Make the index of descriptions and commands that `search` uses, `index.json`
    Index(RecipesArgs),
    /// Write the icons of recipes to a folder
    Icons(IconsArgs),
    /// Bring the copy of the published catalogue up to date, which is used where there is no other
    Refresh(super::refresh::RefreshArgs),
    /// Say everything that is wrong with a catalogue
    Check(CheckArgs),
    /// Say what differs between two catalogues
    Diff(DiffArgs),
    /// Add a release record
    Add(AddArgs),
    /// Merge queued changes, application by application
    Merge(MergeArgs),
    /// Take a container or one of its versions out
    Remove(RemoveArgs),
    /// Install, run and remove what a catalogue lists, in a folder of its own
    TestInstall(super::trying::TestInstallArgs),
}

/// Where a result goes.
#[derive(Debug, Args)]
pub(super) struct OutputArg {
    /// File that gets the result; else standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// Folder of `CONTAINER/VERSION.json`
    #[arg(long, value_name = "DIR")]
    releases: PathBuf,
    #[command(flatten)]
    output: OutputArg,
    /// Write nothing; end with exit code 3 when the output is not what would be written
    #[arg(long, requires = "output")]
    check: bool,
    /// Replace an output that has over a tenth more applications
    #[arg(long)]
    allow_shrink: bool,
}

#[derive(Debug, Args)]
pub(super) struct FromApps {
    /// The catalogue
    #[arg(long, value_name = "FILE")]
    apps: PathBuf,
    #[command(flatten)]
    output: OutputArg,
    /// Write nothing; end with exit code 3 when the output is not what would be written
    #[arg(long, requires = "output")]
    check: bool,
}

#[derive(Debug, Args)]
pub(super) struct ApplistArgs {
    #[command(flatten)]
    from: FromApps,
    /// List of images to go by, in place of that of the catalogue
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// List entries without categories as upstream does, with one empty text
    #[arg(long)]
    compat: bool,
}

#[derive(Debug, Args)]
pub(super) struct WebappsArgs {
    #[command(flatten)]
    from: RecipesArgs,
    /// Folder of `CONTAINER/VERSION.json`
    #[arg(long, value_name = "DIR")]
    releases: PathBuf,
    /// Write nothing; end with exit code 3 when the output is not what would be written
    #[arg(long, requires = "output")]
    check: bool,
}

#[derive(Debug, Args)]
pub(super) struct RecipesArgs {
    /// Folder of recipes
    #[arg(long, value_name = "DIR")]
    recipes: PathBuf,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Args)]
pub(super) struct IconsArgs {
    /// Folder of recipes
    #[arg(long, value_name = "DIR")]
    recipes: PathBuf,
    /// Folder that gets `CONTAINER.png`
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The catalogue
    apps: PathBuf,
    /// Fail on warnings, too
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The catalogue before
    before: PathBuf,
    /// The catalogue after
    after: PathBuf,
    /// End with exit code 3 when something differs
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The record, `CONTAINER/VERSION.json`
    release: PathBuf,
    /// The catalogue
    #[arg(long, value_name = "FILE")]
    apps: PathBuf,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Args)]
pub(super) struct MergeArgs {
    /// Changed catalogues, in the order in which they count
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// The catalogue that all of them were made from
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// The catalogue as it is now, when it is not that any more
    #[arg(long, value_name = "FILE")]
    current: Option<PathBuf>,
    /// In conflicts let the later win, and warn
    #[arg(long)]
    later_wins: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// `CONTAINER` or `CONTAINER/VERSION`
    name: String,
    /// The catalogue
    #[arg(long, value_name = "FILE")]
    apps: PathBuf,
    /// Hide it from menus and lists only, so that older work can be done again
    #[arg(long)]
    keep_reproducible: bool,
    /// Let the catalogue lose more than a tenth of its applications
    #[arg(long)]
    allow_shrink: bool,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) fn run(command: &CatalogueCommand, printer: &Printer) -> Result<(), Failure> {
    match command {
        CatalogueCommand::Build(args) => build(args, printer),
        CatalogueCommand::Log(args) => log(args, printer),
        CatalogueCommand::Applist(args) => applist(args, printer),
        CatalogueCommand::Webapps(args) => webapps(args, printer),
        CatalogueCommand::Index(args) => index(args, printer),
        CatalogueCommand::Icons(args) => icons(args, printer),
        CatalogueCommand::Refresh(args) => super::refresh::run(args, printer),
        CatalogueCommand::Check(args) => check(args, printer),
        CatalogueCommand::Diff(args) => diff(args, printer),
        CatalogueCommand::Add(args) => add(args, printer),
        CatalogueCommand::Merge(args) => merge(args, printer),
        CatalogueCommand::Remove(args) => remove(args, printer),
        CatalogueCommand::TestInstall(args) => super::trying::run(args, printer),
    }
}

/// Writes `text`, or says with `check` whether that would change anything.
fn give(output: Option<&Path>, text: &str, check: bool, printer: &Printer) -> Result<(), Failure> {
    let Some(path) = output.filter(|_| check) else {
        return write(output, text, printer);
    };
    if fs_err::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let message = format!("`{}` is not as it would be made", path.display());
    Err(Failure::new(FailureKind::Pending, message)
        .hint("the same command without `--check` writes it"))
}

/// Refuses to go from `before` to `after` applications when that is more than a tenth.
pub(super) fn guard(before: usize, after: usize, allow: bool) -> Result<(), Failure> {
    if allow || !catalogue::shrinks(before, after) {
        return Ok(());
    }
    let message = format!("the catalogue would shrink from {before} to {after} applications");
    Err(Failure::new(FailureKind::Refused, message).hint("`--allow-shrink` lets it"))
}

/// How many applications a document has; 0 when there is no such document.
pub(super) fn count(document: &Node) -> usize {
    let containers = document.members().into_iter().flatten();
    containers
        .filter_map(|(_, member)| member.node.get("apps")?.members())
        .map(indexmap::IndexMap::len)
        .sum()
}

fn build(args: &BuildArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let name = args.releases.display().to_string();
    let releases = read_releases(&args.releases, &name, &mut files.texts, &mut files.sink)?;
    let document = catalogue::build(&releases, &mut files.sink);
    if releases.is_empty() && !files.sink.has_errors() {
        let message = format!("there is no release record in `{name}`");
        return Err(Failure::new(FailureKind::Failed, message));
    }
    files.end(printer)?;
    let output = args.output.output.as_deref();
    if let Some(path) = output.filter(|path| path.is_file() && !args.check)
        && let Some(before) = Files::default().document(path)?
    {
        guard(count(&before), count(&document), args.allow_shrink)?;
    }
    give(output, &catalogue::text(&document), args.check, printer)?;
    done(printer, output, count(&document), "applications")
}

fn done(printer: &Printer, output: Option<&Path>, count: usize, what: &str) -> Result<(), Failure> {
    match output {
        Some(path) if printer.format() == OutputFormat::Json => {
            printer.json(&json!({ "schema_version": 1, "output": path, what: count }))
        }
        Some(path) => {
            printer.note(&format!("{}: {count} {what}", path.display()));
            Ok(())
        }
        None => Ok(()),
    }
}

fn log(args: &FromApps, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let document = files.required(&args.apps, printer)?;
    let text = catalogue::log(&document, &mut files.sink);
    files.end(printer)?;
    let text = text.unwrap_or_default();
    let output = args.output.output.as_deref();
    give(output, &text, args.check, printer)?;
    done(printer, output, text.lines().count(), "images")
}

fn applist(args: &ApplistArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let document = files.required(&args.from.apps, printer)?;
    let lines = match &args.log {
        Some(path) => Some(fs_err::read_to_string(path)?),
        None => catalogue::log(&document, &mut files.sink),
    };
    files.end(printer)?;
    let form = if args.compat {
        ListForm::Upstream
    } else {
        ListForm::Improved
    };
    let text = catalogue::applist(&lines.unwrap_or_default(), Some(&document), form);
    let output = args.from.output.output.as_deref();
    give(output, &text, args.from.check, printer)?;
    done(
        printer,
        output,
        text.matches("\"application\": ").count(),
        "applications",
    )
}

fn webapps(args: &WebappsArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let recipes = read_webapps(&args.from.recipes, &args.releases, &mut files.sink)?;
    let text = catalogue::webapps(&recipes, &mut files.sink);
    files.end(printer)?;
    let output = args.from.output.output.as_deref();
    give(output, &text, args.check, printer)?;
    done(printer, output, recipes.len(), "webapps")
}

fn index(args: &RecipesArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let index = read_index(&args.recipes, &mut files.sink)?;
    files.end(printer)?;
    let text = serde_json::to_string(&index)?;
    let output = args.output.output.as_deref();
    write(output, &text, printer)?;
    done(printer, output, index.containers.len(), "containers")
}

fn icons(args: &IconsArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let icons = read_icons(&args.recipes, &mut files.sink)?;
    files.end(printer)?;
    fs_err::create_dir_all(&args.output)?;
    let root = nd_host::RootDir::open(&args.output)?;
    for (name, bytes) in &icons {
        root.write(format!("{name}.png").as_bytes(), bytes, 0o644)?;
    }
    done(printer, Some(&args.output), icons.len(), "icons")
}

fn check(args: &CheckArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let document = files.document(&args.apps)?;
    let mut apps = 0;
    if let Some(document) = document {
        apps = decode(&document, &mut files.sink).len();
        let text = catalogue::text(&canonical(&document));
        if let Some(there) = files.texts.first().filter(|read| read.text != text) {
            let at = there
                .text
                .bytes()
                .zip(text.bytes())
                .position(|(a, b)| a != b);
            let at = at.unwrap_or(there.text.len().min(text.len()));
            files.sink.push(
                Diagnostic::new(
                    codes::NOT_CANONICAL,
                    Severity::Warning,
                    "the file is not in canonical form",
                )
                .at(Span::new(FileId(0), at..at), "differs from here on")
                .hint("four blanks, ASCII, containers sorted by name, no final newline"),
            );
        }
    }
    let sources = files.sources();
    let found = files.sink.diagnostics();
    match printer.format() {
        OutputFormat::Json => printer.json(&json_report(found, &sources, &TOOL))?,
        OutputFormat::Sarif => {
            printer.json(&sarif_report(found, &sources, &TOOL, codes::EXPLANATIONS))?;
        }
        OutputFormat::Github => {
            let text = github_commands(found, &sources);
            if !text.is_empty() {
                printer.data(&text)?;
            }
        }
        OutputFormat::Human if found.is_empty() => {}
        OutputFormat::Human => {
            printer.data(
                render_diagnostics(found, &sources, DiagnosticStyle::of_stdout()).trim_end(),
            )?;
        }
    }
    let counts = Counts::of(found);
    printer.note(&format!("checked {apps} applications: {counts}"));
    if counts.errors > 0 || (args.strict && counts.warnings > 0) {
        return Err(Failure::told(FailureKind::Failed));
    }
    Ok(())
}

fn diff(args: &DiffArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let before = files.required(&args.before, printer)?;
    let after = files.required(&args.after, printer)?;
    let diff = catalogue::diff(&before, &after);
    if printer.format() == OutputFormat::Json {
        printer.json(&json!({ "schema_version": 1, "containers": diff.containers }))?;
    } else if !diff.is_empty() {
        printer.data(&diff.to_string())?;
    }
    if args.check && !diff.is_empty() {
        return Err(Failure::told(FailureKind::Pending));
    }
    Ok(())
}

fn add(args: &AddArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let mut files = Files::default();
    let before = files.required(&args.apps, printer)?;
    let path = environment.absolute(&args.release);
    let part = |path: Option<&Path>| {
        let name = path
            .and_then(Path::file_name)
            .and_then(std::ffi::OsStr::to_str);
        name.map(str::to_owned)
    };
    let stem = part(Some(&path)).and_then(|name| name.strip_suffix(".json").map(str::to_owned));
    let (Some(container), Some(stem)) = (part(path.parent()), stem) else {
        let message = format!(
            "`{}` is not of the form CONTAINER/VERSION.json",
            args.release.display()
        );
        return Err(Failure::new(FailureKind::Failed, message));
    };
    let document = files.required(&path, printer)?;
    let release = Release {
        container,
        stem,
        document,
    };
    let after = catalogue::add(&before, &release, &mut files.sink);
    files.end(printer)?;
    let Some(after) = after else {
        return Err(Failure::new(FailureKind::Failed, "the record adds nothing"));
    };
    change(&before, &after, args.output.output.as_deref(), printer)
}

fn merge(args: &MergeArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let base = files.required(&args.base, printer)?;
    let current = match &args.current {
        Some(path) => files.required(path, printer)?,
        None => base.clone(),
    };
    let mut sources = Vec::new();
    for path in &args.sources {
        sources.push(Source {
            label: path.display().to_string(),
            base: base.clone(),
            changed: files.required(path, printer)?,
        });
    }
    let merged = catalogue::merge(&current, &sources, args.later_wins, &mut files.sink);
    files.end(printer)?;
    for (place, winner) in &merged.winners {
        printer.detail(&format!("{place}: from {winner}"));
    }
    change(
        &current,
        &merged.document,
        args.output.output.as_deref(),
        printer,
    )
}

fn remove(args: &RemoveArgs, printer: &Printer) -> Result<(), Failure> {
    let mut files = Files::default();
    let before = files.required(&args.apps, printer)?;
    let (container, version) = match args.name.split_once(['/', ' ']) {
        Some((container, version)) => (container, Some(version)),
        None => (args.name.as_str(), None),
    };
    let (after, removed) = if args.keep_reproducible {
        catalogue::keep_reproducible(&before, container, version)
    } else {
        catalogue::remove(&before, container, version)
    };
    if removed.apps.is_empty() && removed.containers.is_empty() {
        let message = format!("`{}` is not in `{}`", args.name, args.apps.display());
        return Err(Failure::new(FailureKind::Failed, message));
    }
    guard(count(&before), count(&after), args.allow_shrink)?;
    change(&before, &after, args.output.output.as_deref(), printer)
}

/// Writes a changed catalogue and says what changed.
fn change(
    before: &Node,
    after: &Node,
    output: Option<&Path>,
    printer: &Printer,
) -> Result<(), Failure> {
    let diff = catalogue::diff(before, after);
    write(output, &catalogue::text(after), printer)?;
    if output.is_some() {
        if printer.format() == OutputFormat::Json {
            return printer.json(&json!({ "schema_version": 1, "containers": diff.containers }));
        }
        if diff.is_empty() {
            printer.note("nothing changed");
        } else {
            printer.note(diff.to_string().trim_end());
        }
    }
    Ok(())
}
