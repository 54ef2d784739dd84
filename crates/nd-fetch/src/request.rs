//! What is asked for and what comes back.

use std::{fmt, num::NonZeroU32, path::PathBuf};

use nd_names::Sha256;

use crate::SafeUrl;

/// One thing to download.
#[derive(Debug, Clone)]
pub struct Request {
    /// How messages call it (the name of a declared file); the end of the URL otherwise.
    pub name: Option<String>,
    /// Where it is, the most wanted source first.
    pub urls: Vec<SafeUrl>,
    /// The digest it must have. Without, each URL is a thing of its own and the digest that was
    /// found is reported.
    pub sha256: Option<Sha256>,
    /// The size it must have, in bytes.
    pub size: Option<u64>,
    /// Largest size, in bytes; the limit of the options if that is smaller or this is absent.
    pub max_bytes: Option<u64>,
    /// What an earlier download is good for; of no meaning with a digest.
    pub freshness: Freshness,
    /// Shown to the server of each URL, and to no host it redirects to.
    pub credential: Option<Credential>,
    /// How several sources are used; in turn, unless there is a digest that says that they are mirrors.
    pub mirrors: Mirrors,
}

impl Request {
    /// A request for what stands at one URL, revalidated when it was downloaded before.
    pub fn new(url: SafeUrl) -> Self {
        Self {
            name: None,
            urls: vec![url],
            sha256: None,
            size: None,
            max_bytes: None,
            freshness: Freshness::Revalidate,
            credential: None,
            mirrors: Mirrors::InTurn,
        }
    }

    /// How messages call it.
    pub fn title(&self) -> &str {
        let url = self.urls.first();
        let name = self.name.as_deref();
        name.or_else(|| url.map(SafeUrl::title))
            .unwrap_or("download")
    }
}

/// How several sources of the same bytes are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mirrors {
    /// The next one when one fails.
    #[default]
    InTurn,
    /// All together, each for another piece; for what is large. Where the whole then has another
    /// digest, and where a server knows no ranges, they are used in turn.
    AtOnce {
        /// Bytes of a piece.
        piece: NonZeroU32,
    },
}

impl Mirrors {
    /// All together, with pieces of 4 MiB.
    pub const AT_ONCE: Self = Self::AtOnce {
        piece: NonZeroU32::new(4 << 20).unwrap(),
    };
}

/// What an earlier download of a URL is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// It is used, the server is not asked.
    Any,
    /// The server is asked whether it has changed (`ETag`, `Last-Modified`). One that gave neither
    /// cannot be asked that, so it is downloaded again; where no server answers, what is there is
    /// used and a note says so.
    #[default]
    Revalidate,
    /// It is not used, unless the network is off.
    Refetch,
}

/// Something secret to show to a server; never shown to people.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token.
    Bearer(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Something that was downloaded, as a blob of the store. It stays there as long as the caller
/// holds the store open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The blob. Others may have it as well: copy or link it, never write to it.
    pub path: PathBuf,
    /// Digest of its bytes: the one asked for, or the one to write down.
    pub digest: Sha256,
    /// Its size.
    pub bytes: u64,
    /// How it came.
    pub origin: Origin,
    /// The source of the request that it is from; the first one if the store had it by its digest.
    pub url: SafeUrl,
    /// The `ETag` it came with, as far as that is known.
    pub etag: Option<String>,
    /// The `Last-Modified` it came with, as far as that is known.
    pub last_modified: Option<String>,
}

impl Fetched {
    /// Whether no bytes were downloaded now.
    pub fn from_cache(&self) -> bool {
        self.origin != Origin::Network
    }
}

/// How something came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Downloaded now (or, while we waited, by another process that was asked the same).
    Network,
    /// Downloaded earlier; no server was asked.
    Cache,
    /// Downloaded earlier, and the server says that it has not changed.
    Revalidated,
    /// Downloaded earlier, and no server could be asked.
    Stale,
}
