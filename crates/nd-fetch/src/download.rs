//! Filling a partial from a source: parts, validators, lengths, digests.

mod mirrors;

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use nd_names::Sha256;
use nd_report::{Cancel, Cancelled, Event, Reporter, StepId, with_causes};
use nd_store::{KeyLock, Partial, Store};
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        IF_RANGE, RANGE,
    },
};
use tokio::time::{Instant, timeout};

pub(crate) use self::mirrors::Mirrored;
use crate::{
    Cause, FetchError, FetchOptions, Request, SafeUrl,
    error::TransportError,
    http::{self, Answer},
    kept::{Kept, Writing},
    records::{Download, PartialNote, Validators, boot},
    retry,
};

/// Progress is told at most this often.
const PROGRESS: Duration = Duration::from_millis(100);
/// Bytes may come slowly, but not a drop at a time: less than [`FORWARD`] in this many idle limits is
/// a stall.
const CRAWL: u32 = 4;
/// An attempt that brought this much counts as progress.
const FORWARD: u64 = 64 << 10;

/// What a download needs and does not own.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) client: &'a Client,
    pub(crate) options: &'a FetchOptions,
    pub(crate) store: &'a Store,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) cancel: &'a Cancel,
    pub(crate) request: &'a Request,
    pub(crate) step: StepId,
}

/// A partial on its way to become a blob.
pub(crate) struct Job<'a> {
    means: Means<'a>,
    key: Sha256,
    kept: Kept,
    /// Bytes that came, those included that are being written.
    have: u64,
    note: Option<PartialNote>,
    boot: String,
    /// Whether bytes of an earlier run or of another source are among those it has.
    mixed: bool,
    /// Whether such bytes were just thrown away because the whole was wrong.
    suspect: bool,
}

/// What a source gave.
pub(crate) enum Given {
    /// All bytes are in the partial.
    Whole(Validators),
    /// The server says that what we have is still right.
    NotModified,
}

/// A partial that became a blob.
pub(crate) struct Finished {
    pub(crate) path: PathBuf,
    pub(crate) digest: Sha256,
    pub(crate) bytes: u64,
    pub(crate) lock: KeyLock,
}

/// Why an attempt ended: the source's fault, which another attempt or source may mend, or ours.
pub(crate) enum Stop {
    Cause(Cause),
    Error(FetchError),
}

impl From<Cause> for Stop {
    fn from(cause: Cause) -> Self {
        Self::Cause(cause)
    }
}

impl<E: Into<FetchError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl<'a> Job<'a> {
    /// Takes up a partial: what is in it is hashed if it can be of use.
    pub(crate) fn new(means: Means<'a>, key: Sha256, partial: Partial) -> Result<Self, FetchError> {
        let mut job = Self {
            means,
            key,
            kept: Kept::new(partial),
            have: 0,
            note: PartialNote::read(means.store, &key)?,
            boot: boot(),
            mixed: false,
            suspect: false,
        };
        let bytes = job.kept.on_disk()?;
        if bytes == 0 {
            return Ok(job);
        }
        let limit = job.limit();
        let trusted = job.note.as_ref().is_some_and(|note| {
            job.means.request.sha256.is_some() || (note.boot == job.boot && !note.boot.is_empty())
        });
        if trusted && bytes <= limit {
            job.kept.take_up(job.means.cancel)?;
            job.have = job.kept.bytes();
            job.mixed = true;
        } else {
            job.restart()?;
        }
        Ok(job)
    }

