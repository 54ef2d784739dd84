//! Trying candidates until one gives the image.

use std::{num::NonZeroUsize, path::Path, sync::Arc};

use nd_fetch::{
    FetchError, FetchOptions, Fetched, Fetcher, Mirrors, Request, SafeUrl,
    registry::{Reference, Registries, RegistryError, RegistryOptions, parse_reference},
};
use nd_names::{Architecture, ImageName, Sha256};
use nd_oci::{ImageTree, Limits};
use nd_report::{Cancel, Event, Reporter};
use nd_store::Store;

use super::{Candidate, Content, ImageSource, SourceError, write_sif};
use crate::{OpenImage, SourceRecord};

/// The kind of artifact that SIF files in registries are.
const SIF_ARTIFACT: &str = "application/vnd.sylabs.sif.layer.v1.sif";

/// What fetching needs.
#[derive(Clone)]
pub struct FetchContext {
    /// How connections are made.
    pub options: FetchOptions,
    /// Who we are to registries.
    pub registries: RegistryOptions,
    /// Where downloads are kept.
    pub store: Store,
    /// Who is told.
    pub reporter: Arc<dyn Reporter>,
    /// The caller's wish to stop.
    pub cancel: Cancel,
    /// The architecture that images have to have.
    pub architecture: Architecture,
}

impl std::fmt::Debug for FetchContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FetchContext")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// An image that a candidate gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obtained {
    /// Where it is now.
    pub content: Content,
    /// What is recorded of it.
    pub source: SourceRecord,
}

/// The digest that the image has, and who says so.
#[derive(Clone)]
struct Known {
    sha256: Sha256,
    by: String,
    /// Whether an image of another digest is none, wherever it is.
    binds: bool,
}

/// Tries each candidate in order; the first that gives an image wins, with `expected` the first that
/// gives a file of this digest.
///
/// As soon as a digest is known, from the caller, from a registry whose download broke off, or from
/// the checksum of a source, the object stores that are left are mirrors of each other: they are asked
/// for pieces together, and go on with what there is already.
///
/// # Errors
///
/// [`SourceError::None`] with the reason of each, when none does; at once when the disk is full or
/// the caller asks to stop.
pub fn obtain(
    image: &ImageName,
    candidates: &[Candidate],
    expected: Option<Sha256>,
    context: &FetchContext,
) -> Result<Obtained, SourceError> {
    let mut tried = Vec::new();
    let mut known = expected.map(|sha256| Known {
        sha256,
        by: "the digest that was wanted".into(),
        binds: true,
    });
    let mut asked_already = false;
    for (at, candidate) in candidates.iter().enumerate() {
        context.cancel.check()?;
        let is_objects = matches!(candidate.source, ImageSource::Objects { .. });
        if is_objects && asked_already {
            continue;
        }
        let text = candidate.source.to_string();
        let mut name = candidate.name.clone();
        let later = &candidates[at + 1..];
        let got = match &candidate.source {
            ImageSource::Cvmfs(path) => cvmfs(path),
            ImageSource::Objects { urls, checksum } => {
                let mut urls: Vec<&String> = urls.iter().collect();
                if known.is_some() || checksum.is_some() {
                    for other in later {
                        if let ImageSource::Objects { urls: others, .. } = &other.source {
                            urls.extend(others);
                            name = format!("{name}, {}", other.name);
                        }
                    }
                }
                asked_already = known.as_ref().is_some_and(|known| known.binds);
                note(context, &name, image);
                objects(image, &urls, checksum.as_deref(), known.as_ref(), context)
            }
            ImageSource::Referrer {
                reference,
                plain_http,
            } => {
                note(context, &name, image);
                referrer(reference, *plain_http, &mut known, context)
            }
            ImageSource::Registry {
                reference,
                plain_http,
            } => {
                note(context, &name, image);
                registry(image, reference, *plain_http, context)
            }
        };
        match got.and_then(|found| of_digest(found, expected)) {
            Ok(found) => return Ok(found),
            Err(Attempt::Stop(error)) => return Err(error),
            Err(Attempt::Next(why)) => {
                tried.push((format!("{name} ({})", redacted(&text)), why));
            }
        }
    }
    Err(SourceError::None {
        image: image.stem(),
        tried,
    })
}

fn note(context: &FetchContext, name: &str, image: &ImageName) {
    let text = format!("asking `{name}` for {image}");
    context.reporter.event(Event::Note { text: &text });
}

