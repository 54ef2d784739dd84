//! `install`, `remove` and `upgrade`, through the library of `transparent-singularity`.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf};

use clap::{Args, Parser as _};
use nd_host::Environment;
use nd_names::ImageName;
use nd_terminal::{Failure, FailureKind, OrFail as _, OutputFormat, Printer};
use serde_json::json;
use transparent_singularity::{
    Given, InstallWish, Installed, Settings, Site, WrapperStyle,
    cli::{self, Installer, InstallerOptions},
};

use super::{
    finding::{fits, nothing},
    session::{AppsArgs, sources},
};
use crate::{
    catalogue::{Catalogue, Container, split},
    deployment::{Deployment, Resolved},
};

/// Where images are installed.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct SiteArgs {
    /// Folder of installed images; else that of the settings of `transparent-singularity`
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
    /// Settings of `transparent-singularity`, in place of those of the user and of the machine
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Open no connection
    #[arg(long)]
    offline: bool,
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// `NAME` (the highest version), `NAME/VERSION`, `NAME_VERSION_DATE`, or names with `*`
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// The highest version of everything
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Install this image: a SIF file, a folder, or a layout; for one name
    #[arg(long, value_name = "IMAGE")]
    from: Option<String>,
    /// How commands are wrapped
    #[arg(long, value_enum, default_value_t)]
    wrapper_style: WrapperStyle,
    #[command(flatten)]
    jobs: JobsArgs,
    /// Say what would be installed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    apps: AppsArgs,
}

#[derive(Debug, Args)]
pub(super) struct NamesArgs {
    /// `NAME`, `NAME/VERSION` or `NAME_VERSION_DATE`
    names: Vec<String>,
    #[command(flatten)]
    site: SiteArgs,
}

/// How many images are worked on at a time.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct JobsArgs {
    /// How many images are worked on at a time
    #[arg(long, short, value_name = "N", default_value = "4")]
    pub(super) jobs: NonZeroUsize,
}

impl SiteArgs {
    /// How images are installed here.
    pub(super) fn set_up(&self, resolved: &Resolved, style: WrapperStyle) -> InstallerOptions {
        InstallerOptions {
            sources: sources(resolved),
            ..self.options(style)
        }
    }

    /// The same where no source is asked.
    pub(super) fn options(&self, style: WrapperStyle) -> InstallerOptions {
        InstallerOptions {
            prefix: self.site.clone(),
            settings: self.settings.clone(),
            sources: None,
            offline: self.offline,
            style,
        }
    }

