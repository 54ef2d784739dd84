//! Several mirrors at once: pieces come in any order and are put down in theirs.
//!
//! The partial stays a beginning of the whole, so that whoever goes on with it need know nothing of
//! pieces. What is ahead of it is kept in memory, and that is never much: a mirror that is free and may
//! not go further ahead asks for the first piece that others are at as well, and the answer that is
//! there first counts. So no mirror is waited for that stalls or crawls while another one does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use nd_report::Event;
use reqwest::{
    Client, Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE},
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, timeout},
};

use super::{FORWARD, Job, Patience, content_range};
use crate::{
    Cause, Credential, FetchError, FetchOptions, SafeUrl, Tried, http,
    records::{PartialNote, Validators},
    retry,
};

/// What each mirror is asked for first, by which it is known to have the same bytes.
const PROBE: u64 = 256 << 10;
/// More mirrors bring no more.
const MOST: usize = 4;
/// Pieces that a mirror is asked for at a time: while one comes, the question for the next travels.
const CONNECTIONS: usize = 2;
/// Pieces that may be ahead of the first one that is missing.
const WINDOW: u64 = 12;
/// How often it is looked whether a free mirror should help.
const LOOK: Duration = Duration::from_millis(40);
/// A piece that has been on its way for less is not helped with.
const HASTE: Duration = Duration::from_millis(150);

/// What asking all mirrors at once came to.
pub(crate) enum Mirrored {
    /// All bytes are in the partial, the most of them from this source.
    Whole(SafeUrl),
    /// They are not; these sources need not be asked again.
    Left(Vec<Tried>),
}

struct Mirror<'a> {
    url: &'a SafeUrl,
    asked: u32,
    /// Failures in a row.
    failures: u32,
    /// Pieces in a row that another one was quicker with.
    lost: u32,
    /// Not to be asked before.
    after: Instant,
    /// Whether its first bytes are those of the others.
    joined: bool,
    running: BTreeSet<u64>,
    /// How long its last piece took.
    took: Duration,
    gave: u64,
    left: Option<Cause>,
}

impl Mirror<'_> {
    fn is_free(&self, now: Instant) -> bool {
        let most = if self.joined { CONNECTIONS } else { 1 };
        self.left.is_none() && self.running.len() < most && self.after <= now
    }
}

/// A piece that somebody is asked for.
struct Flight {
    end: u64,
    since: Instant,
    by: Vec<(usize, u64, AbortHandle)>,
}

/// What a task came to.
struct Ended {
    mirror: usize,
    number: u64,
    start: u64,
    took: Duration,
    result: Result<Piece, Cause>,
}

struct Piece {
    /// A beginning of what was asked for.
    bytes: Bytes,
    total: u64,
}

struct Crew<'a> {
    mirrors: Vec<Mirror<'a>>,
    running: JoinSet<Ended>,
    flights: BTreeMap<u64, Flight>,
    /// Pieces that came and wait for those before them.
    ready: BTreeMap<u64, Bytes>,
    /// Pieces that were given back.
    back: BTreeMap<u64, u64>,
    /// Where nobody has been asked yet.
    next: u64,
    /// Where the first piece starts, and what stands there.
    origin: u64,
    first: Bytes,
    total: Option<u64>,
    piece: u64,
    count: u64,
    question: Question,
}

/// What all questions have in common.
#[derive(Clone)]
struct Question {
    client: Client,
    options: Arc<FetchOptions>,
    credential: Option<Credential>,
}

