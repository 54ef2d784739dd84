//! `install` and `upgrade`.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use nd_host::SystemClock;
use nd_names::ImageName;
use nd_terminal::{Failure, FailureKind, OrFail as _};
use serde_json::json;

use super::Context;
use crate::{
    Candidate, FetchContext, Given, InstallError, InstallWish, Installed, Means, OpenImage,
    Published, SourceError, WrapperStyle, candidates, choose, cvmfs_disabled, expose, nearest,
    read_environment,
};

/// Arguments of `install`.
#[derive(Debug, Default, Args)]
pub struct InstallArgs {
    /// What to install; without it, what there is is listed
    pub image: Option<String>,
    /// The same, for those who are used to it
    #[arg(long, short, value_name = "IMAGE")]
    pub container: Option<String>,
    /// Where to look: a source of the settings by name, or all of a kind (`cvmfs`, `oras`, `objects`,
    /// `docker`)
    #[arg(long, short, default_value = "auto", value_name = "SOURCE")]
    pub storage: String,
    /// Install this image: a SIF file, a folder, `oci:DIR[:TAG]`, `oci-archive:FILE` or
    /// `docker-archive:FILE`
    #[arg(long, value_name = "IMAGE")]
    pub from: Option<String>,
    /// Make the image a folder, for machines on which image files cannot be opened
    #[arg(long, short, num_args = 0..=1, default_missing_value = "true", value_name = "true")]
    pub unpack: Option<bool>,
    /// Options of the runtime, recorded as the image's defaults
    #[arg(long, short = 'o', value_name = "OPTIONS", allow_hyphen_values = true)]
    pub singularity_opts: Option<String>,
    /// How commands are wrapped
    #[arg(long, value_enum, default_value_t)]
    pub wrapper_style: WrapperStyle,
    /// Install again what is there
    #[arg(long)]
    pub reinstall: bool,
    /// Print what would be installed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Name of a folder of the prefix to install into
    #[arg(skip)]
    pub in_place: Option<String>,
}

/// Arguments of `upgrade`.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// What to upgrade [default: everything]
    pub names: Vec<String>,
    /// Print what would be upgraded, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Where the launcher is: beside this program or on the search path.
pub(super) fn launcher_path(programs: &dyn nd_host::Programs) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = Vec::new();
    if let Ok(own) = std::env::current_exe()
        && let Some(folder) = own.parent()
    {
        // Beside it, where packages put what only programs call, and where `cargo xtask dist` does.
        for place in [".", "../libexec/neurodesk", "../dist"] {
            places.push(folder.join(place).join(nd_launcher::LAUNCHER_PROGRAM));
        }
    }
    places.extend(programs.find(nd_launcher::LAUNCHER_PROGRAM));
    places.into_iter().find(|path| path.is_file())
}

/// The bytes of the launcher; `None` when there is none.
///
/// # Errors
///
/// When it cannot be read.
pub fn find_launcher(programs: &dyn nd_host::Programs) -> std::io::Result<Option<Vec<u8>>> {
    launcher_path(programs).map(fs_err::read).transpose()
}

/// The same, which has to be there.
pub(super) fn launcher(context: &Context) -> Result<Vec<u8>, Failure> {
    find_launcher(&context.programs())?.ok_or_else(|| {
        Failure::new(
            FailureKind::Tool,
            format!("program `{}` is missing", nd_launcher::LAUNCHER_PROGRAM),
        )
        .hint(
            "it belongs beside `transparent-singularity`; `--wrapper-style script` does without it",
        )
    })
}

/// Everything needed to install.
pub(super) struct Ready {
    pub(super) fetch: FetchContext,
    pub(super) programs: nd_host::SystemPrograms,
    pub(super) launcher: Vec<u8>,
    /// The prefix stays until everything is done.
    _here: nd_host::FileLock,
}

impl Ready {
    pub(super) fn new(context: &Context, style: WrapperStyle) -> Result<Self, Failure> {
        let here = context.site.enter().map_err(site_failure)?;
        Ok(Self {
            _here: here,
            fetch: context.fetch(&context.site.store())?,
            programs: context.programs(),
            launcher: match style {
                WrapperStyle::Launcher => launcher(context)?,
                WrapperStyle::Script => Vec::new(),
            },
        })
    }

