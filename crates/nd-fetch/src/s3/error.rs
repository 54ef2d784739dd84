//! What goes wrong with a store.

use std::{io, path::PathBuf};

use nd_report::Cancelled;

use super::xml::XmlError;
use crate::{Cause, FetchError, SafeUrl};

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// The store refused, with a reason.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// No answer, after all attempts.
    #[error("{url} could not be asked after {attempts} attempts")]
    Connection {
        /// The object or the bucket.
        url: SafeUrl,
        /// How often it was tried.
        attempts: u32,
        /// Why the last attempt failed.
        #[source]
        cause: Box<Cause>,
    },
    /// The bytes of an object end early.
    #[error("an object of {url} could not be read to its end")]
    Body {
        /// The bucket.
        url: SafeUrl,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An answer that is none.
    #[error("the answer of {url} cannot be used: {problem}")]
    Invalid {
        /// The bucket.
        url: SafeUrl,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A document that is none.
    #[error("the answer of {url} cannot be read")]
    Xml {
        /// The bucket.
        url: SafeUrl,
        /// Why.
        #[source]
        source: Box<XmlError>,
    },
    /// Another object has the key.
    #[error("{url} is there already, with other bytes")]
    Exists {
        /// The object.
        url: SafeUrl,
    },
    /// What is stored is not what was sent.
    #[error("{url} is not what was sent: {problem}")]
    Different {
        /// The object.
        url: SafeUrl,
        /// What differs.
        problem: String,
    },
    /// The file that is sent.
    #[error("failed to read `{}`", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file that is sent is too large for any store.
    #[error("`{}` has {bytes} bytes, more than a store takes", path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// Its bytes.
        bytes: u64,
    },
    /// Connections.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The caller asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A refusal of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url} answers {status}{}", said(code.as_deref(), message.as_deref()))]
pub struct Refusal {
    /// The object or the bucket.
    pub url: SafeUrl,
    /// The status.
    pub status: u16,
    /// The store's word for it, `AccessDenied`.
    pub code: Option<String>,
    /// The store's words about it.
    pub message: Option<String>,
}

impl S3Error {
    /// The store's word for a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.code.as_deref(),
            _ => None,
        }
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }
}

fn said(code: Option<&str>, message: Option<&str>) -> String {
    match (code, message) {
        (Some(code), Some(message)) => format!(": {code}: {message}"),
        (Some(text), None) | (None, Some(text)) => format!(": {text}"),
        (None, None) => String::new(),
    }
}
