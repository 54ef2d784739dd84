//! `run`: a command of a container, installed when it is missing.

use std::{ffi::OsString, num::NonZeroUsize};

use clap::Args;
use nd_host::Environment;
use nd_names::{BuildDate, ImageName};
use nd_terminal::{Failure, FailureKind, OrFail as _, Printer, Verbosity};
use transparent_singularity::{InstallWish, SiteError, WrapperStyle, cli::Installer};

use super::{
    finding::nothing,
    installing::{SiteArgs, Wanted, image, runtime_options},
    session::AppsArgs,
};

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
    #[arg(long, value_enum, default_value_t)]
    wrapper_style: WrapperStyle,
    #[command(flatten)]
    site: SiteArgs,
    #[command(flatten)]
    apps: AppsArgs,
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
            name = wanted.image.stem();
            install(args, wanted, &environment, printer)?;
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

/// Installs what is missing; nothing is said, since the output is that of the command.
fn install(
    args: &RunArgs,
    wanted: Wanted,
    environment: &Environment,
    printer: &Printer,
) -> Result<(), Failure> {
    let resolved = args.apps.deployment.resolve(environment, printer)?;
    let quiet = Printer::new(printer.format(), Verbosity::Quiet, false);
    let installer = Installer::new(&args.site.set_up(&resolved, args.wrapper_style), quiet)?;
    let options = runtime_options(&resolved)?;
    let wish = InstallWish {
        options: options.into_iter().chain(wanted.options).collect(),
        ..installer.wish(wanted.image)?
    };
    let done = installer.install_all(&[wish], NonZeroUsize::MIN);
    done.into_iter().try_for_each(|one| one.map(|_| ()))
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