    pub(super) fn means<'a>(&'a self, context: &'a Context) -> Means<'a> {
        Means {
            site: &context.site,
            settings: &context.settings,
            fetch: &self.fetch,
            programs: &self.programs,
            clock: &SystemClock,
            environment: &context.environment,
            launcher: self.launcher.clone(),
        }
    }
}

/// The published list, as new as can be had.
pub(super) fn published(
    context: &Context,
    fetch: &FetchContext,
    fresh: bool,
) -> Result<Published, Failure> {
    let url = context
        .settings
        .list_url
        .parse()
        .or_fail(FailureKind::Failed)?;
    let mut options = fetch.options.clone();
    options.file_urls = nd_fetch::FileUrls::Allow;
    let fetcher = nd_fetch::Fetcher::new(options, fetch.store.clone(), fetch.reporter.clone());
    let list = if fresh {
        Published::fetch(&fetcher, &url, &context.cancel)
    } else {
        Published::known(&fetcher, &url, &context.cancel)
    };
    list.map_err(|error| {
        Failure::new(FailureKind::Failed, error)
            .hint("give the full name of the image, TOOL_VERSION_DATE, which needs no list")
    })
}

/// The image that the arguments name.
fn wanted(
    context: &Context,
    args: &InstallArgs,
    given: Option<&Given>,
    fetch: &FetchContext,
) -> Result<ImageName, Failure> {
    let text = args.image.as_deref().or(args.container.as_deref());
    // A path names an image as well.
    let text = text.map(|text| {
        text.trim_end_matches('/')
            .rsplit_once('/')
            .map_or(text, |(folder, last)| {
                if last.parse::<ImageName>().is_ok() && !folder.is_empty() {
                    last
                } else {
                    text
                }
            })
    });
    if let Some(text) = text
        && let Ok(name) = text.parse::<ImageName>()
    {
        return Ok(name);
    }
    if let Some(given) = given {
        if let (None, Some(name)) = (text, given.name()) {
            return Ok(name);
        }
        return Err(Failure::new(
            FailureKind::Usage,
            "with `--from`, the name of the image has to be given, TOOL_VERSION_YYYYMMDD",
        ));
    }
    let text = text.unwrap_or_default();
    let list = published(context, fetch, true)?;
    let names = list.names();
    choose(text, &names)
        .cloned()
        .ok_or_else(|| unknown(text, &names))
}

