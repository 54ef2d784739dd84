//! `install`, `run`, `remove` and `upgrade`, through the library of `transparent-singularity`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser as _};
use nd_host::Environment;
use nd_names::{BuildDate, ImageName};
use nd_terminal::{Failure, FailureKind, OrFail as _, OutputFormat, Printer};
use serde_json::json;
use transparent_singularity::{Settings, Site, SiteError, cli};

use super::{
    finding::{fits, nothing},
    session::AppsArgs,
};
use crate::{
    catalogue::{Catalogue, Container, quote, split},
    deployment::Deployment,
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
    #[arg(long, value_name = "STYLE", value_parser = ["launcher", "script"], default_value = "launcher")]
    wrapper_style: String,
    /// Say what would be installed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    apps: AppsArgs,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// `NAME VERSION`, `NAME/VERSION` or `NAME_VERSION_DATE`, then a build date when it matters, then
    /// the command; without one, a shell
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORDS"
    )]
    words: Vec<OsString>,
    /// How commands are wrapped, when it has to be installed
    #[arg(long, value_name = "STYLE", value_parser = ["launcher", "script"], default_value = "launcher")]
    wrapper_style: String,
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

impl SiteArgs {
    /// Calls `transparent-singularity` with `words`.
    fn call(&self, quiet: bool, words: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
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
    fn open(&self, environment: &Environment) -> Result<Site, Failure> {
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
struct Wanted {
    image: ImageName,
    options: Vec<String>,
}

/// The image of `version` of a container, the highest without one.
fn image(container: &Container, version: Option<&str>) -> Result<Wanted, Failure> {
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
fn wanted(catalogue: &Catalogue, name: &str) -> Result<Vec<Wanted>, Failure> {
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

/// Installs one image.
fn install_one(
    wanted: &Wanted,
    from: Option<&str>,
    style: &str,
    site: &SiteArgs,
    quiet: bool,
    more: &[String],
) -> Result<(), Failure> {
    let mut words: Vec<OsString> = vec!["install".into(), wanted.image.stem().into()];
    words.push(format!("--wrapper-style={style}").into());
    let options: Vec<String> = more
        .iter()
        .chain(&wanted.options)
        .map(|option| quote(option))
        .collect();
    if !options.is_empty() {
        words.push(format!("--singularity-opts={}", options.join(" ")).into());
    }
    if let Some(from) = from {
        words.extend(["--from".into(), from.into()]);
    }
    site.call(quiet, words)
}

/// Options that the deployment has for every image.
fn runtime_options(
    apps: &AppsArgs,
    environment: &Environment,
    printer: &Printer,
) -> Result<Vec<String>, Failure> {
    let deployment = Deployment::of(&apps.deployment.resolve(environment, printer)?);
    split(&deployment.runtime_options).ok_or_else(|| {
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
    let options = runtime_options(&args.apps, &environment, printer)?;
    let (mut installed, mut failed) = (Vec::new(), Vec::new());
    for one in &all {
        let stem = one.image.stem();
        match install_one(
            one,
            args.from.as_deref(),
            &args.wrapper_style,
            &args.site,
            false,
            &options,
        ) {
            Ok(()) => installed.push(stem),
            Err(failure) => {
                // The others are installed all the same.
                printer.error_line(failure.render().trim_end());
                failed.push(stem);
            }
        }
    }
    if printer.format() == OutputFormat::Json {
        printer.json(&json!({ "schema_version": 1, "installed": installed, "failed": failed }))?;
    } else if all.len() > 1 {
        printer.note(&format!(
            "{} installed, {} failed",
            installed.len(),
            failed.len()
        ));
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("failed to install {}", failed.join(", "));
    Err(Failure::new(FailureKind::Failed, message))
}

/// What `run` was told to run.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    name: String,
    version: String,
    date: Option<BuildDate>,
    command: Vec<OsString>,
}

/// Takes the words of `run` apart.
fn asked(words: &[OsString]) -> Result<Asked, Failure> {
    let usage = |message: String| {
        Failure::new(FailureKind::Usage, message)
            .hint("neurocommand run NAME VERSION [DATE] [COMMAND…]")
    };
    let text = |at: usize| words.get(at).and_then(|word| word.to_str());
    let first = text(0).ok_or_else(|| usage("the name is no text".to_owned()))?;
    let (name, version, mut next) = if let Some((name, version)) = first.split_once('/') {
        (name.to_owned(), version.to_owned(), 1)
    } else if let Ok(image) = first.parse::<ImageName>() {
        return Ok(Asked {
            name: image.app.to_string(),
            version: image.version.to_string(),
            date: Some(image.date),
            command: words[1..].to_vec(),
        });
    } else {
        let version =
            text(1).ok_or_else(|| usage(format!("the version of `{first}` is missing")))?;
        (first.to_owned(), version.to_owned(), 2)
    };
    let date = text(next).and_then(|word| word.parse::<BuildDate>().ok());
    next += usize::from(date.is_some());
    Ok(Asked {
        name,
        version,
        date,
        command: words[next..].to_vec(),
    })
}

pub(super) fn run(args: &RunArgs, printer: &Printer) -> Result<(), Failure> {
    let environment = Environment::of_process()?;
    let asked = asked(&args.words)?;
    let site = args.site.open(&environment)?;
    let mut name = match &asked.date {
        Some(date) => format!("{}_{}_{date}", asked.name, asked.version),
        None => format!("{}/{}", asked.name, asked.version),
    };
    match site.find(&name) {
        Ok(_) => {}
        Err(SiteError::NotInstalled { .. }) => {
            let wanted = if asked.date.is_some() {
                let image = name.parse::<ImageName>().or_fail(FailureKind::Usage)?;
                Wanted {
                    image,
                    options: Vec::new(),
                }
            } else {
                let (catalogue, _) = args.apps.load(&environment, printer)?;
                let container = catalogue.container(&asked.name);
                let container = container.ok_or_else(|| {
                    let mut failure = nothing(&catalogue, &asked.name);
                    failure.kind = FailureKind::Usage;
                    failure
                })?;
                image(container, Some(&asked.version))?
            };
            let options = runtime_options(&args.apps, &environment, printer)?;
            install_one(
                &wanted,
                None,
                &args.wrapper_style,
                &args.site,
                true,
                &options,
            )?;
            name = wanted.image.stem();
        }
        Err(error) => return Err(error.into()),
    }
    let verb = if asked.command.is_empty() {
        "shell"
    } else {
        "exec"
    };
    let mut words: Vec<OsString> = vec![verb.into(), name.into()];
    if !asked.command.is_empty() {
        words.push("--".into());
        words.extend(asked.command);
    }
    args.site.call(true, words)
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

pub(super) fn upgrade(args: &NamesArgs) -> Result<(), Failure> {
    let words = std::iter::once("upgrade".into()).chain(args.names.iter().map(OsString::from));
    args.site.call(false, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> (String, String, Option<String>, Vec<OsString>) {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let asked = asked(&words).unwrap();
        (
            asked.name,
            asked.version,
            asked.date.map(String::from),
            asked.command,
        )
    }

    #[test]
    fn every_form_of_a_name_is_understood_and_arguments_stay_as_they_are() {
        let command: Vec<OsString> = ["fslinfo", "-x", "a b"]
            .iter()
            .map(OsString::from)
            .collect();
        let plain = ("fsl".to_owned(), "6.0".to_owned(), None, command.clone());
        assert_eq!(of(&["fsl", "6.0", "fslinfo", "-x", "a b"]), plain);
        assert_eq!(of(&["fsl/6.0", "fslinfo", "-x", "a b"]), plain);
        let dated = (
            "fsl".to_owned(),
            "6.0".to_owned(),
            Some("20240101".to_owned()),
            command,
        );
        assert_eq!(
            of(&["fsl", "6.0", "20240101", "fslinfo", "-x", "a b"]),
            dated
        );
        assert_eq!(of(&["fsl_6.0_20240101", "fslinfo", "-x", "a b"]), dated);
        assert_eq!(of(&["lite", "20260428"]).1, "20260428");
        assert!(asked(&["fsl".into()]).is_err());
    }
}
