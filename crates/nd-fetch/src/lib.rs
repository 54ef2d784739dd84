//! Every connection of the workspace: downloads into the store that resume, retry, revalidate and
//! verify.
//!
//! A [`Fetcher`] brings what a [`Request`] names into the blobs of an [`nd_store::Store`]. Servers
//! are hostile: lengths, ranges, redirects and bytes are checked, sizes and times are limited, and
//! no text that is shown holds a password or a signature ([`SafeUrl`]). This is the only
//! asynchronous crate; [`Fetcher::fetch_all_blocking`] is the door for callers that are not.

mod body;
mod client;
mod download;
mod error;
mod fetcher;
mod http;
mod kept;
mod objects;
mod options;
mod rate;
mod records;
pub mod registry;
mod request;
mod retry;
pub mod s3;
mod safe_url;

pub use error::{Cause, FetchError, TransportError, Tried};
pub use fetcher::Fetcher;
pub use objects::{ObjectBody, ObjectClient};
pub use options::{Downgrade, FetchOptions, FileUrls, Network, Proxies, Retries, Timeouts, Trust};
pub use rate::Rate;
pub use request::{Credential, Fetched, Freshness, Mirrors, Origin, Request};
pub use safe_url::{SafeUrl, UrlError};
// Their types stand in what this crate takes and gives.
pub use {nd_host, nd_names, nd_oci, nd_report, nd_store};

/// The example of the README, which has to work.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
