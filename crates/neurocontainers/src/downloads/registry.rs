//! Registries, spoken to with the settings of a build.

use std::sync::Arc;

use nd_fetch::{
    FetchError, FetchOptions, Fetcher, Network,
    registry::{Registries, RegistryOptions},
};
use nd_report::Reporter;

use super::{FIRST_STEP, relay};
use crate::pipeline::Workshop;

/// First number of transfers as units of work, beside those of downloads.
const OWN_STEPS: u32 = FIRST_STEP + (1 << 20);

/// Does `work` with registries that pull into the store; with `offline`, no connection is made.
pub fn with_registries<T: Send>(
    workshop: &Workshop<'_>,
    offline: bool,
    options: RegistryOptions,
    work: impl FnOnce(Registries) -> T + Send,
) -> Result<T, FetchError> {
    let mut fetching = FetchOptions::from_environment(workshop.environment)?;
    fetching.network = if offline { Network::Off } else { Network::On };
    fetching.first_step = OWN_STEPS;
    let store = workshop.store.clone();
    Ok(relay::relayed(
        workshop.reporter,
        |reporter: Arc<dyn Reporter>| {
            work(Registries::new(
                Fetcher::new(fetching, store, reporter),
                options,
            ))
        },
    ))
}