    /// Asks one source until it has given all, or is given up.
    pub(crate) async fn source(
        &mut self,
        url: &SafeUrl,
        known: Option<&Download>,
    ) -> Result<Given, (u32, Stop)> {
        let retries = self.means.options.retries;
        // Where an earlier download can be used instead, patience would only be in the way.
        let patience = if known.is_some() {
            1
        } else {
            retries.attempts.max(1)
        };
        let (mut asked, mut failures) = (0u32, 0u32);
        loop {
            let before = self.have;
            asked += 1;
            let cause = match self.attempt(url, known).await {
                Ok(given) => return Ok(given),
                Err(Stop::Error(error)) => return Err((asked, Stop::Error(error))),
                Err(Stop::Cause(cause)) => cause,
            };
            if std::mem::take(&mut self.suspect) {
                // What came earlier may have been wrong rather than this source.
                continue;
            }
            if self.have >= before + FORWARD {
                failures = 0;
            }
            failures += 1;
            let enough = failures >= patience || asked >= patience.saturating_mul(10);
            let wait = retry::wait(&retries, failures, &cause);
            let Some(wait) = wait.filter(|_| !enough && retry::may_pass(&cause)) else {
                return Err((asked, cause.into()));
            };
            let text = format!(
                "`{}`: {}; asking {} again in {} s",
                self.means.request.title(),
                with_causes(&cause),
                url,
                wait.as_secs_f32()
            );
            self.means.reporter.event(Event::Note { text: &text });
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&mut self, url: &SafeUrl, known: Option<&Download>) -> Result<Given, Stop> {
        if let (Some(expected), true) = (self.means.request.sha256, self.have > 0) {
            // A process may have died between the last byte and the name.
            if self.kept.digest() == expected {
                return Ok(Given::Whole(Validators::default()));
            }
        }
        if self.have > 0 && !self.can_go_on(url) {
            self.restart()?;
        }
        let headers = self.headers(url, known);
        let request = self.means.request;
        let answer = http::send(
            self.means.client,
            self.means.options,
            &Method::GET,
            url,
            &headers,
            request.credential.as_ref(),
        )
        .await?;
        let status = answer.response.status();
        let total = match status {
            StatusCode::OK => {
                if self.have > 0 {
                    // The server knows no parts, or has something newer.
                    self.restart()?;
                }
                answer.response.content_length()
            }
            StatusCode::PARTIAL_CONTENT if headers.contains_key(RANGE) => {
                let Some(total) = self.part(url, &answer) else {
                    self.restart()?;
                    return Err(Cause::Range.into());
                };
                Some(total)
            }
            StatusCode::RANGE_NOT_SATISFIABLE if headers.contains_key(RANGE) => {
                self.restart()?;
                return Err(Cause::Range.into());
            }
            StatusCode::NOT_MODIFIED if known.is_some() && !headers.contains_key(RANGE) => {
                return Ok(Given::NotModified);
            }
            _ => return Err(answer.status_cause().into()),
        };
        self.check_total(total)?;
        self.make_room(total)?;
        let validators = self.write_note(url, &answer, total)?;
        self.body(answer, total).await?;
        if let Err(cause) = self.check_whole(total) {
            // Fewer bytes than there should be are a beginning.
            if !matches!(cause, Cause::Cut { .. }) {
                self.suspect = self.mixed;
                self.restart()?;
            }
            return Err(cause.into());
        }
        Ok(Given::Whole(validators))
    }

    /// Whether the rest of what is there can be asked for at `url`.
    fn can_go_on(&self, url: &SafeUrl) -> bool {
        let Some(note) = &self.note else {
            return false;
        };
        self.means.request.sha256.is_some()
            || (note.url == url.key() && note.validators.for_range().is_some())
    }

    fn headers(&self, url: &SafeUrl, known: Option<&Download>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // The bytes as they are: they are counted, and their digest is that of the file.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut put = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        if self.have > 0 {
            put(RANGE, &format!("bytes={}-", self.have));
            let same = self.note.as_ref().filter(|note| note.url == url.key());
            if let Some(validator) = same.and_then(|note| note.validators.for_range()) {
                put(IF_RANGE, validator);
            }
        } else if let Some(known) = known {
            if let Some(etag) = &known.validators.etag {
                put(IF_NONE_MATCH, etag);
            }
            if let Some(date) = &known.validators.last_modified {
                put(IF_MODIFIED_SINCE, date);
            }
        }
        headers
    }

    /// The size of the whole that a part belongs to; `None` if it is not the part that is missing.
    fn part(&self, url: &SafeUrl, answer: &Answer) -> Option<u64> {
        let headers = answer.response.headers();
        let (start, end, total) = content_range(headers.get(CONTENT_RANGE)?.to_str().ok()?)?;
        let length = answer.response.content_length();
        let fits = start == self.have
            && end + 1 == total
            && length.is_none_or(|length| length == total - start);
        let note = self.note.as_ref()?;
        let same = note.total.is_none_or(|noted| noted == total);
        let ours = note.url != url.key() || note.validators.agree(&Validators::of(headers));
        (fits && same && ours).then_some(total)
    }

