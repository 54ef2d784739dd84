//! `learn`.

use std::num::NonZeroUsize;

use clap::Args;
use nd_cvmfs::{Repository, RepositoryName};
use nd_terminal::{Failure, FailureKind, human_bytes};
use serde_json::json;

use super::args::{Context, publish_failure};
use crate::Place;

/// Arguments of `learn`.
#[derive(Debug, Args)]
pub(super) struct LearnArgs {
    /// Address, bucket or folder of the repository
    place: String,
    /// Name of the repository that will be published to [default: the one that this one has]
    #[arg(long, value_name = "NAME")]
    repository: Option<RepositoryName>,
}

pub(super) fn run(context: &Context, args: &LearnArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let repository = Repository::open(place.source())?;
    let named = repository.manifest().name.as_ref();
    let name = args.repository.as_ref().or(named).ok_or_else(|| {
        let failure = Failure::new(FailureKind::Usage, "the manifest names no repository");
        failure.hint("name it with `--repository`")
    })?;
    let mut known = context.known(name)?;
    // Most of the time they wait.
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = cores.saturating_mul(NonZeroUsize::MIN.saturating_add(3));
    let done = nd_cvmfs::learn(&repository, &mut known, threads, &context.cancel)
        .map_err(publish_failure)?;
    if context.json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "repository": name.to_string(),
            "contents": done.contents,
            "bytes": done.bytes,
            "known": done.known,
            "unreadable": done.unreadable,
        }));
    }
    if done.unreadable > 0 {
        let text = format!(
            "{} contents cannot be read; `cvmfs-sync verify --full` says why",
            done.unreadable
        );
        context.printer.warn(&text);
    }
    context.printer.data(&format!(
        "{} contents learned, {}; {} were known",
        done.contents,
        human_bytes(done.bytes),
        done.known
    ))
}