    /// Calls `transparent-singularity` with `words`.
    pub(super) fn call(
        &self,
        quiet: bool,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<(), Failure> {
        let mut all: Vec<OsString> = vec!["transparent-singularity".into()];
        for (name, path) in [("--prefix", &self.site), ("--settings", &self.settings)] {
            if let Some(path) = path {
                all.extend([name.into(), path.clone().into_os_string()]);
            }
        }
        all.extend(self.offline.then(|| "--offline".into()));
        all.extend(quiet.then(|| "--quiet".into()));
        all.extend(words);
        let call = cli::Cli::try_parse_from(all).or_fail(FailureKind::Internal)?;
        cli::run(&call)
    }

    /// The folder of installed images.
    pub(super) fn open(&self, environment: &Environment) -> Result<Site, Failure> {
        let prefix = if let Some(path) = &self.site {
            environment.absolute(path)
        } else {
            let settings = Settings::load(environment, self.settings.as_deref())
                .or_fail(FailureKind::Failed)?;
            settings.prefix(environment).or_fail(FailureKind::Usage)?
        };
        Ok(Site::new(prefix))
    }
}

/// An image to install, and the options that its runtime needs.
pub(super) struct Wanted {
    pub(super) image: ImageName,
    pub(super) options: Vec<String>,
}

/// The image of `version` of a container, the highest without one.
pub(super) fn image(container: &Container, version: Option<&str>) -> Result<Wanted, Failure> {
    let found = match version {
        Some(version) => container
            .images()
            .find(|app| app.identity.version == version),
        None => container.latest(),
    };
    let Some(app) = found else {
        let versions: Vec<&str> = container
            .images()
            .map(|app| app.identity.version.as_str())
            .collect();
        let message = format!(
            "`{}` has no version `{}`",
            container.name,
            version.unwrap_or_default()
        );
        return Err(Failure::new(FailureKind::Usage, message)
            .hint(format!("versions: {}", versions.join(", "))));
    };
    let mut options: Vec<String> = Vec::new();
    let same = container
        .apps
        .iter()
        .filter(|other| other.identity.version == app.identity.version);
    for option in same.flat_map(|other| &other.apptainer_args) {
        if !options.contains(option) {
            options.push(option.clone());
        }
    }
    let image = app
        .stem()
        .parse::<ImageName>()
        .or_fail(FailureKind::Failed)?;
    Ok(Wanted { image, options })
}

/// The images that `name` means.
pub(super) fn wanted(catalogue: &Catalogue, name: &str) -> Result<Vec<Wanted>, Failure> {
    let (container, version) = match name.split_once('/') {
        Some((container, version)) => (container, Some(version)),
        None => (name, None),
    };
    if container.contains('*') {
        let found: Result<Vec<Wanted>, Failure> = catalogue
            .containers
            .iter()
            .filter(|known| fits(&known.name, container) && known.latest().is_some())
            .map(|known| image(known, version))
            .collect();
        let found = found?;
        return if found.is_empty() {
            Err(nothing(catalogue, name))
        } else {
            Ok(found)
        };
    }
    if let Some(known) = catalogue.container(container) {
        return Ok(vec![image(known, version)?]);
    }
    match name.parse::<ImageName>() {
        // A build of its own date needs no entry; its options are those of its version.
        Ok(image_name) => {
            let known = catalogue.container(image_name.app.as_str());
            let options =
                known.and_then(|known| image(known, Some(image_name.version.as_str())).ok());
            let options = options.map(|wanted| wanted.options).unwrap_or_default();
            Ok(vec![Wanted {
                image: image_name,
                options,
            }])
        }
        Err(_) => Err(nothing(catalogue, name)),
    }
}

/// Options that the deployment has for every image.
pub(super) fn runtime_options(resolved: &Resolved) -> Result<Vec<String>, Failure> {
    split(&Deployment::of(resolved).runtime_options).ok_or_else(|| {
        Failure::new(
            FailureKind::Failed,
            "`runtime_options` of the deployment cannot be split into words",
        )
    })
}

pub(super) fn install(args: &InstallArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let (catalogue, _) = args.apps.load(&environment, printer)?;
    let names = if args.all {
        vec!["*".to_owned()]
    } else {
        args.names.clone()
    };
    let mut all: Vec<Wanted> = Vec::new();
    for name in &names {
        for one in wanted(&catalogue, name)? {
            if all.iter().all(|known| known.image != one.image) {
                all.push(one);
            }
        }
    }
    if args.from.is_some() && all.len() != 1 {
        let message = format!("`--from` is for one image, and {} are named", all.len());
        return Err(Failure::new(FailureKind::Usage, message));
    }
    if args.dry_run {
        let stems: Vec<String> = all.iter().map(|one| one.image.stem()).collect();
        if printer.format() == OutputFormat::Json {
            return printer.json(&json!({ "schema_version": 1, "images": stems }));
        }
        return printer.data(&stems.join("\n"));
    }
    let resolved = args.apps.deployment.resolve(&environment, printer)?;
    let options = runtime_options(&resolved)?;
    let from = args.from.as_deref().map(given);
    let set_up = args.site.set_up(&resolved, args.wrapper_style);
    let installer = Installer::new(&set_up, printer.clone())?;
    let mut wishes = Vec::new();
    for one in all {
        wishes.push(InstallWish {
            from: from.clone(),
            options: options.iter().cloned().chain(one.options).collect(),
            ..installer.wish(one.image)?
        });
    }
    let done = installer.install_all(&wishes, args.jobs.jobs);
    summary(&installer, &wishes, done, printer)
}

/// A local image by its path or transport.
pub(super) fn given(text: &str) -> Given {
    match text.parse() {
        Ok(given) => given,
        Err(never) => match never {},
    }
}

/// Says what was installed and what failed, and fails when anything did.
pub(super) fn summary(
    installer: &Installer,
    wishes: &[InstallWish],
    done: Vec<Result<Installed, Failure>>,
    printer: &Printer,
) -> Result<(), Failure> {
    let is_json = printer.format() == OutputFormat::Json;
    let (mut installed, mut failed) = (Vec::new(), Vec::new());
    let mut kind = None;
    for (wish, result) in wishes.iter().zip(done) {
        let stem = wish.image.stem();
        match result {
            Ok(new) => {
                if !is_json {
                    installer.tell(&new)?;
                }
                installed.push(stem);
            }
            Err(failure) => {
                printer.error_line(&format!("{stem}: {}", failure.render().trim_end()));
                kind.get_or_insert(failure.kind);
                failed.push(stem);
            }
        }
    }
    if is_json {
        printer.json(&json!({ "schema_version": 1, "installed": installed, "failed": failed }))?;
    } else if wishes.len() > 1 {
        let (good, bad) = (installed.len(), failed.len());
        printer.note(&format!("{good} installed, {bad} failed"));
    }
    let Some(kind) = kind else { return Ok(()) };
    // Of one image its own kind of failure tells most.
    let kind = if installer.cancel().is_cancelled() {
        FailureKind::Interrupted
    } else if wishes.len() == 1 {
        kind
    } else {
        FailureKind::Failed
    };
    let message = format!("failed to install {}", failed.join(", "));
    Err(Failure::new(kind, message))
}

pub(super) fn remove(args: &NamesArgs) -> Result<(), Failure> {
    if args.names.is_empty() {
        return Err(Failure::new(
            FailureKind::Usage,
            "nothing to remove is named",
        ));
    }
    let words = std::iter::once("uninstall".into()).chain(args.names.iter().map(OsString::from));
    args.site.call(false, words)
}