/// Why a candidate gave nothing.
enum Attempt {
    /// The next one may.
    Next(String),
    /// None may.
    Stop(SourceError),
}

impl From<SourceError> for Attempt {
    fn from(error: SourceError) -> Self {
        Self::Stop(error)
    }
}

fn next(error: &(dyn std::error::Error + 'static)) -> Attempt {
    Attempt::Next(nd_report::with_causes(error))
}

/// Another image than the wanted one is none.
fn of_digest(found: Obtained, expected: Option<Sha256>) -> Result<Obtained, Attempt> {
    let has = found.source.sha256.as_deref();
    match expected.map(|wanted| wanted.to_string()) {
        Some(wanted) if has != Some(wanted.as_str()) => Err(Attempt::Next(format!(
            "its digest is {}, and {wanted} is wanted",
            has.unwrap_or("not known")
        ))),
        _ => Ok(found),
    }
}

fn cvmfs(path: &Path) -> Result<Obtained, Attempt> {
    if !path.is_dir() {
        return Err(Attempt::Next("no such folder".into()));
    }
    Ok(Obtained {
        content: Content::Link(path.into()),
        source: SourceRecord {
            from: path.display().to_string(),
            sha256: None,
            bytes: None,
            verified: Some("CVMFS".into()),
        },
    })
}

/// Downloads for one candidate.
struct Downloads<'a> {
    fetcher: Fetcher,
    context: &'a FetchContext,
}

impl<'a> Downloads<'a> {
    fn new(context: &'a FetchContext) -> Self {
        let (store, reporter) = (context.store.clone(), context.reporter.clone());
        Self {
            fetcher: Fetcher::new(context.options.clone(), store, reporter),
            context,
        }
    }

    fn fetch(&self, request: Request) -> Result<Fetched, Attempt> {
        let cancel = &self.context.cancel;
        let mut results = self
            .fetcher
            .fetch_all_blocking(&[request], NonZeroUsize::MIN, cancel)?;
        match results.pop() {
            Some(Ok(fetched)) => Ok(fetched),
            Some(Err(error)) => Err(error.into()),
            None => Err(Attempt::Next("nothing was asked for".into())),
        }
    }
}

fn objects(
    image: &ImageName,
    urls: &[&String],
    checksum: Option<&str>,
    known: Option<&Known>,
    context: &FetchContext,
) -> Result<Obtained, Attempt> {
    let parse = |url: &str| url.parse::<SafeUrl>().map_err(|error| next(&error));
    let downloads = Downloads::new(context);
    // What is known already needs no word of the source.
    let known = match (known, checksum) {
        (Some(known), _) => Some(known.clone()),
        (None, Some(url)) => Some(Known {
            sha256: read_checksum(&downloads, &parse(url)?)?,
            by: "checksum of the source".into(),
            binds: false,
        }),
        (None, None) => None,
    };
    let mut request = Request::new(parse(urls.first().map_or("", |url| url.as_str()))?);
    request.urls = urls
        .iter()
        .map(|url| parse(url))
        .collect::<Result<_, _>>()?;
    request.name = Some(format!("{}.simg", image.stem()));
    request.sha256 = known.as_ref().map(|known| known.sha256);
    request.mirrors = Mirrors::AT_ONCE;
    let fetched = downloads.fetch(request)?;
    // An error page of a server is no image, whatever its length.
    OpenImage::open(&fetched.path).map_err(|error| next(&error))?;
    let from = fetched.url.to_string();
    Ok(obtained(&fetched, &from, known.map(|known| known.by)))
}

fn read_checksum(downloads: &Downloads<'_>, url: &SafeUrl) -> Result<Sha256, Attempt> {
    let mut request = Request::new(url.clone());
    request.max_bytes = Some(64 << 10);
    let fetched = downloads.fetch(request)?;
    let text = fs_err::read_to_string(&fetched.path).unwrap_or_default();
    let word = text.split_whitespace().next().unwrap_or_default();
    word.parse()
        .map_err(|_| Attempt::Next(format!("{url} holds no SHA-256")))
}

fn obtained(fetched: &Fetched, from: &str, verified: Option<String>) -> Obtained {
    Obtained {
        content: Content::File {
            path: fetched.path.clone(),
            sha256: fetched.digest,
            bytes: fetched.bytes,
        },
        source: SourceRecord {
            from: redacted(from),
            sha256: Some(fetched.digest.to_string()),
            bytes: Some(fetched.bytes),
            verified,
        },
    }
}

