//! `verify`.

use clap::Args;
use nd_cvmfs::{Depth, Repository, VerifyOptions, verify};
use nd_terminal::{Failure, FailureKind, human_bytes};
use serde_json::json;

use super::args::{Context, TrustArgs, verify_failure};
use crate::Place;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Address or folder of the repository
    place: String,
    /// Read and hash every object, and compare trees with the records beside them
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let source = place.source();
    let named = Repository::open(source)?.manifest().name.clone();
    let keys = args.trust.public(context, named.as_ref())?;
    let options = VerifyOptions {
        depth: if args.full {
            Depth::Full
        } else {
            Depth::Existence
        },
        keys: &keys,
        name: args.trust.repository.as_ref(),
        now: context.now,
        threads: None,
    };
    let verified = verify(source, &options, &context.cancel).map_err(verify_failure)?;
    let printer = &context.printer;
    if context.json() {
        let findings: Vec<_> = verified
            .findings
            .iter()
            .map(|finding| json!({ "code": finding.code(), "text": finding.to_string() }))
            .collect();
        printer.json(&json!({
            "schema_version": 1,
            "repository": verified.manifest.name.as_ref().map(ToString::to_string),
            "revision": verified.manifest.revision,
            "root": verified.manifest.root_catalog.to_string(),
            "good": verified.is_good(),
            "findings": findings,
            "notes": verified.notes,
            "whitelist_hours": verified.hours_left,
            "catalogs": verified.catalogs,
            "entries": verified.entries,
            "objects": verified.objects,
            "bytes": verified.bytes,
            "trees": verified.trees,
        }))?;
    } else {
        for finding in &verified.findings {
            printer.error_line(&finding.to_string());
        }
        for note in &verified.notes {
            printer.note(note);
        }
        printer.data(&format!(
            "revision {}: {} catalogues, {} entries, {} objects of {}, {} trees compared",
            verified.manifest.revision,
            verified.catalogs,
            verified.entries,
            verified.objects,
            human_bytes(verified.bytes),
            verified.trees
        ))?;
        if let Some(hours @ 0..72) = verified.hours_left {
            printer.warn(&format!("the whitelist is good for {hours} hours more"));
        }
    }
    if verified.is_good() {
        return Ok(());
    }
    let text = format!("{} findings", verified.findings.len());
    let failure = Failure::new(FailureKind::Failed, text);
    Err(if keys.is_empty() {
        failure.hint("`--key FILE` names the public master key that proves a repository")
    } else {
        failure
    })
}
