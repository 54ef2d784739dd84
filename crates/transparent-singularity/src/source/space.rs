//! Looking at the room before it is used.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use nd_host::free_bytes;
use nd_report::{Cancel, Event, Reporter};

/// Listens to downloads, and stops them when one announces more bytes than there is room for.
pub(super) struct SpaceGuard {
    inner: Arc<dyn Reporter>,
    path: PathBuf,
    keep_free: u64,
    cancel: Cancel,
    short: Mutex<Option<(u64, u64)>>,
}

impl SpaceGuard {
    pub(super) fn new(
        inner: Arc<dyn Reporter>,
        path: &Path,
        keep_free: u64,
        cancel: Cancel,
    ) -> Self {
        Self {
            inner,
            path: path.into(),
            keep_free,
            cancel,
            short: Mutex::new(None),
        }
    }

    /// Bytes that were free and bytes that were needed, when that was too little.
    pub(super) fn short(&self) -> Option<(u64, u64)> {
        *self.short.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for SpaceGuard {
    fn event(&self, event: Event<'_>) {
        if let Event::Started {
            bytes: Some(bytes), ..
        } = event
            && let Some(free) = free_bytes(&self.path)
            && bytes.saturating_add(self.keep_free) > free
        {
            *self.short.lock().unwrap_or_else(PoisonError::into_inner) = Some((free, bytes));
            self.cancel.cancel();
        }
        self.inner.event(event);
    }
}
