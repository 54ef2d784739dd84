//! What is written down beside the bytes: of finished downloads, and of unfinished ones.

use nd_names::Sha256;
use nd_store::{Store, StoreError};
use reqwest::header::{ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::SafeUrl;

const VERSION: u32 = 1;
const DOWNLOAD: &str = "download";
const PARTIAL: &str = "partial";

/// By what a server recognises what it gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

impl Validators {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            // A record stays small whatever a server sends.
            (value.len() <= 1024).then(|| value.to_owned())
        };
        Self {
            etag: text(ETAG),
            last_modified: text(LAST_MODIFIED),
        }
    }

    /// What `If-Range` may hold: an entity tag that promises equal bytes, else a date.
    pub(crate) fn for_range(&self) -> Option<&str> {
        match self.etag.as_deref() {
            Some(etag) if !etag.starts_with("W/") => Some(etag),
            _ => self.last_modified.as_deref(),
        }
    }

    /// Whether a part that came with `other` belongs to what came with `self`. What one of them
    /// does not say is no contradiction.
    pub(crate) fn agree(&self, other: &Self) -> bool {
        let agree = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        agree(&self.etag, &other.etag) && agree(&self.last_modified, &other.last_modified)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// A finished download, filed under the key of its URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Download {
    pub(crate) digest: Sha256,
    pub(crate) bytes: u64,
    pub(crate) validators: Validators,
    /// Differs each time the record is written: who has waited for another process sees that it
    /// was asked the same.
    pub(crate) written_by: String,
}

impl Download {
    pub(crate) fn read(store: &Store, url: &SafeUrl) -> Result<Option<Self>, StoreError> {
        let found: Option<Self> = read(store, DOWNLOAD, &url.key())?;
        // The blob may have been pruned.
        Ok(found.filter(|found| {
            let path = store.blob_path(&found.digest);
            fs_err::metadata(path).is_ok_and(|meta| meta.len() == found.bytes)
        }))
    }

    pub(crate) fn write(&self, store: &Store, url: &SafeUrl) -> Result<(), StoreError> {
        write(store, DOWNLOAD, &url.key(), self)
    }
}

/// Where the bytes of a partial come from, filed under the key of the partial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartialNote {
    /// Key of the URL.
    pub(crate) url: Sha256,
    pub(crate) validators: Validators,
    /// Size of the whole, when known.
    pub(crate) total: Option<u64>,
    /// The boot of the machine: after a power failure the file may hold anything.
    pub(crate) boot: String,
}

impl PartialNote {
    pub(crate) fn read(store: &Store, key: &Sha256) -> Result<Option<Self>, StoreError> {
        read(store, PARTIAL, key)
    }

    pub(crate) fn write(&self, store: &Store, key: &Sha256) -> Result<(), StoreError> {
        write(store, PARTIAL, key, self)
    }

    pub(crate) fn remove(store: &Store, key: &Sha256) -> Result<(), StoreError> {
        store.remove_record(PARTIAL, key)
    }
}

/// The identity of this boot; empty where the kernel does not tell.
pub(crate) fn boot() -> String {
    let text = fs_err::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    record: T,
}

/// A record that is not understood counts as none: what it describes can be downloaded again.
fn read<T: DeserializeOwned>(
    store: &Store,
    kind: &str,
    key: &Sha256,
) -> Result<Option<T>, StoreError> {
    let bytes = store.record(kind, key)?;
    let found = bytes.and_then(|bytes| serde_json::from_slice::<Versioned<T>>(&bytes).ok());
    Ok(found
        .filter(|found| found.version == VERSION)
        .map(|found| found.record))
}

fn write<T: Serialize>(
    store: &Store,
    kind: &str,
    key: &Sha256,
    record: &T,
) -> Result<(), StoreError> {
    let value = Versioned {
        version: VERSION,
        record,
    };
    // Strings and numbers alone: this has no way to fail.
    let bytes = serde_json::to_vec(&value).unwrap_or_default();
    store.put_record(kind, key, &bytes)
}