fn unknown(text: &str, names: &[ImageName]) -> Failure {
    let mut failure = Failure::new(
        FailureKind::Failed,
        format!(
            "there is no published image `{text}`; names have the form TOOL, TOOL/VERSION or name_version_YYYYMMDD"
        ),
    );
    let near = nearest(text, names);
    if !near.is_empty() {
        failure = failure.hint(format!(
            "did you mean {}?",
            near.iter()
                .map(|one| format!("`{one}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ));
    }
    failure
}

pub(super) fn install(context: &Context, args: &InstallArgs) -> Result<(), Failure> {
    if args.image.is_none() && args.container.is_none() && args.from.is_none() {
        return super::manage::available(context, &[], true);
    }
    if args.dry_run {
        return dry_run(context, args);
    }
    let installed = install_now(context, args)?;
    tell(context, &installed)
}

/// Says what `install` would do; the prefix is not even made.
fn dry_run(context: &Context, args: &InstallArgs) -> Result<(), Failure> {
    if let Some(given) = given(args) {
        let path = context.environment.absolute(given.path());
        let mut image = match &given {
            Given::Oci { reference, .. } => {
                OpenImage::of_layout(&path, reference.as_deref(), None)?
            }
            Given::Path(_) => OpenImage::open(&path)?,
            Given::DockerArchive(_) | Given::OciArchive(_) => {
                return Err(Failure::new(
                    FailureKind::Usage,
                    "an archive has to be unpacked to be looked at; use `oci:DIR`",
                ));
            }
        };
        let environment = read_environment(&mut image)?.map_err(|needs| {
            let text = format!(
                "`{}` is more than assignments; installing would run `env` in the image",
                needs.script
            );
            Failure::new(FailureKind::Failed, text)
        })?;
        let exposed = expose(&mut image, environment, &context.settings.excludes)?;
        for left in &exposed.left_out {
            context.printer.detail(&left.to_string());
        }
        let commands: Vec<&str> = exposed
            .commands
            .keys()
            .map(crate::CommandName::as_str)
            .collect();
        if context.is_json() {
            let left: Vec<String> = exposed.left_out.iter().map(ToString::to_string).collect();
            let variables: Vec<&String> = exposed.variables.keys().collect();
            return context.printer.json(&json!({"schema_version": 1, "commands": commands, "variables": variables, "left_out": left}));
        }
        return context.printer.data(&exposed.commands_txt());
    }
    let store = context
        .environment
        .cache_dir()
        .or_fail(FailureKind::Failed)?
        .join("store");
    let fetch = context.fetch(&store)?;
    let image = wanted(context, args, None, &fetch)?;
    let candidates = image_sources(context, &args.storage, &image)?;
    if context.is_json() {
        let list: Vec<_> = candidates
            .iter()
            .map(|one| json!({"name": one.name, "source": one.source.to_string()}))
            .collect();
        return context
            .printer
            .json(&json!({"schema_version": 1, "image": image.stem(), "sources": list}));
    }
    let mut out = format!("{image}\n");
    for candidate in &candidates {
        let _ = writeln!(out, "{}: {}", candidate.name, candidate.source);
    }
    context.printer.data(&out)
}

/// The local image that the arguments name.
fn given(args: &InstallArgs) -> Option<Given> {
    args.from.as_deref().map(|text| match text.parse() {
        Ok(given) => given,
        Err(never) => match never {},
    })
}

/// Where the image is looked for.
pub(super) fn image_sources(
    context: &Context,
    storage: &str,
    image: &ImageName,
) -> Result<Vec<Candidate>, Failure> {
    let (off, odd) = cvmfs_disabled(context.environment.text("CVMFS_DISABLE"));
    if let Some(odd) = odd {
        context.printer.warn(&odd);
    }
    candidates(image, &context.settings, storage, !off).or_fail(FailureKind::Usage)
}

pub(super) fn install_now(context: &Context, args: &InstallArgs) -> Result<Installed, Failure> {
    nd_terminal::cancel_when_interrupted(&context.cancel, &context.printer)?;
    let given = given(args);
    let ready = Ready::new(context, args.wrapper_style)?;
    let image = wanted(context, args, given.as_ref(), &ready.fetch)?;
    let candidates = image_sources(context, &args.storage, &image)?;
    let wish = InstallWish {
        image,
        from: given,
        candidates,
        sha256: None,
        dialects: None,
        unpack: args.unpack.unwrap_or(false),
        options: words(args.singularity_opts.as_deref().unwrap_or_default()),
        style: args.wrapper_style,
        in_place: args.in_place.clone(),
        aliases: None,
        force: args.reinstall,
    };
    crate::install(&wish, &ready.means(context)).map_err(failure)
}

/// Words divided at blanks; quotes and backslashes keep blanks, and nothing is expanded.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let (mut open, mut begun) = (None, false);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (open, c) {
            (None, '\'' | '"') => (open, begun) = (Some(c), true),
            (Some(quote), c) if c == quote => open = None,
            (None | Some('"'), '\\') => {
                word.extend(rest.next());
                begun = true;
            }
            (None, c) if c.is_whitespace() => {
                if begun {
                    out.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        out.push(word);
    }
    out
}

pub(super) fn failure(error: InstallError) -> Failure {
    let kind = match &error {
        InstallError::Source(SourceError::NoSpace { .. }) => FailureKind::NoSpace,
        InstallError::Source(SourceError::Cancelled(_)) => FailureKind::Interrupted,
        InstallError::Run { .. } | InstallError::NoRuntime { .. } => FailureKind::Tool,
        InstallError::Site(crate::SiteError::Foreign(_)) => FailureKind::Refused,
        _ => return hinted(error),
    };
    Failure::new(kind, error)
}

fn hinted(error: InstallError) -> Failure {
    let hint = match &error {
        InstallError::Architecture { found, .. } => Some(format!(
            "register an emulator for {found} with binfmt_misc, enabled and with the flag `F`"
        )),
        InstallError::Source(SourceError::None { .. }) => {
            Some("`transparent-singularity doctor` looks at connections and CVMFS; `--from` installs an image file".to_owned())
        }
        _ => None,
    };
    // Through `?`'s conversion, which sees a full disk in the chain of causes.
    let mut failure = Failure::from(error);
    failure.hints.extend(hint);
    failure
}

pub(super) fn site_failure(error: crate::SiteError) -> Failure {
    Failure::from(error)
}

pub(super) fn tell(context: &Context, installed: &Installed) -> Result<(), Failure> {
    let record = &installed.record;
    for note in &installed.notes {
        context.printer.detail(note);
    }
    let loud = installed.notes.iter().filter(|note| {
        note.contains("shadow") || note.contains("points into") || note.contains("is not on the")
    });
    for note in loud {
        context.printer.warn(note);
    }
    if context.is_json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "image": record.image,
            "folder": context.site.folder(record),
            "commands": record.commands,
            "modules": record.modules.iter().map(|module| context.site.modules().join(&module.path)).collect::<Vec<_>>(),
            "source": record.source,
            "replaced": installed.replaced,
            "unchanged": installed.unchanged,
            "notes": installed.notes,
        }));
    }
    let name = record.name();
    if installed.unchanged {
        context
            .printer
            .note(&format!("{} is installed", record.image));
    } else {
        let count = record.commands.len();
        context.printer.note(&format!(
            "installed {} with {count} command{}",
            record.image,
            if count == 1 { "" } else { "s" }
        ));
    }
    for other in &installed.replaced {
        context
            .printer
            .note(&format!("removed the older build {other}"));
    }
    context.printer.note(&format!(
        "module use {}",
        crate::quoted(&context.site.modules().display().to_string())
    ));
    context
        .printer
        .note(&format!("module load {}/{}", name.app, name.version));
    Ok(())
}

