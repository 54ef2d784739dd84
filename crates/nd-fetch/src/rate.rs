//! How fast downloads may be, all of them together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How much may come at once after a pause, in seconds of the rate.
const BURST: Duration = Duration::from_millis(100);

/// A rate that all downloads of the same options share; without one they are as fast as they can be.
#[derive(Debug, Clone, Default)]
pub struct Rate(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    bytes_per_second: u64,
    /// When all that has come would have come at that rate.
    due: Mutex<Option<Instant>>,
}

impl Rate {
    /// So many bytes in a second, one at least.
    pub fn bytes_per_second(bytes: u64) -> Self {
        Self(Some(Arc::new(Shared {
            bytes_per_second: bytes.max(1),
            due: Mutex::default(),
        })))
    }

    /// How long to wait now that so many bytes have come.
    pub(crate) fn pause(&self, bytes: usize, now: Instant) -> Duration {
        let Some(shared) = &self.0 else {
            return Duration::ZERO;
        };
        let took = Duration::from_secs_f64(bytes as f64 / shared.bytes_per_second as f64);
        let mut due = shared.due.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let next = due.map_or(earliest, |due| due.max(earliest)) + took;
        *due = Some(next);
        next.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_fast_waits_and_a_pause_is_no_licence() {
        let rate = Rate::bytes_per_second(1000);
        let begun = Instant::now();
        assert_eq!(rate.pause(100, begun), Duration::ZERO);
        assert_eq!(rate.clone().pause(500, begun), Duration::from_millis(500));
        // An hour later no more than the burst is given.
        let later = begun + Duration::from_secs(3600);
        assert_eq!(rate.pause(1100, later), Duration::from_secs(1));
        assert_eq!(Rate::default().pause(1 << 30, begun), Duration::ZERO);
    }
}
