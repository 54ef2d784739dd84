//! The door: what is in the store is given, what is not is downloaded by one at a time.

use std::{
    future::Future,
    io::Read as _,
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nd_names::{Sha256, Sha256Hasher};
use nd_report::{Cancel, Cancelled, Event, Reporter, StepId, StepOutcome, with_causes};
use nd_store::{Partial, Store, StoreError};
use reqwest::Client;
use tokio::time::Instant;

use crate::{
    Cause, FetchError, FetchOptions, Fetched, FileUrls, Freshness, Mirrors, Network, Origin,
    Request, SafeUrl, Tried,
    client::client,
    download::{Given, Job, Means, Mirrored, Stop},
    records::{Download, Validators},
};

/// How often a wish to stop, or a lock that somebody else has, is looked at.
const LOOK: Duration = Duration::from_millis(40);

/// Downloads into a store. Clones share connections.
#[derive(Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

struct Inner {
    options: FetchOptions,
    store: Store,
    reporter: Arc<dyn Reporter>,
    /// Made when the first connection is: certificates take a while to read.
    client: OnceLock<Client>,
    steps: Arc<AtomicU32>,
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("options", &self.inner.options)
            .field("store", &self.inner.store)
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A fetcher that keeps what it downloads in `store` and tells `reporter` how far it is.
    /// Nothing is read or opened yet.
    pub fn new(options: FetchOptions, store: Store, reporter: Arc<dyn Reporter>) -> Self {
        let steps = Arc::new(AtomicU32::new(options.first_step));
        Self::with_steps(options, store, reporter, steps)
    }

    fn with_steps(
        options: FetchOptions,
        store: Store,
        reporter: Arc<dyn Reporter>,
        steps: Arc<AtomicU32>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                options,
                store,
                reporter,
                client: OnceLock::new(),
                steps,
            }),
        }
    }

    /// The settings.
    pub fn options(&self) -> &FetchOptions {
        &self.inner.options
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Brings what `request` names into the store. Many may ask for the same at once, in this
    /// process and in others: one downloads, the others wait for it.
    ///
    /// Needs a tokio runtime with time and I/O. After an error nothing stands under a final name;
    /// bytes that are good for another attempt are kept as a partial of the store.
    pub async fn fetch(&self, request: &Request, cancel: &Cancel) -> Result<Fetched, FetchError> {
        until_cancelled(self.fetch_now(request, cancel), cancel).await
    }

    /// Fetches all of `requests`, at most `parallelism` at a time, on a runtime of its own, and
    /// gives one result for each, in their order. For callers that are not asynchronous; never to
    /// be called from within a runtime.
    ///
    /// # Errors
    ///
    /// Only when the runtime cannot be started.
    pub fn fetch_all_blocking(
        &self,
        requests: &[Request],
        parallelism: NonZeroUsize,
        cancel: &Cancel,
    ) -> Result<Vec<Result<Fetched, FetchError>>, FetchError> {
        let alone = self.with_own_connections();
        blocking(alone.fetch_all(requests, parallelism, cancel))
    }

    /// The same with connections of its own: they live and die with the runtime that opens them.
    pub(crate) fn with_own_connections(&self) -> Self {
        let inner = &self.inner;
        Self::with_steps(
            inner.options.clone(),
            inner.store.clone(),
            inner.reporter.clone(),
            inner.steps.clone(),
        )
    }

    /// Who is told, and the identity of a new unit of work.
    pub(crate) fn new_step(&self) -> (Arc<dyn Reporter>, StepId) {
        let id = StepId(self.inner.steps.fetch_add(1, Ordering::Relaxed));
        (self.inner.reporter.clone(), id)
    }

    pub(crate) fn say(&self, text: &str) {
        self.inner.reporter.event(Event::Note { text });
    }

    /// Fetches all of `requests`, at most `parallelism` at a time; one result for each, in their
    /// order.
    pub async fn fetch_all(
        &self,
        requests: &[Request],
        parallelism: NonZeroUsize,
        cancel: &Cancel,
    ) -> Vec<Result<Fetched, FetchError>> {
        let turns = Arc::new(tokio::sync::Semaphore::new(parallelism.get()));
        // Dropping the set, when the caller drops this future, ends what runs.
        let mut running = tokio::task::JoinSet::new();
        for (n, request) in requests.iter().enumerate() {
            let (fetcher, turns) = (self.clone(), turns.clone());
            let (request, cancel) = (request.clone(), cancel.clone());
            running.spawn(async move {
                let _turn = turns.acquire().await;
                (n, fetcher.fetch(&request, &cancel).await)
            });
        }
        let mut results: Vec<_> = requests.iter().map(|_| Err(Cancelled.into())).collect();
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok((n, result)) => results[n] = result,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        results
    }

    async fn fetch_now(&self, request: &Request, cancel: &Cancel) -> Result<Fetched, FetchError> {
        cancel.check()?;
        let inner = &*self.inner;
        let name = || request.title().to_owned();
        let Some(first) = request.urls.first() else {
            return Err(FetchError::NoUrl { name: name() });
        };
        let off = inner.options.network == Network::Off;
        if let Some(digest) = &request.sha256 {
            if let Some(found) = self.by_digest(request, digest)? {
                return Ok(found);
            }
        } else if off || request.freshness == Freshness::Any {
            for url in &request.urls {
                if let Some(known) = Download::read(&inner.store, url)? {
                    return Ok(self.known(&known, url, Origin::Cache));
                }
            }
        }
        // Files of this machine are there without a network.
        let usable = request.urls.iter().filter(|url| !off || url.is_file());
        let urls: Vec<SafeUrl> = usable.cloned().collect();
        if urls.is_empty() {
            return Err(FetchError::Offline {
                name: name(),
                url: first.clone(),
            });
        }
        let id = StepId(inner.steps.fetch_add(1, Ordering::Relaxed));
        let started = Instant::now();
        inner.reporter.event(Event::Started {
            id,
            title: request.title(),
            bytes: request.size,
        });
        let result = self.download(request, &urls, cancel, id).await;
        let outcome = match &result {
            Ok(fetched) if fetched.from_cache() => StepOutcome::Cached,
            Ok(_) => StepOutcome::Done,
            Err(_) => StepOutcome::Failed,
        };
        inner.reporter.event(Event::Finished {
            id,
            outcome,
            took: started.elapsed(),
        });
        result
    }

    async fn download(
        &self,
        request: &Request,
        urls: &[SafeUrl],
        cancel: &Cancel,
        step: StepId,
    ) -> Result<Fetched, FetchError> {
        let inner = &*self.inner;
        let mut tried = Vec::new();
        // With a digest all sources give the same bytes and share one partial.
        let groups: Vec<(Sha256, &[SafeUrl])> = match &request.sha256 {
            Some(digest) => vec![(partial_key(digest), urls)],
            None => urls
                .iter()
                .map(|url| (partial_key(&url.key()), std::slice::from_ref(url)))
                .collect(),
        };
        for (key, urls) in groups {
            if request.sha256.is_none() && urls[0].is_file() {
                match self.copy_file(request, &urls[0])? {
                    Ok(fetched) => return Ok(fetched),
                    Err(cause) => tried.push(once(&urls[0], cause)),
                }
                continue;
            }
            let before = Download::read(&inner.store, &urls[0])?;
            let partial = self.take(&key, request).await?;
            // Somebody else may have been asked the same while we waited.
            if let Some(digest) = &request.sha256 {
                if let Some(mut found) = self.by_digest(request, digest)? {
                    partial.discard()?;
                    found.origin = Origin::Network;
                    return Ok(found);
                }
            } else {
                let now = Download::read(&inner.store, &urls[0])?;
                if let Some(now) = now.filter(|now| Some(now) != before.as_ref()) {
                    partial.discard()?;
                    return Ok(self.known(&now, &urls[0], Origin::Network));
                }
            }
            let known = before.filter(|known| {
                request.sha256.is_none()
                    && request.freshness == Freshness::Revalidate
                    && !known.validators.is_empty()
            });
            let means = Means {
                client: self.client()?,
                options: &inner.options,
                store: &inner.store,
                reporter: &*inner.reporter,
                cancel,
                request,
                step,
            };
            let mut job = Job::new(means, key, partial)?;
            let remote: Vec<&SafeUrl> = urls.iter().filter(|url| !url.is_file()).collect();
            let together = match (request.mirrors, &request.sha256) {
                (Mirrors::AtOnce { piece }, Some(_)) => Some(u64::from(piece.get())),
                _ => None,
            };
            // What fits into one piece is not worth asking several.
            let together = together
                .filter(|piece| remote.len() > 1 && request.size.is_none_or(|size| size > *piece));
            let first = tried.len();
            if let Some(piece) = together {
                match job.mirrors(&remote, piece).await? {
                    Mirrored::Whole(url) => {
                        return self.finish(job, &url, Validators::default()).await;
                    }
                    Mirrored::Left(left) => tried.extend(left),
                }
            }
            for url in urls {
                if tried[first..].iter().any(|tried| tried.url == *url) {
                    continue;
                }
                if url.is_file() {
                    match self.copy_file(request, url)? {
                        Ok(fetched) => return Ok(fetched),
                        Err(cause) => tried.push(once(url, cause)),
                    }
                    continue;
                }
                match job.source(url, known.as_ref()).await {
                    Ok(Given::Whole(validators)) => {
                        return self.finish(job, url, validators).await;
                    }
                    Ok(Given::NotModified) => {
                        let Some(known) = &known else { continue };
                        self.note(url, known.digest, known.bytes, known.validators.clone())?;
                        job.leave()?;
                        return Ok(self.known(known, url, Origin::Revalidated));
                    }
                    Err((attempts, Stop::Cause(cause))) => tried.push(Tried {
                        url: url.clone(),
                        attempts,
                        cause,
                    }),
                    Err((_, Stop::Error(error))) => return Err(error),
                }
            }
            job.leave()?;
        }
        self.stale(request, tried)
    }

    /// What was downloaded gets its name.
    async fn finish(
        &self,
        job: Job<'_>,
        url: &SafeUrl,
        validators: Validators,
    ) -> Result<Fetched, FetchError> {
        let finished = job.finish().await?;
        let (digest, bytes) = (finished.digest, finished.bytes);
        self.note(url, digest, bytes, validators.clone())?;
        drop(finished.lock);
        Ok(Fetched {
            path: finished.path,
            digest,
            bytes,
            origin: Origin::Network,
            url: url.clone(),
            etag: validators.etag,
            last_modified: validators.last_modified,
        })
    }

    /// What an earlier download is good for when nobody answers.
    fn stale(&self, request: &Request, tried: Vec<Tried>) -> Result<Fetched, FetchError> {
        if request.sha256.is_none() && request.freshness != Freshness::Refetch {
            for url in &request.urls {
                let Some(known) = Download::read(&self.inner.store, url)? else {
                    continue;
                };
                let why = tried.iter().find(|tried| tried.url == *url);
                let why = why.map_or_else(String::new, |tried| {
                    format!(": {}", with_causes(&tried.cause))
                });
                let text = format!(
                    "`{}`: the earlier download from {url} is used without knowing whether it has changed{why}",
                    request.title(),
                );
                self.inner.reporter.event(Event::Note { text: &text });
                return Ok(self.known(&known, url, Origin::Stale));
            }
        }
        Err(FetchError::NoSource {
            name: request.title().to_owned(),
            tried,
        })
    }

    /// Waits until nobody else works on the partial.
    async fn take(&self, key: &Sha256, request: &Request) -> Result<Partial, FetchError> {
        let mut waiting = false;
        loop {
            if let Some(partial) = self.inner.store.try_partial(key)? {
                return Ok(partial);
            }
            if !waiting {
                waiting = true;
                let text = format!("`{}` is being downloaded already; waiting", request.title());
                self.inner.reporter.event(Event::Note { text: &text });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn by_digest(&self, request: &Request, digest: &Sha256) -> Result<Option<Fetched>, FetchError> {
        // Opened, not only looked at: that marks it as used.
        let Some(file) = self.inner.store.blob(digest)? else {
            return Ok(None);
        };
        let path = self.inner.store.blob_path(digest);
        let bytes = file.metadata().map_err(FetchError::io(&path))?.len();
        // Another size can only be a torn file; one that must not be used.
        if request.size.is_some_and(|size| size != bytes) {
            return Ok(None);
        }
        Ok(Some(Fetched {
            path,
            digest: *digest,
            bytes,
            origin: Origin::Cache,
            url: request.urls[0].clone(),
            etag: None,
            last_modified: None,
        }))
    }

    fn known(&self, known: &Download, url: &SafeUrl, origin: Origin) -> Fetched {
        // Marks it as used.
        drop(self.inner.store.blob(&known.digest));
        Fetched {
            path: self.inner.store.blob_path(&known.digest),
            digest: known.digest,
            bytes: known.bytes,
            origin,
            url: url.clone(),
            etag: known.validators.etag.clone(),
            last_modified: known.validators.last_modified.clone(),
        }
    }

    fn note(
        &self,
        url: &SafeUrl,
        digest: Sha256,
        bytes: u64,
        validators: Validators,
    ) -> Result<(), FetchError> {
        static WRITTEN: AtomicU32 = AtomicU32::new(0);
        let count = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let record = Download {
            digest,
            bytes,
            validators,
            written_by: format!("{}-{count}", std::process::id()),
        };
        Ok(record.write(&self.inner.store, url)?)
    }

    /// A file of this machine into the store: the inner error is the source's, the outer ours.
    fn copy_file(
        &self,
        request: &Request,
        url: &SafeUrl,
    ) -> Result<Result<Fetched, Cause>, FetchError> {
        if self.inner.options.file_urls == FileUrls::Refuse {
            return Ok(Err(Cause::FileUrl));
        }
        let Ok(path) = url.url().to_file_path() else {
            return Ok(Err(Cause::FileUrl));
        };
        // Looked at before it is opened: a pipe would wait, a device might never end.
        let found = match fs_err::metadata(&path) {
            Ok(meta) if meta.is_file() => meta.len(),
            Ok(_) => return Ok(Err(Cause::FileUrl)),
            Err(error) => return Ok(Err(Cause::File(error))),
        };
        let file = match fs_err::File::open(&path) {
            Ok(file) => file,
            Err(error) => return Ok(Err(Cause::File(error))),
        };
        let limit = self.inner.options.max_bytes;
        let limit = request.max_bytes.map_or(limit, |max| max.min(limit));
        match request.size {
            Some(expected) if expected != found => {
                return Ok(Err(Cause::Size { expected, found }));
            }
            _ if found > limit => return Ok(Err(Cause::TooLarge { limit })),
            _ => {}
        }
        match self
            .inner
            .store
            .put_blob(file.take(found), request.sha256.as_ref())
        {
            Ok((digest, bytes)) => Ok(Ok(Fetched {
                path: self.inner.store.blob_path(&digest),
                digest,
                bytes,
                origin: Origin::Network,
                url: url.clone(),
                etag: None,
                last_modified: None,
            })),
            Err(StoreError::Digest { expected, found }) => {
                Ok(Err(Cause::Digest { expected, found }))
            }
            Err(StoreError::Input(error)) => Ok(Err(Cause::File(error))),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.inner.client.get() {
            return Ok(client);
        }
        let made = client(&self.inner.options)?;
        Ok(self.inner.client.get_or_init(|| made))
    }
}

fn once(url: &SafeUrl, cause: Cause) -> Tried {
    Tried {
        url: url.clone(),
        attempts: 1,
        cause,
    }
}

/// The key of a partial and of its lock; keys of other things in the store are no digests of this.
fn partial_key(of: &Sha256) -> Sha256 {
    let mut hasher = Sha256Hasher::default();
    hasher.update(b"nd-fetch partial\0");
    hasher.update(of.as_bytes());
    hasher.finish()
}

/// Runs `work` until it ends or the caller wishes to stop; the bytes that came are in the partial.
pub(crate) async fn until_cancelled<T, E: From<Cancelled>>(
    work: impl Future<Output = Result<T, E>>,
    cancel: &Cancel,
) -> Result<T, E> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(LOOK, &mut work).await {
            Ok(result) => return result,
            Err(_) => cancel.check()?,
        }
    }
}

/// Runs `work` on a runtime of its own in this thread.
pub(crate) fn blocking<T>(work: impl Future<Output = T>) -> Result<T, FetchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(FetchError::Runtime)?;
    Ok(runtime.block_on(work))
}
