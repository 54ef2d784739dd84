//! States of package archives: what they say of themselves now, and where each package is in them.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufReader, Read},
    path::PathBuf,
};

use nd_fetch::{Freshness, Request, SafeUrl};
use nd_names::{Architecture, Sha256, Sha256Hasher};
use nd_report::{Event, Reporter};
use neurocontainers_recipe::lock::{LockedArchive, LockedFile, LockedPackage};

use super::{LockProblem, stanzas::stanzas};
use crate::{
    downloads::fetch_telling,
    machine::{AptSource, Mirrors, Redacted},
    pipeline::{PipelineError, Workshop},
};

/// How often a file of an archive is asked for.
const ATTEMPTS: u32 = 3;
/// Largest signed statement.
const RELEASE_LIMIT: u64 = 16 << 20;
/// Name of the signed statement.
pub(super) const IN_RELEASE: &str = "InRelease";

/// Name, version and architecture of a package.
pub(super) type Which = (String, String, String);

/// What archives have.
#[derive(Debug, Default)]
pub(super) struct Archives {
    /// Their states.
    pub(super) locked: Vec<LockedArchive>,
    /// Where packages are: the public address, digest and size.
    packages: HashMap<Which, (String, Sha256, u64)>,
    /// Names of packages that they have in some version.
    names: std::collections::HashSet<String>,
    /// Digest over the signed statements, the one that a bootstrapped base is filed under.
    pub(super) state: Option<Sha256>,
}

impl Archives {
    /// Asks the archives for their present state: `public` are their addresses, of which the first
    /// has to answer; what a mirror lacks is left out.
    pub(super) fn ask(
        workshop: &Workshop<'_>,
        public: &[AptSource],
        architecture: Architecture,
    ) -> Result<Self, PipelineError> {
        let mirrors = Mirrors::find(public, workshop.machine.sources());
        let mut out = Self::default();
        let mut state = Sha256Hasher::default();
        for (number, source) in public.iter().enumerate() {
            let address = source.in_release();
            let request = Request {
                name: Some(format!("{} {IN_RELEASE}", source.suite)),
                max_bytes: Some(RELEASE_LIMIT),
                freshness: Freshness::Revalidate,
                ..Request::new(parse(&mirrors.nearest(&address))?)
            };
            let reporter = quiet(workshop, &mirrors);
            let results = fetch_telling(workshop, &[request], ATTEMPTS, &reporter)?;
            let fetched = match results.into_iter().next() {
                Some(Ok(fetched)) => fetched,
                Some(Err(error)) if number > 0 && is_missing(&error) => continue,
                Some(Err(error)) => return Err(redacted(workshop, &mirrors, &error).into()),
                None => continue,
            };
            let text = fs_err::read(&fetched.path).map_err(PipelineError::io(&fetched.path))?;
            state.update(source.suite.as_bytes());
            state.update([0]);
            state.update((text.len() as u64).to_le_bytes());
            state.update(&text);
            let text = String::from_utf8_lossy(&text).into_owned();
            let mut files = vec![LockedFile {
                path: IN_RELEASE.into(),
                sha256: fetched.digest,
                size: fetched.bytes,
            }];
            files.extend(lists(&text, &source.components, architecture));
            let date = text.lines().find_map(|line| line.strip_prefix("Date:"));
            out.locked.push(LockedArchive {
                uri: source.uri.clone(),
                suite: source.suite.clone(),
                components: source.components.clone(),
                date: date.unwrap_or_default().trim().to_owned(),
                files,
            });
        }
        out.state = Some(state.finish());
        out.read_lists(workshop, &mirrors)?;
        Ok(out)
    }

