//! `verify`.

use clap::Args;
use nd_cvmfs::{Depth, MasterPublicKey, Repository, VerifyOptions, verify};
use nd_terminal::{Failure, FailureKind, OrFail as _, human_bytes, human_duration};
use serde_json::json;

use super::args::{Context, TrustArgs, verify_failure};
use crate::{
    Place,
    housekeeping::{ServerLag, lag_of},
};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Address or folder of the repository
    place: String,
    /// Read and hash every object, and compare trees with the records beside them
    #[arg(long)]
    full: bool,
    /// Address or folder of a copy that has to have the same revision; may be repeated. Only copies are
    /// looked at then
    #[arg(long, value_name = "PLACE", conflicts_with = "full")]
    servers: Vec<String>,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) fn run(context: &Context, args: &VerifyArgs) -> Result<(), Failure> {
    let place = Place::open(&args.place, &context.environment)?;
    let source = place.source();
    let repository = Repository::open(source)?;
    let manifest = repository.manifest();
    let keys = args.trust.public(context, manifest.name.as_ref())?;
    if !args.servers.is_empty() {
        return servers(context, &repository, &keys, &args.servers);
    }
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

/// How a copy stands, on one line.
pub(super) fn told(lag: &ServerLag) -> String {
    let server = &lag.server;
    match (&lag.problem, lag.revision) {
        (Some(problem), _) => format!("{server}: {problem}"),
        (None, Some(revision)) if lag.behind > 0 => format!(
            "{server}: revision {revision}, {} behind, {} late at most",
            lag.behind,
            human_duration(std::time::Duration::from_secs(lag.seconds.unsigned_abs()))
        ),
        _ => format!("{server}: current"),
    }
}

/// Says how far copies are behind, and proves them where there is a key.
fn servers(
    context: &Context,
    repository: &Repository<'_>,
    keys: &[MasterPublicKey],
    places: &[String],
) -> Result<(), Failure> {
    let expected = repository.manifest();
    if keys.is_empty() {
        let text = "no key is known, so copies are compared and not proven; `--key FILE` names one";
        context.printer.note(text);
    } else {
        // What is compared with has to be right itself.
        let trust = repository.check_trust(keys, expected.name.as_ref(), context.now);
        let (_, wrong) = trust.or_fail(FailureKind::Failed)?;
        if let Some(wrong) = wrong.first() {
            let text = format!("the repository itself is not trusted: {wrong}");
            return Err(Failure::new(FailureKind::Failed, text));
        }
    }
    let mut all = Vec::new();
    for word in places {
        let place = Place::open(word, &context.environment)?;
        all.push(lag_of(expected, place.source(), keys, context.now));
    }
    let late = all.iter().filter(|lag| !lag.is_current()).count();
    if context.json() {
        context.printer.json(&json!({
            "schema_version": 1,
            "revision": expected.revision,
            "servers": all,
        }))?;
    } else {
        for lag in &all {
            context.printer.data(&told(lag))?;
        }
    }
    if late == 0 {
        return Ok(());
    }
    let text = format!(
        "{late} of {} copies do not have revision {}",
        all.len(),
        expected.revision
    );
    Err(Failure::new(FailureKind::Failed, text))
}