impl Job<'_> {
    /// Fills the partial from all of `urls` together.
    pub(crate) async fn mirrors(
        &mut self,
        urls: &[&SafeUrl],
        piece: u64,
    ) -> Result<Mirrored, FetchError> {
        let request = self.means.request;
        if request.sha256 == Some(self.kept.digest()) {
            // A process died between the last byte and the name.
            return Ok(Mirrored::Whole(urls[0].clone()));
        }
        let writing = self.kept.write();
        let mut crew = Crew::new(self, urls, piece);
        'all: while crew.total != Some(self.have) {
            let now = Instant::now();
            crew.hand_out(self.have, now);
            if crew.running.is_empty() && crew.mirrors.iter().all(|mirror| mirror.left.is_some()) {
                break;
            }
            // A mirror may be waiting for its next turn, and nothing run.
            let ended = match timeout(LOOK, crew.running.join_next()).await {
                Ok(Some(Ok(ended))) => ended,
                Ok(Some(Err(error))) if error.is_panic() => {
                    std::panic::resume_unwind(error.into_panic())
                }
                Ok(None) => {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                // Nothing came, or somebody else was quicker.
                Ok(Some(Err(_))) | Err(_) => continue,
            };
            self.take(&mut crew, ended)?;
            while let Some(bytes) = crew.ready.remove(&self.have) {
                let length = bytes.len() as u64;
                if !writing.put(bytes).await {
                    break 'all;
                }
                self.mixed = true;
                self.have += length;
                self.tell();
            }
        }
        let written = writing.finish().await;
        self.have = self.kept.bytes();
        written?;
        self.mirrored(crew)
    }

    fn mirrored(&mut self, crew: Crew<'_>) -> Result<Mirrored, FetchError> {
        let most = crew.mirrors.iter().max_by_key(|mirror| mirror.gave);
        if let (Some(total), Some(most)) = (crew.total, most)
            && self.have == total
        {
            match self.check_whole(Some(total)) {
                Ok(()) => return Ok(Mirrored::Whole(most.url.clone())),
                Err(cause) => {
                    let text = format!(
                        "`{}`: pieces of several sources: {cause}; each is asked for the whole now",
                        self.means.request.title(),
                    );
                    self.means.reporter.event(Event::Note { text: &text });
                    self.restart()?;
                    return Ok(Mirrored::Left(Vec::new()));
                }
            }
        }
        let left = crew.mirrors.into_iter().filter_map(|mirror| {
            let cause = mirror.left?;
            // These may still be right when they are asked alone.
            let alone = matches!(cause, Cause::Range | Cause::Differs);
            (!alone).then(|| Tried {
                url: mirror.url.clone(),
                attempts: mirror.asked,
                cause,
            })
        });
        Ok(Mirrored::Left(left.collect()))
    }

    /// What a task came to: a piece, or one to be asked for again.
    fn take(&mut self, crew: &mut Crew<'_>, ended: Ended) -> Result<(), FetchError> {
        let Ended {
            mirror: who,
            number,
            start,
            took,
            result,
        } = ended;
        crew.mirrors[who].running.remove(&number);
        let is_probe = !crew.mirrors[who].joined;
        let result = result.and_then(|piece| match crew.total {
            Some(total) if total != piece.total => Err(Cause::Differs),
            Some(_) if is_probe && piece.bytes != crew.first => Err(Cause::Differs),
            Some(_) => Ok(piece),
            None => self.check_total(Some(piece.total)).map(|()| piece),
        });
        let piece = match result {
            Ok(piece) => piece,
            Err(cause) => {
                crew.failed(who, number, start, cause);
                return Ok(());
            }
        };
        let mirror = &mut crew.mirrors[who];
        (mirror.failures, mirror.lost, mirror.joined, mirror.took) = (0, 0, true, took);
        if is_probe {
            if crew.total.is_some() {
                return Ok(());
            }
            self.make_room(Some(piece.total))?;
            let note = PartialNote {
                url: mirror.url.key(),
                validators: Validators::default(),
                total: Some(piece.total),
                boot: self.boot.clone(),
            };
            note.write(self.means.store, &self.key)?;
            self.note = Some(note);
            crew.total = Some(piece.total);
            crew.next = start + piece.bytes.len() as u64;
            crew.first.clone_from(&piece.bytes);
        } else if let Some(flight) = crew.flights.remove(&start) {
            let end = start + piece.bytes.len() as u64;
            if end < flight.end {
                crew.back.insert(end, flight.end);
            }
            for (other, number, handle) in flight.by {
                if other != who {
                    handle.abort();
                    crew.mirrors[other].running.remove(&number);
                    crew.lost(other);
                }
            }
        } else {
            // Somebody else was quicker.
            return Ok(());
        }
        crew.mirrors[who].gave += piece.bytes.len() as u64;
        crew.ready.insert(start, piece.bytes);
        Ok(())
    }
}