    fn limit(&self) -> u64 {
        let ours = self.means.options.max_bytes;
        self.means
            .request
            .max_bytes
            .map_or(ours, |max| max.min(ours))
    }

    fn check_total(&self, total: Option<u64>) -> Result<(), Cause> {
        let Some(total) = total else {
            return Ok(());
        };
        match self.means.request.size {
            Some(expected) if expected != total => Err(Cause::Size {
                expected,
                found: total,
            }),
            _ if total > self.limit() => Err(Cause::TooLarge {
                limit: self.limit(),
            }),
            _ => Ok(()),
        }
    }

    /// Sets the room aside that the rest needs, or says that it is not there.
    fn make_room(&mut self, total: Option<u64>) -> Result<(), FetchError> {
        let Some(total) = total else {
            return Ok(());
        };
        let needed = total.saturating_sub(self.have);
        let folder = self.means.store.root();
        if let Some(free) = nd_host::free_bytes(folder) {
            let free = free.saturating_sub(self.means.options.keep_free);
            if needed > free {
                return Err(FetchError::NoSpace {
                    name: self.means.request.title().to_owned(),
                    path: folder.to_owned(),
                    free,
                    needed,
                });
            }
        }
        // A quota is known to the file system alone.
        self.kept.reserve(total)
    }

    fn write_note(
        &mut self,
        url: &SafeUrl,
        answer: &Answer,
        total: Option<u64>,
    ) -> Result<Validators, FetchError> {
        let mut validators = Validators::of(answer.response.headers());
        if self.have > 0
            && let Some(note) = self.note.as_ref().filter(|note| note.url == url.key())
        {
            // A part need not repeat what the whole came with.
            validators.etag = validators.etag.or_else(|| note.validators.etag.clone());
            let date = || note.validators.last_modified.clone();
            validators.last_modified = validators.last_modified.or_else(date);
        }
        let note = PartialNote {
            url: url.key(),
            validators: validators.clone(),
            total,
            boot: self.boot.clone(),
        };
        if self.note.as_ref().is_some_and(|old| old.url != note.url) && self.have > 0 {
            self.mixed = true;
        }
        note.write(self.means.store, &self.key)?;
        self.note = Some(note);
        Ok(validators)
    }

    async fn body(&mut self, answer: Answer, total: Option<u64>) -> Result<(), Stop> {
        let writing = self.kept.write();
        let ended = self.receive(answer.response, total, &writing).await;
        // Our own failure comes before that of the source.
        let written = writing.finish().await;
        self.have = self.kept.bytes();
        written?;
        if let Err(Cause::Size { .. } | Cause::TooLarge { .. }) = ended {
            self.suspect = self.mixed;
            self.restart()?;
        }
        Ok(ended?)
    }

