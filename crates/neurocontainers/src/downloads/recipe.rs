//! Files that a recipe declares by URL.

use std::{collections::BTreeMap, path::PathBuf};

use nd_fetch::{FetchError, Freshness, Request, SafeUrl};
use nd_names::Sha256;
use nd_report::{Diagnostic, Severity};
use neurocontainers_recipe::{
    codes,
    resolved::{DeclaredFile, FileSource},
};

use super::fetch_all;
use crate::pipeline::{PipelineError, Prepared, Workshop};

/// A download that lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Where it came from, as the recipe has it.
    pub url: String,
    /// Its blob; others may have it, too, so nobody writes to it.
    pub path: PathBuf,
    /// Digest of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The name of the README among downloads, which no declared file can have.
pub const README: &str = "/README";

/// Downloads by the name of the declared file.
pub type Downloads = BTreeMap<String, Download>;

/// Brings every file that the recipe declares by URL into the store. `expected` are digests by URL
/// that a lock file promises, where the recipe promises none. What was downloaded before is used as
/// it is, unless the recipe (`refresh`) or the caller wants the server asked.
///
/// All that cannot be had is reported at once, each at the line that declares it.
pub fn fetch_files(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    expected: &BTreeMap<String, Sha256>,
    refresh: bool,
) -> Result<Downloads, PipelineError> {
    let mut files: Vec<(&DeclaredFile, &str)> = Vec::new();
    for file in &prepared.compiled.staging.files {
        if let FileSource::Url(url) = file.source() {
            files.push((file, url));
        }
    }
    let mut diagnostics = Vec::new();
    let mut requests = Vec::new();
    let mut asked = Vec::new();
    for (file, url) in files {
        let parsed: SafeUrl = match url.parse() {
            Ok(parsed) => parsed,
            Err(error) => {
                let message = format!("`{}` cannot be downloaded: {error}", file.name);
                diagnostics.push(at(file, message));
                continue;
            }
        };
        let freshness = if file.refresh || refresh {
            Freshness::Revalidate
        } else {
            Freshness::Any
        };
        requests.push(Request {
            name: Some(file.name.clone()),
            sha256: file.sha256.or_else(|| expected.get(url).copied()),
            freshness,
            ..Request::new(parsed)
        });
        asked.push((file, url));
    }
    let readme = prepared.compiled.readme_url.as_deref();
    if let Some((url, parsed)) = readme.and_then(|url| Some((url, url.parse().ok()?))) {
        // It was read when the recipe was.
        requests.push(Request {
            name: Some("README".into()),
            sha256: expected.get(url).copied(),
            freshness: Freshness::Any,
            ..Request::new(parsed)
        });
    }
    let attempts = asked.iter().map(|(file, _)| file.attempts()).max();
    let results = fetch_all(workshop, &requests, attempts.unwrap_or(1))?;
    let mut downloads = Downloads::new();
    let download = |url: &str, fetched: nd_fetch::Fetched| Download {
        url: url.to_owned(),
        path: fetched.path,
        sha256: fetched.digest,
        bytes: fetched.bytes,
    };
    let mut results = results.into_iter();
    for ((file, url), result) in asked.into_iter().zip(&mut results) {
        match result {
            Ok(fetched) => {
                downloads.insert(file.name.clone(), download(url, fetched));
            }
            Err(error @ FetchError::Cancelled(_)) => return Err(error.into()),
            Err(error) => diagnostics.push(diagnostic(file, &error)),
        }
    }
    if let (Some(url), Some(result)) = (readme, results.next()) {
        downloads.insert(README.to_owned(), download(url, result?));
    }
    if diagnostics.is_empty() {
        return Ok(downloads);
    }
    Err(PipelineError::Recipe {
        diagnostics,
        sources: prepared.sources.clone(),
        recipe: prepared.folder.shown.clone(),
    })
}

fn diagnostic(file: &DeclaredFile, error: &FetchError) -> Diagnostic {
    let found = at(file, nd_report::with_causes(error));
    match error {
        FetchError::Offline { .. } => {
            found.hint("`neurocontainers fetch NAME` downloads it while there is a network")
        }
        FetchError::NoSource { tried, .. }
            if tried
                .iter()
                .any(|tried| matches!(tried.cause, nd_fetch::Cause::Digest { .. })) =>
        {
            found.hint(
                "make sure that the new content is what it should be before changing the digest",
            )
        }
        _ => found,
    }
}

fn at(file: &DeclaredFile, message: String) -> Diagnostic {
    let found = Diagnostic::new(codes::DOWNLOAD, Severity::Error, message);
    match file.origin.span {
        Some(span) => found.at(span, "declared here"),
        None => found,
    }
}