impl<'a> Crew<'a> {
    fn new(job: &Job<'_>, urls: &[&'a SafeUrl], piece: u64) -> Self {
        let means = &job.means;
        let now = Instant::now();
        let mirror = |url: &&'a SafeUrl| Mirror {
            url,
            asked: 0,
            failures: 0,
            lost: 0,
            after: now,
            joined: false,
            running: BTreeSet::new(),
            took: HASTE,
            gave: 0,
            left: None,
        };
        Self {
            mirrors: urls.iter().take(MOST).map(mirror).collect(),
            running: JoinSet::new(),
            flights: BTreeMap::new(),
            ready: BTreeMap::new(),
            back: BTreeMap::new(),
            next: job.have,
            origin: job.have,
            first: Bytes::new(),
            total: None,
            piece,
            count: 0,
            question: Question {
                client: means.client.clone(),
                options: Arc::new(means.options.clone()),
                credential: means.request.credential.clone(),
            },
        }
    }

    /// Asks every mirror that is free for something.
    fn hand_out(&mut self, have: u64, now: Instant) {
        for who in 0..self.mirrors.len() {
            while self.mirrors[who].is_free(now) {
                if !self.mirrors[who].joined {
                    let end = self.origin + PROBE.min(self.piece);
                    self.ask(who, self.origin, end);
                    continue;
                }
                let Some((start, end)) = self.choose(who, have, now) else {
                    break;
                };
                let (number, handle) = self.ask(who, start, end);
                let flight = self.flights.entry(start).or_insert_with(|| Flight {
                    end,
                    since: now,
                    by: Vec::new(),
                });
                flight.by.push((who, number, handle));
            }
        }
    }

    /// The next piece for a mirror: one that was given back, a new one, or the first one that another
    /// mirror has been at for longer than this one needs.
    fn choose(&mut self, who: usize, have: u64, now: Instant) -> Option<(u64, u64)> {
        if let Some(back) = self.back.pop_first() {
            return Some(back);
        }
        let total = self.total?;
        if self.next < total && self.next - have < WINDOW * self.piece {
            let start = self.next;
            self.next = total.min(start + self.piece);
            return Some((start, self.next));
        }
        let needs = self.mirrors[who].took.max(HASTE);
        let slow = self.flights.iter().find(|(_, flight)| {
            let alone = flight.by.len() == 1 && flight.by[0].0 != who;
            alone && now.duration_since(flight.since) > needs
        });
        slow.map(|(start, flight)| (*start, flight.end))
    }

    fn ask(&mut self, who: usize, start: u64, end: u64) -> (u64, AbortHandle) {
        self.count += 1;
        let (number, question) = (self.count, self.question.clone());
        let mirror = &mut self.mirrors[who];
        mirror.asked += 1;
        mirror.running.insert(number);
        let (url, may_be_cut) = (mirror.url.clone(), mirror.joined);
        let handle = self.running.spawn(async move {
            let begun = Instant::now();
            let result = question.piece(&url, (start, end), may_be_cut).await;
            Ended {
                mirror: who,
                number,
                start,
                took: begun.elapsed(),
                result,
            }
        });
        (number, handle)
    }

    /// A piece did not come: the mirror is asked again later, or no more.
    fn failed(&mut self, who: usize, number: u64, start: u64, cause: Cause) {
        if let Some(flight) = self.flights.get_mut(&start) {
            flight.by.retain(|(_, other, _)| *other != number);
            if flight.by.is_empty() {
                let end = flight.end;
                self.flights.remove(&start);
                self.back.insert(start, end);
            }
        }
        let retries = &self.question.options.retries;
        let mirror = &mut self.mirrors[who];
        mirror.failures += 1;
        let wait = retry::wait(retries, mirror.failures, &cause);
        // Who knows no ranges learns none.
        let again = mirror.failures < retries.attempts.max(1)
            && retry::may_pass(&cause)
            && !matches!(cause, Cause::Range);
        match wait.filter(|_| again) {
            Some(wait) => mirror.after = Instant::now() + wait,
            None => mirror.left = Some(cause),
        }
    }

    /// Another mirror was quicker with a piece: that often in a row, this one only costs.
    fn lost(&mut self, who: usize) {
        let others = self.mirrors.iter().enumerate();
        let others = others.filter(|(n, mirror)| *n != who && mirror.left.is_none());
        let is_last = others.count() == 0;
        let attempts = self.question.options.retries.attempts.max(1);
        let mirror = &mut self.mirrors[who];
        mirror.lost += 1;
        if mirror.lost >= attempts && !is_last && mirror.left.is_none() {
            mirror.left = Some(Cause::Timeout {
                what: "slower than another source",
                limit: mirror.took,
            });
        }
    }
}

impl Question {
    /// The bytes from `start` to `end`, or to the end of the whole if that is earlier; fewer of them only
    /// where they `may_be_cut`.
    async fn piece(
        &self,
        url: &SafeUrl,
        (start, end): (u64, u64),
        may_be_cut: bool,
    ) -> Result<Piece, Cause> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={start}-{}", end - 1)) {
            headers.insert(RANGE, range);
        }
        // Asked anew for each piece, so that an address that has expired leads to a new one.
        let (options, credential) = (&self.options, self.credential.as_ref());
        let answer = http::send(
            &self.client,
            options,
            &Method::GET,
            url,
            &headers,
            credential,
        )
        .await?;
        match answer.response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => return Err(Cause::Range),
            _ => return Err(answer.status_cause()),
        }
        let announced = answer.response.headers().get(CONTENT_RANGE);
        let announced = announced.and_then(|text| content_range(text.to_str().ok()?));
        let (first, last, total) = announced.ok_or(Cause::Range)?;
        if first != start || last + 1 != end.min(total) {
            return Err(Cause::Range);
        }
        let length = last + 1 - first;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        let mut response = answer.response;
        let mut patience = Patience::new(options);
        let cause = loop {
            let have = bytes.len() as u64;
            let cause = match patience.chunk(&mut response, have).await {
                Ok(Some(chunk)) if have + chunk.len() as u64 > length => return Err(Cause::Range),
                Ok(Some(chunk)) => {
                    bytes.extend_from_slice(&chunk);
                    continue;
                }
                Ok(None) => Cause::Cut {
                    got: start + have,
                    expected: Some(last + 1),
                    source: None,
                },
                Err(cause) => cause,
            };
            break cause;
        };
        // What brought the download forward counts, however it ended.
        let enough = if may_be_cut { FORWARD } else { length };
        if (bytes.len() as u64) < length.min(enough) {
            return Err(cause);
        }
        Ok(Piece {
            bytes: bytes.into(),
            total,
        })
    }
}