    /// Hands over what comes.
    async fn receive(
        &mut self,
        mut response: Response,
        total: Option<u64>,
        writing: &Writing,
    ) -> Result<(), Cause> {
        let expected = self.means.request.size;
        let limit = expected.unwrap_or(u64::MAX).min(self.limit());
        let mut told = Instant::now();
        let mut patience = Patience::new(self.means.options);
        loop {
            let chunk = match patience.chunk(&mut response, self.have).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(Cause::Cut { source, .. }) => return Err(self.cut(total, source)),
                Err(cause) => return Err(cause),
            };
            let found = self.have + chunk.len() as u64;
            if found > limit {
                return Err(match expected {
                    Some(expected) if expected == limit => Cause::Size { expected, found },
                    _ => Cause::TooLarge { limit },
                });
            }
            if !writing.put(chunk).await {
                return Ok(());
            }
            self.have = found;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                self.tell();
            }
        }
        self.tell();
        match total {
            Some(total) if total != self.have => Err(self.cut(Some(total), None)),
            _ => Ok(()),
        }
    }

    fn cut(&self, expected: Option<u64>, source: Option<TransportError>) -> Cause {
        Cause::Cut {
            got: self.have,
            expected,
            source,
        }
    }

    fn tell(&self) {
        self.means.reporter.event(Event::Advanced {
            id: self.means.step,
            bytes: self.have,
        });
    }

    fn check_whole(&self, total: Option<u64>) -> Result<(), Cause> {
        let request = self.means.request;
        if let Some(expected) = request.size.filter(|expected| *expected != self.have) {
            // Without an announced length, fewer bytes look like a connection that was cut.
            return Err(match total {
                None if self.have < expected => self.cut(Some(expected), None),
                _ => Cause::Size {
                    expected,
                    found: self.have,
                },
            });
        }
        match request.sha256 {
            Some(expected) if self.kept.digest() != expected => Err(Cause::Digest {
                expected,
                found: self.kept.digest(),
            }),
            _ => Ok(()),
        }
    }

    /// Makes the partial the blob of its digest. Whoever waits for it waits until the lock is
    /// dropped.
    pub(crate) async fn finish(self) -> Result<Finished, FetchError> {
        let kept = self.kept;
        // Waits for the medium; other downloads go on meanwhile.
        let named = tokio::task::spawn_blocking(move || kept.into_blob());
        let (path, digest, bytes, lock) = match named.await {
            Ok(named) => named?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return Err(Cancelled.into()),
        };
        PartialNote::remove(self.means.store, &self.key)?;
        Ok(Finished {
            path,
            digest,
            bytes,
            lock,
        })
    }

    /// Leaves a partial that the next run can go on with, or nothing.
    pub(crate) fn leave(self) -> Result<(), FetchError> {
        // Room that was set aside is given back.
        self.kept.trim();
        if self.have == 0 {
            self.kept.discard()?;
            PartialNote::remove(self.means.store, &self.key)?;
        }
        Ok(())
    }

    /// Throws away what is there.
    fn restart(&mut self) -> Result<(), FetchError> {
        // The note first: bytes without one are worth nothing.
        PartialNote::remove(self.means.store, &self.key)?;
        self.note = None;
        self.kept.clear()?;
        self.have = 0;
        self.mixed = false;
        Ok(())
    }
}

/// How a body is waited for: no faster than the rate, slowly perhaps, but not a drop at a time.
struct Patience<'a> {
    options: &'a FetchOptions,
    since: Instant,
    had: Option<u64>,
}

impl<'a> Patience<'a> {
    fn new(options: &'a FetchOptions) -> Self {
        Self {
            options,
            since: Instant::now(),
            had: None,
        }
    }

    /// The next bytes behind the `have` that are there; `None` at the end. What breaks is a
    /// [`Cause::Cut`] of unknown length.
    async fn chunk(&mut self, response: &mut Response, have: u64) -> Result<Option<Bytes>, Cause> {
        let idle = self.options.timeouts.idle;
        let limit = idle * CRAWL;
        let had = *self.had.get_or_insert(have);
        if self.since.elapsed() > limit {
            if have - had < FORWARD {
                let what = "hardly any bytes";
                return Err(Cause::Timeout { what, limit });
            }
            (self.since, self.had) = (Instant::now(), Some(have));
        }
        match timeout(idle, response.chunk()).await {
            Ok(Ok(chunk)) => {
                let came = chunk.as_ref().map_or(0, Bytes::len);
                let pause = self.options.rate.pause(came, Instant::now());
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                    // Slowness of our own is none of the source's.
                    self.since += pause;
                }
                Ok(chunk)
            }
            Ok(Err(error)) => Err(Cause::Cut {
                got: have,
                expected: None,
                source: Some(TransportError::new(error)),
            }),
            Err(_) => Err(Cause::Timeout {
                what: "no further bytes",
                limit: idle,
            }),
        }
    }
}

/// Start, end (both within) and whole size of `Content-Range: bytes START-END/SIZE`.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let parsed = (
        start.trim().parse().ok()?,
        end.trim().parse().ok()?,
        total.trim().parse().ok()?,
    );
    (parsed.0 <= parsed.1 && parsed.1 < parsed.2).then_some(parsed)
}

#[cfg(test)]
mod tests {
    //! Parts, as servers announce them.

    use super::content_range;

    #[test]
    fn only_whole_and_possible_ranges_are_understood() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, 10)));
        for bad in [
            "bytes 5-9/*",
            "bytes */10",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "items 5-9/10",
            "bytes 5-18446744073709551615/18446744073709551615",
            "bytes -5-9/10",
            "",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