fn reference_of(text: &str) -> Result<Reference, Attempt> {
    parse_reference(text).map_err(|_| Attempt::Next(format!("`{text}` is no reference")))
}

fn registries(downloads: &Downloads<'_>, reference: &Reference, plain: bool) -> Registries {
    let mut options = downloads.context.registries.clone();
    if plain {
        options.plain_http.push(reference.registry().to_owned());
    }
    Registries::new(downloads.fetcher.clone(), options)
}

fn referrer(
    text: &str,
    plain: bool,
    known: &mut Option<Known>,
    context: &FetchContext,
) -> Result<Obtained, Attempt> {
    let reference = reference_of(text)?;
    let downloads = Downloads::new(context);
    let registries = registries(&downloads, &reference, plain);
    let found = registries.find_referrer_blocking(&reference, SIF_ARTIFACT, &context.cancel)?;
    let Some(found) = found else {
        return Err(Attempt::Next("no SIF file refers to the image".into()));
    };
    let by = || format!("digest of the registry `{}`", reference.registry());
    known.get_or_insert_with(|| Known {
        sha256: found.digest(),
        by: by(),
        binds: true,
    });
    let fetched = registries.fetch_referrer_blocking(&found, &context.cancel)?;
    OpenImage::open(&fetched.path).map_err(|error| next(&error))?;
    Ok(obtained(&fetched, &format!("oras://{text}"), Some(by())))
}

fn registry(
    image: &ImageName,
    text: &str,
    plain: bool,
    context: &FetchContext,
) -> Result<Obtained, Attempt> {
    let reference = reference_of(text)?;
    let downloads = Downloads::new(context);
    let pulled = registries(&downloads, &reference, plain).pull_blocking(
        &reference,
        context.architecture,
        &context.cancel,
    )?;
    let blobs = Arc::new(context.store.clone());
    let mut tree = ImageTree::open(
        &pulled.image,
        blobs,
        Some(&context.store),
        Limits::default(),
    )
    .map_err(SourceError::from)?;
    let path =
        context
            .store
            .temporary()
            .join(format!("{}.{}.sif", image.stem(), std::process::id()));
    let mut needed = 0_u64;
    for layer in pulled.image.manifest.layers() {
        needed = needed.saturating_add(layer.size());
    }
    room(context, needed)?;
    let (sha256, bytes) = write_sif(
        &pulled.image,
        tree.index,
        &mut tree.contents,
        &path,
        &context.cancel,
    )
    .map_err(SourceError::from)?;
    Ok(Obtained {
        content: Content::File {
            path,
            sha256,
            bytes,
        },
        source: SourceRecord {
            from: format!("docker://{text}@{}", pulled.digest.oci()),
            sha256: Some(sha256.to_string()),
            bytes: Some(bytes),
            verified: Some("digests of the registry, converted here".into()),
        },
    })
}

/// Refuses when fewer than `needed` bytes are free beyond those that stay free.
pub(crate) fn room(context: &FetchContext, needed: u64) -> Result<(), SourceError> {
    let path = context.store.root();
    match nd_host::free_bytes(path) {
        Some(free) if needed.saturating_add(context.options.keep_free) > free => {
            Err(SourceError::NoSpace {
                path: path.into(),
                free,
                needed,
            })
        }
        _ => Ok(()),
    }
}

/// An address without user, password and query.
fn redacted(url: &str) -> String {
    url.parse::<SafeUrl>()
        .map_or_else(|_| url.to_owned(), |url| url.to_string())
}

impl From<FetchError> for Attempt {
    /// What is the source's fault lets the next one try; what is ours or the disk's does not.
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NoSource { .. } | FetchError::Offline { .. } | FetchError::NoUrl { .. } => {
                next(&error)
            }
            FetchError::NoSpace {
                path, free, needed, ..
            } => Self::Stop(SourceError::NoSpace { path, free, needed }),
            FetchError::Cancelled(stop) => Self::Stop(stop.into()),
            error => Self::Stop(error.into()),
        }
    }
}

impl From<RegistryError> for Attempt {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Fetch(error) => error.into(),
            RegistryError::Store(error) => FetchError::from(error).into(),
            RegistryError::Cancelled(stop) => Self::Stop(stop.into()),
            error => next(&error),
        }
    }
}
