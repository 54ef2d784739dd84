//! `prefetch`.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;
use nd_terminal::{Failure, human_bytes};
use serde_json::json;

use super::args::Context;

/// Arguments of `prefetch`.
#[derive(Debug, Args)]
pub(super) struct PrefetchArgs {
    /// Folder of the container in a mounted repository
    container: PathBuf,
    /// Files that are read at a time
    #[arg(long, value_name = "NUMBER", default_value = "16")]
    jobs: NonZeroUsize,
}

pub(super) fn run(context: &Context, args: &PrefetchArgs) -> Result<(), Failure> {
    let path = context.environment.absolute(&args.container);
    let done = crate::prefetch(&path, args.jobs, &context.cancel)?;
    context.cancel.check()?;
    if context.json() {
        return context.printer.json(&json!({
            "schema_version": 1,
            "files": done.files,
            "bytes": done.bytes,
            "missing": done.missing,
        }));
    }
    if done.missing > 0 {
        let text = format!("{} files of the list cannot be read", done.missing);
        context.printer.warn(&text);
    }
    let text = format!(
        "{} files read ahead, {}",
        done.files,
        human_bytes(done.bytes)
    );
    context.printer.data(&text)
}
