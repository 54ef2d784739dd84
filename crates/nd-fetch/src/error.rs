//! What goes wrong with downloads: an error per request, a cause per source.

use std::{fmt, io, path::PathBuf, time::Duration};

use nd_names::Sha256;
use nd_report::{Cancelled, with_causes};
use nd_store::StoreError;

use crate::SafeUrl;

/// Why a request could not be fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Every source failed.
    #[error("failed to download `{name}` {}", Tries(.tried))]
    NoSource {
        /// How the request is called.
        name: String,
        /// Each source with its own reason, in the order they were tried; never empty.
        tried: Vec<Tried>,
    },
    /// The network is off and this was not downloaded before.
    #[error("`{name}` was not downloaded before and the network is off: {url}")]
    Offline {
        /// How the request is called.
        name: String,
        /// Its first source.
        url: SafeUrl,
    },
    /// A request without a URL.
    #[error("`{name}` has no URL to download from")]
    NoUrl {
        /// How the request is called.
        name: String,
    },
    /// The caller asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// The store.
    #[error("failed to keep a download")]
    Store(#[from] StoreError),
    /// A source announces more bytes than there is room for.
    #[error("`{}` has {free} bytes left and `{name}` needs {needed}", path.display())]
    NoSpace {
        /// How the request is called.
        name: String,
        /// A folder of the disk.
        path: PathBuf,
        /// Bytes that are free, without those that stay free.
        free: u64,
        /// Bytes that are still to come.
        needed: u64,
    },
    /// A file of this machine.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No certificate in a place that was named.
    #[error("`{}` holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// A variable that names no proxy.
    #[error("`{variable}` is no URL of an `http` or `https` proxy")]
    ProxyVariable {
        /// Which one; its value may be secret.
        variable: &'static str,
    },
    /// The parts of the connections do not fit together.
    #[error("failed to set up connections")]
    Setup(#[source] TransportError),
    /// The part that encrypts connections.
    #[error("failed to set up encrypted connections")]
    Tls(#[source] rustls::Error),
    /// No thread or descriptor for connections.
    #[error("failed to start the connections' runtime")]
    Runtime(#[source] io::Error),
}

impl FetchError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// A source that failed.
#[derive(Debug)]
pub struct Tried {
    /// The source, as the request names it.
    pub url: SafeUrl,
    /// How often it was asked.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub cause: Cause,
}

struct Tries<'a>(&'a [Tried]);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, tried) in self.0.iter().enumerate() {
            let (join, plural) = (
                ["", "; "][n.min(1)],
                ["s", ""][usize::from(tried.attempts == 1)],
            );
            write!(
                f,
                "{join}from {} after {} attempt{plural}: {}",
                tried.url,
                tried.attempts,
                with_causes(&tried.cause)
            )?;
        }
        Ok(())
    }
}

/// Why one source failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The server answered, but not with the thing.
    #[error("HTTP {code}{}{}", reason(*.code), redirected(.at.as_ref()))]
    Status {
        /// The status.
        code: u16,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// The address that answered, if a redirect led there.
        at: Option<SafeUrl>,
    },
    /// No connection, or one that broke before the answer.
    #[error("no answer{}", redirected(.at.as_ref()))]
    Transport {
        /// What broke.
        #[source]
        source: TransportError,
        /// The address that was asked, if a redirect led there.
        at: Option<SafeUrl>,
    },
    /// Nothing came for too long.
    #[error("{what} for {} s", .limit.as_secs_f32())]
    Timeout {
        /// What did not come.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The body ended early.
    #[error("the connection ended after {got} of {} bytes", .expected.map_or_else(|| "an unknown number of".into(), |n| n.to_string()))]
    Cut {
        /// Bytes that are there, earlier attempts included.
        got: u64,
        /// Bytes that were announced.
        expected: Option<u64>,
        /// What broke, if the connection says so.
        #[source]
        source: Option<TransportError>,
    },
    /// More bytes than allowed.
    #[error("it is larger than the {limit} bytes that are allowed")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Another size than the request says.
    #[error("it has {found} bytes, expected {expected}")]
    Size {
        /// What the request says.
        expected: u64,
        /// What was announced or came.
        found: u64,
    },
    /// Other bytes than the request says.
    #[error("its digest is {}, expected {}", found.oci(), expected.oci())]
    Digest {
        /// What the request says.
        expected: Sha256,
        /// What came.
        found: Sha256,
    },
    /// It begins with other bytes than what another source gave first.
    #[error("it is not the same as that of the other sources")]
    Differs,
    /// A part was asked for and something else came.
    #[error("the server gave another part than the one asked for")]
    Range,
    /// Too many redirects, or a circle of them.
    #[error("more than {limit} redirects")]
    Redirects {
        /// The limit.
        limit: u32,
    },
    /// A redirect that names no address.
    #[error("a redirect without a usable address")]
    Location,
    /// A redirect from `https` to `http`.
    #[error("a redirect from `https` to {to} is refused")]
    Downgrade {
        /// Where it leads.
        to: SafeUrl,
    },
    /// A `file://` URL.
    #[error("`file://` URLs are refused, and what is no plain file")]
    FileUrl,
    /// A file of this machine that a `file://` URL names.
    #[error("failed to read the file")]
    File(#[source] io::Error),
}

fn reason(code: u16) -> String {
    let code = reqwest::StatusCode::from_u16(code).ok();
    let reason = code.and_then(|code| code.canonical_reason());
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

fn redirected(at: Option<&SafeUrl>) -> String {
    at.map_or_else(String::new, |at| format!(" (redirected to {at})"))
}

/// What broke a connection, without the URL, which may be secret.
#[derive(Debug)]
pub struct TransportError(reqwest::Error);

impl TransportError {
    pub(crate) fn new(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }

    /// Whether the other side could not prove who it is. Asking again does not change that.
    pub fn is_certificate(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&self.0);
        while let Some(error) = next {
            if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
                return true;
            }
            next = inner(error);
        }
        false
    }
}

/// What an error is about; an `io::Error` hides what it wraps from `source`.
fn inner<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a (dyn std::error::Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    wrapped
        .map(|wrapped| wrapped as &(dyn std::error::Error + 'static))
        .or_else(|| error.source())
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The outer words ("error sending request") say nothing; the innermost ones do.
        let mut error: &(dyn std::error::Error + 'static) = &self.0;
        while let Some(next) = inner(error) {
            error = next;
        }
        write!(f, "{error}")
    }
}

impl std::error::Error for TransportError {}
