//! Trying candidates until one gives the image.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use nd_fetch::{
    FetchError, FetchOptions, Fetched, Fetcher, Request, SafeUrl,
    registry::{Reference, Registries, RegistryError, RegistryOptions},
};
use nd_names::{Architecture, ImageName, Sha256};
use nd_oci::{ImageTree, Limits};
use nd_report::{Cancel, Event, Reporter};
use nd_store::Store;

use super::{Candidate, Content, ImageSource, SourceError, space::SpaceGuard, write_sif};
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
    /// Bytes that have to stay free.
    pub keep_free: u64,
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

/// Tries each candidate in order; the first that gives an image wins, with `expected` the first that
/// gives a file of this digest.
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
    for candidate in candidates {
        context.cancel.check()?;
        let text = candidate.source.to_string();
        let note = format!("asking `{}` for {image}", candidate.name);
        context.reporter.event(Event::Note { text: &note });
        match attempt(image, candidate, expected, context)
            .and_then(|found| of_digest(found, expected))
        {
            Ok(found) => return Ok(found),
            Err(Attempt::Stop(error)) => return Err(error),
            Err(Attempt::Next(why)) => {
                tried.push((format!("{} ({})", candidate.name, redacted(&text)), why));
            }
        }
    }
    Err(SourceError::None {
        image: image.stem(),
        tried,
    })
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

fn next(error: &dyn std::error::Error) -> Attempt {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    Attempt::Next(text)
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

fn attempt(
    image: &ImageName,
    candidate: &Candidate,
    expected: Option<Sha256>,
    context: &FetchContext,
) -> Result<Obtained, Attempt> {
    match &candidate.source {
        ImageSource::Cvmfs(path) => cvmfs(path),
        ImageSource::Objects { urls, checksum } => {
            objects(image, urls, checksum.as_deref(), expected, context)
        }
        ImageSource::Referrer {
            reference,
            plain_http,
        } => referrer(reference, *plain_http, context),
        ImageSource::Registry {
            reference,
            plain_http,
        } => registry(image, reference, *plain_http, context),
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

/// A fetcher that stops when there is no room, and what stops it.
struct Guarded {
    fetcher: Fetcher,
    guard: Arc<SpaceGuard>,
    cancel: Cancel,
    path: PathBuf,
}

impl Guarded {
    fn new(context: &FetchContext) -> Self {
        // The caller's wish is heard between candidates and by the watcher of signals; the guard's
        // is of this candidate alone.
        let cancel = context.cancel.clone();
        let path = context.store.root().to_owned();
        let guard = Arc::new(SpaceGuard::new(
            context.reporter.clone(),
            &path,
            context.keep_free,
            cancel.clone(),
        ));
        let fetcher = Fetcher::new(
            context.options.clone(),
            context.store.clone(),
            guard.clone(),
        );
        Self {
            fetcher,
            guard,
            cancel,
            path,
        }
    }

    /// The failure that is really one of room.
    fn failed(&self, error: &dyn std::error::Error) -> Attempt {
        if let Some((free, needed)) = self.guard.short() {
            return Attempt::Stop(SourceError::NoSpace {
                path: self.path.clone(),
                free,
                needed,
            });
        }
        if let Err(stop) = self.cancel.check() {
            return Attempt::Stop(stop.into());
        }
        next(error)
    }

    fn fetch(&self, request: Request) -> Result<Fetched, Attempt> {
        let mut results = self
            .fetcher
            .fetch_all_blocking(&[request], NonZeroUsize::MIN, &self.cancel)
            .map_err(SourceError::from)?;
        match results.pop() {
            Some(Ok(fetched)) => Ok(fetched),
            Some(Err(error)) => Err(self.failed(&error)),
            None => Err(Attempt::Next("nothing was asked for".into())),
        }
    }
}

fn objects(
    image: &ImageName,
    urls: &[String],
    checksum: Option<&str>,
    pinned: Option<Sha256>,
    context: &FetchContext,
) -> Result<Obtained, Attempt> {
    let parse = |url: &str| url.parse::<SafeUrl>().map_err(|error| next(&error));
    let guarded = Guarded::new(context);
    // What the caller pins needs no word of the source.
    let expected = match (pinned, checksum) {
        (Some(pinned), _) => Some(pinned),
        (None, Some(url)) => Some(read_checksum(&guarded, &parse(url)?)?),
        (None, None) => None,
    };
    let mut request = Request::new(parse(urls.first().map_or("", String::as_str))?);
    request.urls = urls
        .iter()
        .map(|url| parse(url))
        .collect::<Result<_, _>>()?;
    request.name = Some(format!("{}.simg", image.stem()));
    request.sha256 = expected;
    let fetched = guarded.fetch(request)?;
    // An error page of a server is no image, whatever its length.
    OpenImage::open(&fetched.path).map_err(|error| next(&error))?;
    Ok(obtained(
        &fetched,
        &fetched.url.to_string(),
        match (pinned, expected) {
            (Some(_), _) => Some("the digest that was wanted".into()),
            (None, Some(_)) => Some("checksum of the source".into()),
            (None, None) => None,
        },
    ))
}

fn read_checksum(guarded: &Guarded, url: &SafeUrl) -> Result<Sha256, Attempt> {
    let mut request = Request::new(url.clone());
    request.max_bytes = Some(64 << 10);
    let fetched = guarded.fetch(request)?;
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
    text.parse()
        .map_err(|_| Attempt::Next(format!("`{text}` is no reference")))
}

fn registries(
    guarded: &Guarded,
    reference: &Reference,
    plain: bool,
    context: &FetchContext,
) -> Registries {
    let mut options = context.registries.clone();
    if plain {
        options.plain_http.push(reference.registry().to_owned());
    }
    Registries::new(guarded.fetcher.clone(), options)
}

fn referrer(text: &str, plain: bool, context: &FetchContext) -> Result<Obtained, Attempt> {
    let reference = reference_of(text)?;
    let guarded = Guarded::new(context);
    let found = registries(&guarded, &reference, plain, context)
        .referrer_blocking(&reference, SIF_ARTIFACT, &guarded.cancel)
        .map_err(|error| guarded.failed(&error))?;
    let Some(fetched) = found else {
        return Err(Attempt::Next("no SIF file refers to the image".into()));
    };
    OpenImage::open(&fetched.path).map_err(|error| next(&error))?;
    Ok(obtained(
        &fetched,
        &format!("oras://{text}"),
        Some("digest of the registry".into()),
    ))
}

fn registry(
    image: &ImageName,
    text: &str,
    plain: bool,
    context: &FetchContext,
) -> Result<Obtained, Attempt> {
    let reference = reference_of(text)?;
    let guarded = Guarded::new(context);
    let pulled = registries(&guarded, &reference, plain, context)
        .pull_blocking(&reference, context.architecture, &guarded.cancel)
        .map_err(|error: RegistryError| guarded.failed(&error))?;
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
        Some(free) if needed.saturating_add(context.keep_free) > free => {
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
    fn from(error: FetchError) -> Self {
        Self::Stop(error.into())
    }
}
