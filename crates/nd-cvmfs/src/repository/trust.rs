//! Why a repository is not trusted.

use crate::{WHITELIST, whitelist::WhitelistError};

/// Why a repository is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The manifest's signature is not that of its certificate.
    #[error("the manifest is not signed by the key of its certificate")]
    ManifestSignature,
    /// The manifest names no certificate.
    #[error("the manifest names no certificate")]
    NoCertificate,
    /// The certificate cannot be had or read.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// There is no whitelist.
    #[error("there is no `{WHITELIST}`")]
    NoWhitelist,
    /// The whitelist makes no sense.
    #[error(transparent)]
    Whitelist(#[from] WhitelistError),
    /// The whitelist is too old.
    #[error("the whitelist expired at {0} UTC")]
    Expired(String),
    /// The whitelist is that of another repository.
    #[error("the whitelist is that of `{0}`")]
    WhitelistName(String),
    /// None of the public keys made the whitelist's signature.
    #[error("the whitelist is signed by none of the public keys given")]
    WhitelistSignature,
    /// The certificate is not on the whitelist.
    #[error("the certificate is not on the whitelist")]
    NotListed,
    /// The whitelist demands what is not checked here.
    #[error("the whitelist demands {0}, which is not supported")]
    Unsupported(&'static str),
    /// The manifest is that of another repository.
    #[error("the manifest is that of `{found}`, not of `{expected}`")]
    Name {
        /// What it says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// No public key was given.
    #[error("no public key was given, so nothing proves who made this repository")]
    NoKey,
}
