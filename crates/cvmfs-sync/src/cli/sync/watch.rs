//! `watch`, `unit` and `wishlist`.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use nd_cvmfs::RepositoryName;
use nd_terminal::{Failure, FailureKind};

use super::{
    apply::{ApplyArgs, apply},
    catalogue::CatalogueArgs,
};
use crate::{
    cli::args::Context,
    housekeeping::{Naming, Wishlist, systemd_unit},
};

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(in crate::cli) struct WatchArgs {
    #[command(flatten)]
    apply: ApplyArgs,
    /// Seconds between the end of a run and the next one
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    interval: u64,
}

/// Applies again and again, until somebody asks to stop. What may pass is waited for; what needs a
/// person ends it.
pub(in crate::cli) fn watch(context: &Context, args: &WatchArgs) -> Result<(), Failure> {
    loop {
        match apply(context, &args.apply) {
            Ok(()) => {}
            Err(failure) => match failure.kind {
                FailureKind::Failed | FailureKind::Busy | FailureKind::Tool => {
                    let text = failure.render();
                    if !text.is_empty() {
                        context.printer.error_line(text.trim_end());
                    }
                }
                _ => return Err(failure),
            },
        }
        let next = Instant::now() + Duration::from_secs(args.interval);
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            if context.cancel.is_cancelled() {
                // To stop is what it was asked for.
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(200)));
        }
    }
}

/// Arguments of `unit`.
#[derive(Debug, Args)]
pub(in crate::cli) struct UnitArgs {
    /// Name of the repository
    #[arg(long, value_name = "NAME")]
    repository: RepositoryName,
    /// Who runs it: the owner of the repository
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Where this program is installed
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/cvmfs-sync")]
    program: PathBuf,
    /// The words of `watch`, but for `--repository`
    #[arg(last = true)]
    words: Vec<String>,
}

/// Prints a unit of systemd that watches.
pub(in crate::cli) fn unit(context: &Context, args: &UnitArgs) -> Result<(), Failure> {
    let repository = args.repository.as_str();
    let start = ["watch", "--repository", repository].map(str::to_owned);
    let words: Vec<String> = start
        .into_iter()
        .chain(args.words.iter().cloned())
        .collect();
    let program = args.program.to_string_lossy();
    let unit = systemd_unit(repository, &program, &args.user, &words)
        .map_err(|error| Failure::new(FailureKind::Usage, error))?;
    context.printer.data(unit.trim_end())
}

/// How images are called in a registry.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum NamingArg {
    /// ORGANISATION/TOOL_VERSION:DATE
    Legacy,
    /// ORGANISATION/TOOL:VERSION_DATE
    Current,
}

/// Arguments of `wishlist`.
#[derive(Debug, Args)]
pub(in crate::cli) struct WishlistArgs {
    #[command(flatten)]
    catalogue: CatalogueArgs,
    /// Name of the repository that thin images are for
    #[arg(long, value_name = "NAME")]
    repository: RepositoryName,
    /// Who pushes thin images
    #[arg(long, value_name = "NAME", default_value = "vnmd")]
    user: String,
    /// Address of the registry
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://registry.hub.docker.com"
    )]
    registry: String,
    /// Whose images they are
    #[arg(long, value_name = "NAME", default_value = "vnmd")]
    organisation: String,
    /// How images are called
    #[arg(long, value_name = "HOW", default_value = "legacy")]
    naming: NamingArg,
}

/// Prints the recipe file of `cvmfs_ducc`.
pub(in crate::cli) fn wishlist(context: &Context, args: &WishlistArgs) -> Result<(), Failure> {
    let desired = args.catalogue.read(context)?;
    let list = Wishlist {
        user: args.user.clone(),
        registry: args.registry.clone(),
        organisation: args.organisation.clone(),
        naming: match args.naming {
            NamingArg::Legacy => Naming::Legacy,
            NamingArg::Current => Naming::Current,
        },
        ..Wishlist::new(args.repository.as_str())
    };
    context.printer.data(list.render(&desired)?.trim_end())
}
