//! `apply`.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use nd_fetch::{FetchOptions, Rate, registry::RegistryOptions};
use nd_host::{SystemClock, SystemPrograms};
use nd_names::Architecture;
use nd_store::Store;
use nd_terminal::{Failure, FailureKind};
use transparent_singularity::{FetchContext, Settings, WrapperStyle, cli::find_launcher};

use super::{
    catalogue::{CatalogueArgs, MountArgs},
    menu::MenuArgs,
    plan::Wishes,
    publisher::{PublisherArgs, apply_failure, state_failure},
};
use crate::{
    cli::args::Context,
    sync::{ImageFolder, ImageSources, Images, Preparer, Run, RunLimits, RunReport, State, Trial},
};

/// Whether images have to run.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TrialArg {
    /// Where `apptainer` or `singularity` is installed
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Where the state is.
#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// Folder for what is remembered between runs [default: `$XDG_DATA_HOME/cvmfs-sync/state/NAME`]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl StateArgs {
    pub(super) fn folder(
        &self,
        context: &Context,
        name: &nd_cvmfs::RepositoryName,
    ) -> Result<PathBuf, Failure> {
        let environment = &context.environment;
        if let Some(folder) = &self.state {
            return Ok(environment.absolute(folder));
        }
        let data = environment.data_dir()?;
        let base = data.parent().unwrap_or(&data);
        Ok(base.join("cvmfs-sync/state").join(name.as_str()))
    }
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ApplyArgs {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    #[command(flatten)]
    mount: MountArgs,
    #[command(flatten)]
    publisher: PublisherArgs,
    #[command(flatten)]
    wishes: Wishes,
    #[command(flatten)]
    menu: MenuArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Folder with images, `STEM.simg`, `STEM.sif` or `STEM` [default: the sources of
    /// `transparent-singularity`]
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Whether an image has to run before it is published
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    trial: TrialArg,
    /// How commands are wrapped
    #[arg(long, value_name = "STYLE", default_value = "launcher")]
    wrapper_style: WrapperStyle,
    /// Containers that come in one run, at most
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    max_containers: Option<usize>,
    /// Gigabytes of images that come in one run, at most
    #[arg(long, value_name = "GB", help_heading = "Limits")]
    max_gigabytes: Option<u64>,
    /// Hours of the day, in UTC, in which containers come, such as `22-6`
    #[arg(long, value_name = "FROM-TO", value_parser = hours, help_heading = "Limits")]
    hours: Option<(u8, u8)>,
    /// Gigabytes that stay free where images and revisions are written
    #[arg(long, value_name = "GB", default_value_t = 0, help_heading = "Limits")]
    keep_free: u64,
    /// Megabytes a second that images are downloaded with, at most
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Limits")]
    max_rate: Option<u64>,
}

fn hours(text: &str) -> Result<(u8, u8), String> {
    let parsed = text.split_once('-').and_then(|(from, to)| {
        let hour = |text: &str| text.parse().ok().filter(|hour| *hour < 24);
        Some((hour(from)?, hour(to)?))
    });
    parsed.ok_or_else(|| "two hours from 0 to 23, such as `22-6`".to_owned())
}

pub(in crate::cli) fn apply(context: &Context, args: &ApplyArgs) -> Result<(), Failure> {
    let name = &args.mount.repository;
    let desired = args.catalogue.read(context)?;
    let mount = args.mount.mount()?;
    let menu = args.menu.menu(context, args.catalogue.word(), &mount)?;
    let folder = args.state.folder(context, name)?;
    let mut state = State::lock(folder, context.now).map_err(state_failure)?;
    let pace = state.memory.pace;
    let options = args.wishes.options(&desired, mount.clone(), pace)?;
    let mut publisher = args.publisher.open(context, name, state.folder())?;
    let preparer = preparer(context, args, mount)?;
    let images = images(context, args)?;
    let reporter = context.printer.reporter();
    let report = Run {
        publisher: &mut *publisher,
        images: &*images,
        menu: menu.as_ref(),
        preparer: &preparer,
        state: &mut state,
        clock: &SystemClock,
        limits: RunLimits {
            containers: args.max_containers,
            bytes: args
                .max_gigabytes
                .map(|number| number.saturating_mul(1_000_000_000)),
            hours: args.hours,
            keep_free: args.keep_free.saturating_mul(1_000_000_000),
        },
        cancel: &context.cancel,
        reporter: &reporter,
    }
    .apply(&desired, &options)
    .map_err(apply_failure)?;
    tell(context, &report)
}

fn preparer(context: &Context, args: &ApplyArgs, mount: String) -> Result<Preparer, Failure> {
    let environment = &context.environment;
    let programs = SystemPrograms::new(environment);
    let launcher = match args.wrapper_style {
        WrapperStyle::Script => Vec::new(),
        WrapperStyle::Launcher => find_launcher(&programs)?.ok_or_else(|| {
            Failure::new(FailureKind::Tool, "program `nd-launcher` is missing")
                .hint("it belongs beside `cvmfs-sync`; `--wrapper-style script` does without it")
        })?,
    };
    let temporary = environment.cache_dir()?;
    fs_err::create_dir_all(&temporary)?;
    Ok(Preparer {
        mount,
        style: args.wrapper_style,
        launcher,
        excludes: Settings::load(environment, None)?.excludes,
        trial: match args.trial {
            TrialArg::Auto => Trial::WhenPossible,
            TrialArg::Always => Trial::Always,
            TrialArg::Never => Trial::Never,
        },
        programs: Box::new(programs),
        architecture: architecture(),
        temporary,
    })
}

fn architecture() -> Architecture {
    Architecture::of_this_program().unwrap_or(Architecture::X86_64)
}

fn images(context: &Context, args: &ApplyArgs) -> Result<Box<dyn Images>, Failure> {
    let environment = &context.environment;
    if let Some(folder) = &args.images {
        return Ok(Box::new(ImageFolder(environment.absolute(folder))));
    }
    let settings = Settings::load(environment, None)?;
    let mut options = FetchOptions::from_environment(environment)?;
    if let Some(megabytes) = args.max_rate {
        options.rate = Rate::bytes_per_second(megabytes.saturating_mul(1_000_000));
    }
    options.keep_free = settings.site.keep_free.unwrap_or(64 << 20);
    Ok(Box::new(ImageSources {
        context: FetchContext {
            options,
            registries: RegistryOptions::from_environment(environment)?,
            store: Store::open(environment.cache_dir()?.join("store"))?,
            reporter: Arc::new(context.printer.reporter()),
            cancel: context.cancel.clone(),
            architecture: architecture(),
        },
        settings,
    }))
}

fn tell(context: &Context, report: &RunReport) -> Result<(), Failure> {
    if context.json() {
        let mut value = serde_json::to_value(report)?;
        if let Some(members) = value.as_object_mut() {
            members.insert("schema_version".to_owned(), 1.into());
        }
        context.printer.json(&value)?;
    } else {
        if let Some(text) = &report.recovered {
            context.printer.note(text);
        }
        for step in &report.done {
            let line = format!("{:<8} {}", step.action.word(), step.image);
            context.printer.data(&line)?;
        }
        if let Some(menu) = &report.menu {
            let line = format!("menu     {}: {} files", menu.at, menu.files);
            context.printer.data(&line)?;
        }
        for (image, reason) in &report.postponed {
            context
                .printer
                .data(&format!("later    {image}: {reason}"))?;
        }
        for (image, reason) in &report.failed {
            context
                .printer
                .data(&format!("failed   {image}: {reason}"))?;
        }
        let modules = match report.modules {
            0 => String::new(),
            count => format!(", {count} module files besides"),
        };
        let line = format!("revision {}{modules}", report.revision);
        context.printer.data(&line)?;
    }
    if report.failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::told(FailureKind::Failed))
    }
}