pub(super) fn upgrade(context: &Context, args: &UpgradeArgs) -> Result<(), Failure> {
    let ready = Ready::new(context, WrapperStyle::Launcher)?;
    let names = published(context, &ready.fetch, true)?.names();
    let records = if args.names.is_empty() {
        context.site.installed().map_err(site_failure)?
    } else {
        let found: Result<Vec<_>, Failure> = args
            .names
            .iter()
            .map(|name| context.find(name).map(|(_, record)| record))
            .collect();
        found?
    };
    let mut done = Vec::new();
    for record in records {
        let name = record.name();
        let Some(newest) = choose(&format!("{}/{}", name.app, name.version), &names) else {
            continue;
        };
        let broken = !crate::verify(&context.site, &record, crate::Depth::Quick).is_empty();
        if newest.date <= name.date && !(broken || record.by == "upstream") {
            continue;
        }
        done.push(json!({"from": record.image, "to": newest.stem()}));
        if args.dry_run {
            context.printer.note(&format!(
                "would upgrade {} to {}",
                record.image,
                newest.stem()
            ));
            continue;
        }
        let wish = InstallArgs {
            image: Some(newest.stem()),
            storage: "auto".into(),
            wrapper_style: record.style,
            unpack: Some(record.placement == crate::Placement::Folder),
            reinstall: newest.date <= name.date,
            singularity_opts: Some(
                record
                    .options
                    .iter()
                    .map(|word| crate::quoted(word))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            ..InstallArgs::default()
        };
        let installed = install_now(context, &wish)?;
        if !context.is_json() {
            tell(context, &installed)?;
        }
    }
    if context.is_json() {
        return context
            .printer
            .json(&json!({"schema_version": 1, "upgraded": done}));
    }
    if done.is_empty() {
        context.printer.note("everything is the newest build");
    }
    Ok(())
}
