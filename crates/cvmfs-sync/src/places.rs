//! Where repositories are: folders, servers, buckets.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use nd_cvmfs::{Directory, Source, Storage, StorageError};
use nd_fetch::{FetchError, FetchOptions, ObjectClient, SafeUrl};
use nd_host::Environment;

use crate::bucket::{BucketStorage, SCHEME};

/// Where a repository is read from.
#[derive(Debug)]
pub enum Place {
    /// A folder of this machine.
    Folder(Directory),
    /// A server.
    Server(HttpSource),
    /// A store of objects.
    Bucket(BucketStorage),
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The address is none.
    #[error("`{0}` is no address of a repository")]
    Url(String),
    /// Only folders and buckets can be written to.
    #[error("`{0}` cannot be written to; name a folder, or a bucket as `s3://BUCKET/PATH`")]
    ReadOnly(String),
    /// Connections cannot be made.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl Place {
    /// The repository that a word of the command line names: an address with `http`, `https` or `s3`,
    /// else a folder.
    pub fn open(word: &str, environment: &Environment) -> Result<Self, PlaceError> {
        if word.starts_with("http://") || word.starts_with("https://") {
            let url: SafeUrl = word.parse().map_err(|_| PlaceError::Url(word.to_owned()))?;
            let options = FetchOptions::from_environment(environment)?;
            return Ok(Self::Server(HttpSource(ObjectClient::new(options, url)?)));
        }
        if word.starts_with(SCHEME) {
            return Ok(Self::Bucket(BucketStorage::open(word, environment)?));
        }
        if word.contains("://") {
            return Err(PlaceError::Url(word.to_owned()));
        }
        Ok(Self::Folder(Directory::new(environment.absolute(word))))
    }

    /// A bucket or a folder to be written to. On a host where `cvmfs_server` publishes to the same folder,
    /// `spool` is its spool folder.
    pub fn writable(
        word: &str,
        spool: Option<&Path>,
        environment: &Environment,
    ) -> Result<Box<dyn Storage>, PlaceError> {
        if word.starts_with(SCHEME) {
            return Ok(Box::new(BucketStorage::open(word, environment)?));
        }
        Ok(Box::new(match (Self::folder(word, environment)?, spool) {
            (folder, Some(spool)) => Directory::new(folder).with_spool(environment.absolute(spool)),
            (folder, None) => Directory::new(folder),
        }))
    }

    /// The folder that a word of the command line names.
    pub fn folder(word: &str, environment: &Environment) -> Result<PathBuf, PlaceError> {
        if word.contains("://") {
            return Err(PlaceError::ReadOnly(word.to_owned()));
        }
        Ok(environment.absolute(word))
    }

    /// What reads it.
    pub fn source(&self) -> &dyn Source {
        match self {
            Self::Folder(directory) => directory,
            Self::Server(server) => server,
            Self::Bucket(bucket) => bucket,
        }
    }
}

/// A repository on a server.
#[derive(Debug)]
pub struct HttpSource(ObjectClient);

impl HttpSource {
    /// The repository whose files `client` gives.
    pub fn new(client: ObjectClient) -> Self {
        Self(client)
    }
}

fn failed(path: &str) -> impl FnOnce(FetchError) -> StorageError {
    let path = path.to_owned();
    move |error| StorageError::io(path, std::io::Error::other(error))
}

impl Source for HttpSource {
    fn describe(&self) -> String {
        self.0.base().to_string()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, StorageError> {
        let body = self.0.get(path).map_err(failed(path))?;
        Ok(body.map(|body| Box::new(body) as Box<dyn Read + Send>))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        self.0.size(path).map_err(failed(path))
    }
}
