//! Downloads of recipes: files and READMEs behind URLs, in the store by their digests.

mod recipe;
mod registry;
mod relay;
mod remote;

use std::{num::NonZeroUsize, sync::Arc};

use nd_fetch::{FetchError, FetchOptions, Fetched, Fetcher, Network, Request};
use nd_report::Reporter;

pub use recipe::{Download, Downloads, README, fetch_files};
pub use registry::with_registries;
pub use remote::Remote;
pub(crate) use remote::WithRemote;

use crate::pipeline::Workshop;

/// How many downloads go on at once.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(4).unwrap();
/// First number of downloads as units of work, far from those of steps and of outputs.
const FIRST_STEP: u32 = 1 << 30;

/// Fetches `requests`, several at once, each tried `attempts` times: one result for each, in their
/// order. Without network, what was fetched before is given.
pub fn fetch_all(
    workshop: &Workshop<'_>,
    requests: &[Request],
    attempts: u32,
) -> Result<Vec<Result<Fetched, FetchError>>, FetchError> {
    fetch_telling(workshop, requests, attempts, workshop.reporter)
}

/// The same, telling somebody else.
pub(crate) fn fetch_telling(
    workshop: &Workshop<'_>,
    requests: &[Request],
    attempts: u32,
    reporter: &dyn Reporter,
) -> Result<Vec<Result<Fetched, FetchError>>, FetchError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let mut options = FetchOptions::from_environment(workshop.environment)?;
    options.network = if workshop.offline {
        Network::Off
    } else {
        Network::On
    };
    options.retries.attempts = attempts.max(1);
    options.first_step = FIRST_STEP;
    relay::relayed(reporter, |reporter: Arc<dyn Reporter>| {
        let fetcher = Fetcher::new(options, workshop.store.clone(), reporter);
        fetcher.fetch_all_blocking(requests, AT_ONCE, workshop.cancel)
    })
}