    /// Fetches the lists of packages and remembers what they say.
    fn read_lists(
        &mut self,
        workshop: &Workshop<'_>,
        mirrors: &Mirrors,
    ) -> Result<(), PipelineError> {
        let wanted: Vec<Wanted> = self
            .locked
            .iter()
            .flat_map(|archive| list_requests(archive, false))
            .collect();
        let blobs = fetch(workshop, mirrors, &wanted)?;
        for (one, path) in wanted.iter().zip(blobs) {
            let file = fs_err::File::open(&path).map_err(PipelineError::io(&path))?;
            let packed = BufReader::new(file);
            let text: Box<dyn Read> = if one.path.rsplit('.').next() == Some("xz") {
                Box::new(lzma_rust2::XzReader::new(packed, true))
            } else {
                Box::new(flate2::bufread::MultiGzDecoder::new(packed))
            };
            // Lists are verified by their digest, but need not be honest about their size.
            let text = BufReader::with_capacity(1 << 20, text.take(4 << 30));
            stanzas(
                text,
                [
                    "Package",
                    "Version",
                    "Architecture",
                    "Filename",
                    "SHA256",
                    "Size",
                ],
                |[name, version, architecture, file, sha256, size]| {
                    let (Some(name), Some(version), Some(architecture)) =
                        (name, version, architecture)
                    else {
                        return;
                    };
                    self.names.insert(name.to_owned());
                    let place = (
                        file,
                        sha256.and_then(|hex| hex.parse::<Sha256>().ok()),
                        size.and_then(|size| size.parse::<u64>().ok()),
                    );
                    if let (Some(file), Some(sha256), Some(size)) = place {
                        let which = (name.into(), version.into(), architecture.into());
                        let url = format!("{}/{file}", one.uri);
                        self.packages.entry(which).or_insert((url, sha256, size));
                    }
                },
            )
            .map_err(PipelineError::io(&path))?;
        }
        Ok(())
    }

    /// What was locked before, to be compared with.
    pub(super) fn locked<'a>(
        locked: &[LockedArchive],
        packages: impl Iterator<Item = &'a LockedPackage>,
    ) -> Self {
        let mut out = Self {
            locked: locked.to_vec(),
            ..Self::default()
        };
        for package in packages {
            if let (Some(url), Some(sha256), Some(size), Some(architecture)) = (
                &package.url,
                package.sha256,
                package.size,
                &package.architecture,
            ) {
                let which = (
                    package.name.clone(),
                    package.version.clone(),
                    architecture.clone(),
                );
                out.packages.insert(which, (url.clone(), sha256, size));
            }
        }
        out
    }

    /// A package with where it can be had.
    pub(super) fn place(&self, (name, version, architecture): Which) -> LockedPackage {
        let which = (name, version, architecture);
        let place = self.packages.get(&which).cloned();
        let (name, version, architecture) = which;
        LockedPackage {
            name,
            version,
            architecture: Some(architecture),
            url: place.as_ref().map(|(url, ..)| url.clone()),
            sha256: place.as_ref().map(|(_, sha256, _)| *sha256),
            size: place.map(|(.., size)| size),
        }
    }

    /// Whether a package is of an earlier state of these archives: they have it in other versions.
    pub(super) fn is_stale(&self, package: &LockedPackage) -> bool {
        package.sha256.is_none() && self.names.contains(&package.name)
    }
}

/// A file of an archive that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The archive.
    pub(super) uri: String,
    /// Path below it.
    pub(super) path: String,
    /// Another address of the same bytes, tried first.
    pub(super) by_hash: Option<String>,
    pub(super) sha256: Sha256,
    pub(super) size: u64,
}

/// The lists of packages of an archive, and its signed statement if that is wanted as well.
pub(super) fn list_requests(archive: &LockedArchive, statement: bool) -> Vec<Wanted> {
    let files = archive
        .files
        .iter()
        .filter(|file| statement || file.path != IN_RELEASE);
    files
        .map(|file| {
            let base = format!("dists/{}", archive.suite);
            let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
            let by_hash = format!("{base}/{dir}/by-hash/SHA256/{}", file.sha256.hex());
            Wanted {
                uri: archive.uri.clone(),
                path: format!("{base}/{}", file.path),
                by_hash: (file.path != IN_RELEASE).then_some(by_hash),
                sha256: file.sha256,
                size: file.size,
            }
        })
        .collect()
}

/// Brings files of archives into the store, by their digests: from the machine's mirrors, else from
/// the public archives. Gives their blobs.
pub(super) fn fetch(
    workshop: &Workshop<'_>,
    mirrors: &Mirrors,
    wanted: &[Wanted],
) -> Result<Vec<PathBuf>, PipelineError> {
    let mut requests = Vec::with_capacity(wanted.len());
    for one in wanted {
        let mut urls = Vec::new();
        for path in one.by_hash.iter().chain([&one.path]) {
            let public = format!("{}/{path}", one.uri);
            for url in [mirrors.nearest(&public), public] {
                let url = parse(&url)?;
                if !urls.contains(&url) {
                    urls.push(url);
                }
            }
        }
        let first = urls[0].clone();
        requests.push(Request {
            name: Some(one.path.rsplit('/').next().unwrap_or(&one.path).to_owned()),
            urls,
            sha256: Some(one.sha256),
            size: Some(one.size),
            ..Request::new(first)
        });
    }
    let reporter = quiet(workshop, mirrors);
    let results = fetch_telling(workshop, &requests, ATTEMPTS, &reporter)?;
    let mut out = Vec::with_capacity(results.len());
    let mut failed = Vec::new();
    for result in results {
        match result {
            Ok(fetched) => out.push(fetched.path),
            Err(error @ nd_fetch::FetchError::Cancelled(_)) => return Err(error.into()),
            Err(error) => failed.push(redacted(workshop, mirrors, &error)),
        }
    }
    match failed.into_iter().reduce(LockProblem::join) {
        None => Ok(out),
        Some(problem) => Err(problem.into()),
    }
}

