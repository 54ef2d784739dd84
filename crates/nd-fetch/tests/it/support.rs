//! What the tests share.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use nd_fetch::{
    Cause, FetchError, FetchOptions, Fetched, Fetcher, Request, Retries, SafeUrl, Timeouts,
};
use nd_names::Sha256;
use nd_report::{Cancel, Event, Reporter};
use nd_store::{ItemKind, Store};
use tempfile::TempDir;

/// Keeps the notes.
#[derive(Default)]
pub(crate) struct Notes(pub(crate) Mutex<Vec<String>>);

impl Reporter for Notes {
    fn event(&self, event: Event<'_>) {
        self.0.lock().unwrap().push(match event {
            Event::Note { text } => text.to_owned(),
            other => format!("{other:?}"),
        });
    }
}

/// A store, options and the notes of what happened.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) options: FetchOptions,
    pub(crate) notes: Arc<Notes>,
}

/// For tests of silence, which wait for it to last this long.
pub(crate) const SHORT: Timeouts = Timeouts {
    connect: Duration::from_millis(500),
    idle: Duration::from_millis(500),
};

/// Few and quick retries. No machine is so busy that a server which answers is taken for a silent one.
pub(crate) fn options() -> FetchOptions {
    FetchOptions {
        timeouts: Timeouts {
            connect: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        },
        retries: Retries {
            attempts: 3,
            first_wait: Duration::from_millis(5),
            longest_wait: Duration::from_secs(2),
        },
        ..FetchOptions::default()
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(dir.path()).unwrap(),
            dir,
            options: options(),
            notes: Arc::default(),
        }
    }

    pub(crate) fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.options.clone(), self.store.clone(), self.notes.clone())
    }

    pub(crate) fn fetch(&self, request: &Request) -> Result<Fetched, FetchError> {
        fetch(&self.fetcher(), request, &Cancel::default())
    }

    /// How many files of each kind of the store there are: blobs, partials.
    pub(crate) fn kept(&self) -> (usize, usize) {
        let items = self.store.list().unwrap();
        let count = |kind| items.iter().filter(|item| item.kind == kind).count();
        (count(ItemKind::Blob), count(ItemKind::Partial))
    }

    pub(crate) fn said(&self) -> String {
        self.notes.0.lock().unwrap().join("\n")
    }
}

pub(crate) fn fetch(
    fetcher: &Fetcher,
    request: &Request,
    cancel: &Cancel,
) -> Result<Fetched, FetchError> {
    let requests = std::slice::from_ref(request);
    let results = fetcher.fetch_all_blocking(requests, NonZeroUsize::MIN, cancel);
    results.unwrap().pop().unwrap()
}

pub(crate) fn url(text: &str) -> SafeUrl {
    text.parse().unwrap()
}

pub(crate) fn request(text: &str) -> Request {
    Request::new(url(text))
}

pub(crate) fn verified(text: &str, body: &[u8]) -> Request {
    Request {
        sha256: Some(Sha256::of(body)),
        ..request(text)
    }
}

/// Bytes that differ everywhere, so that no part can stand for another.
pub(crate) fn body(n: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..n).map(|_| next()).collect()
}

/// The causes of all sources, with the attempts.
pub(crate) fn causes(result: Result<Fetched, FetchError>) -> Vec<(u32, Cause)> {
    match result {
        Err(FetchError::NoSource { tried, .. }) => {
            tried.into_iter().map(|t| (t.attempts, t.cause)).collect()
        }
        other => panic!("{other:?}"),
    }
}
