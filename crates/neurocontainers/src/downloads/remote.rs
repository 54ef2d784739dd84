//! Text behind the URLs that a recipe's README comes from.

use std::{borrow::Cow, collections::BTreeMap, io, io::Read as _};

use nd_fetch::{Freshness, Request, SafeUrl};
use nd_names::Sha256;
use neurocontainers_recipe::{FileKind, Folder, ReadError, RecipeFiles};

use super::fetch_all;
use crate::pipeline::Workshop;

/// Attempts where a recipe says nothing.
const ATTEMPTS: u32 = 3;

/// Whoever can read what is behind a URL.
pub trait Remote {
    /// The bytes behind `url`, at most `limit` of them, which have to have the digest `sha256` if one
    /// is given.
    fn get(&self, url: &str, sha256: Option<Sha256>, limit: usize) -> Result<Vec<u8>, ReadError>;
}

/// Files of a recipe, and what is behind its URLs.
pub(crate) struct WithRemote<'a, F> {
    /// The files.
    pub(crate) files: F,
    /// Who fetches.
    pub(crate) remote: &'a dyn Remote,
    /// Digests that a lock promises, by URL.
    pub(crate) expected: BTreeMap<String, Sha256>,
}

impl<F: RecipeFiles> RecipeFiles for WithRemote<'_, F> {
    fn read(&self, folder: Folder, path: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        self.files.read(folder, path, limit)
    }

    fn kind(&self, folder: Folder, path: &str) -> Option<FileKind> {
        self.files.kind(folder, path)
    }

    fn remote(&self, url: &str, limit: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        let sha256 = self.expected.get(url).copied();
        self.remote.get(url, sha256, limit).map(Cow::Owned)
    }
}

impl Remote for Workshop<'_> {
    fn get(&self, url: &str, sha256: Option<Sha256>, limit: usize) -> Result<Vec<u8>, ReadError> {
        let url: SafeUrl = url.parse().map_err(io::Error::other)?;
        let request = Request {
            name: Some("README".into()),
            sha256,
            max_bytes: Some(limit as u64),
            freshness: Freshness::Any,
            ..Request::new(url)
        };
        let fetched = fetch_all(self, &[request], ATTEMPTS).map_err(io::Error::other)?;
        let mut bytes = Vec::new();
        for one in fetched {
            let one = one.map_err(io::Error::other)?;
            let file = fs_err::File::open(&one.path)?;
            // A README that was fetched by somebody with a higher limit.
            if one.bytes > limit as u64 {
                return Err(ReadError::TooLarge { limit });
            }
            file.take(limit as u64).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }
}