/// Hundreds of packages are no news each: only notes and what goes on now are shown, without
/// addresses of the machine.
fn quiet<'a>(workshop: &Workshop<'a>, mirrors: &Mirrors) -> impl Reporter + use<'a> {
    struct Quiet<'a>(Redacted<'a>);
    impl Reporter for Quiet<'_> {
        fn event(&self, event: Event<'_>) {
            if matches!(event, Event::Note { .. }) {
                self.0.event(event);
            }
        }
    }
    Quiet(Redacted {
        to: workshop.reporter,
        redactor: workshop.machine.redactor(mirrors),
    })
}

fn redacted(
    workshop: &Workshop<'_>,
    mirrors: &Mirrors,
    error: &nd_fetch::FetchError,
) -> LockProblem {
    let redactor = workshop.machine.redactor(mirrors);
    let text = redactor.line(error.to_string().as_bytes());
    LockProblem::Fetch(vec![String::from_utf8_lossy(&text).into_owned()])
}

fn is_missing(error: &nd_fetch::FetchError) -> bool {
    let nd_fetch::FetchError::NoSource { tried, .. } = error else {
        return false;
    };
    tried
        .iter()
        .all(|one| matches!(one.cause, nd_fetch::Cause::Status { code: 404, .. }))
}

fn parse(url: &str) -> Result<SafeUrl, LockProblem> {
    url.parse()
        .map_err(|_| LockProblem::Fetch(vec![format!("`{url}` is no address to fetch from")]))
}

/// The lists of packages that a signed statement names and that this architecture installs from.
fn lists(text: &str, components: &[String], architecture: Architecture) -> Vec<LockedFile> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_default()
    };
    let all = field("Architectures")
        .split_whitespace()
        .any(|one| one == "all")
        && !field("No-Support-for-Architecture-all").contains("Packages");
    let mut wanted: Vec<String> = Vec::new();
    for component in components {
        wanted.push(format!(
            "{component}/binary-{}/Packages",
            architecture.oci()
        ));
        if all {
            wanted.push(format!("{component}/binary-all/Packages"));
        }
    }
    let mut out: BTreeMap<String, LockedFile> = BTreeMap::new();
    let mut inside = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            inside = line.trim_end() == "SHA256:";
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        // Some suites have both forms, some only the smaller one.
        if let (true, [digest, size, path]) = (inside, &words[..])
            && let Some((list, form @ ("xz" | "gz"))) = path.rsplit_once('.')
            && wanted.iter().any(|wanted| wanted == list)
            && let (Ok(sha256), Ok(size)) = (digest.parse(), size.parse())
            && (form == "xz" || !out.contains_key(list))
        {
            let path = (*path).to_owned();
            out.insert(list.to_owned(), LockedFile { path, sha256, size });
        }
    }
    out.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_that_are_installed_from_are_taken() {
        let digest = |n: u8| Sha256::from_bytes([n; 32]).hex();
        let text = format!(
            "Architectures: all amd64\nDate: x\nMD5Sum:\n {} 1 main/binary-amd64/Packages.gz\nSHA256:\n \
             {} 10 main/binary-amd64/Packages.gz\n {} 11 main/binary-all/Packages.gz\n {} 12 \
             contrib/binary-amd64/Packages.gz\n {} 13 main/binary-amd64/Packages.xz\n",
            "0".repeat(32),
            digest(1),
            digest(2),
            digest(3),
            digest(4),
        );
        let paths = |text: &str| -> Vec<(String, u64)> {
            lists(text, &["main".into()], Architecture::X86_64)
                .into_iter()
                .map(|file| (file.path, file.size))
                .collect()
        };
        let amd64 = ("main/binary-amd64/Packages.xz".to_owned(), 13);
        assert_eq!(
            paths(&text),
            [
                ("main/binary-all/Packages.gz".to_owned(), 11),
                amd64.clone()
            ]
        );
        let without = format!("No-Support-for-Architecture-all: Packages\n{text}");
        assert_eq!(paths(&without), [amd64]);
    }
}
