//! A repository in a store of objects that speaks S3.

mod lease;

use std::{
    io::{self, Read},
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use nd_cvmfs::{Guard, MANIFEST, Source, Storage, StorageError, Version, read_all};
use nd_fetch::{
    FetchOptions,
    s3::{Bucket, Condition, Described, S3Credentials, S3Error},
};
use nd_host::Environment;

use self::lease::{Lease, Leased};
use crate::PlaceError;

/// How the address of a bucket begins.
pub(crate) const SCHEME: &str = "s3://";
/// Requests at a time for each core: most of the time they wait.
const PER_CORE: usize = 8;
/// The largest manifest, in bytes.
const SMALL: u64 = 1 << 20;

/// A repository below `s3://BUCKET/PATH`. Its manifest is switched by a conditional write, and one
/// publisher or collector at a time has a lease, an object that it renews.
#[derive(Debug)]
pub struct BucketStorage {
    bucket: std::sync::Arc<Bucket>,
    /// What keys begin with: nothing, or a path that ends in a slash.
    prefix: String,
    lease: Mutex<Weak<Lease>>,
    /// Whether the store has refused to remove many objects by one request.
    one_by_one: AtomicBool,
}

impl BucketStorage {
    /// The repository at `s3://BUCKET/PATH`. The store is the one of `AWS_ENDPOINT_URL_S3` or
    /// `AWS_ENDPOINT_URL`, else that of the region at Amazon; keys and region are those of the usual
    /// variables. Nothing is asked yet.
    pub fn open(word: &str, environment: &Environment) -> Result<Self, PlaceError> {
        let wrong = || PlaceError::Url(word.to_owned());
        let rest = word.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(plain) {
            return Err(wrong());
        }
        let path = path.trim_matches('/');
        let is_odd = |part: &str| matches!(part, "" | "." | "..");
        if !path.is_empty() && path.split('/').any(is_odd) {
            return Err(wrong());
        }
        let credentials = S3Credentials::from_environment(environment);
        let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .iter()
            .find_map(|name| environment.text(name).filter(|text| !text.is_empty()));
        let base = if let Some(endpoint) = endpoint {
            format!("{}/{bucket}", endpoint.trim_end_matches('/'))
        } else {
            let region = credentials.as_ref().map(|known| known.region.as_str());
            let region = region.unwrap_or("us-east-1");
            // A name with a dot has no certificate as a host.
            if bucket.contains('.') {
                format!("https://s3.{region}.amazonaws.com/{bucket}")
            } else {
                format!("https://{bucket}.s3.{region}.amazonaws.com")
            }
        };
        let base = base.parse().map_err(|_| wrong())?;
        let options = FetchOptions::from_environment(environment)?;
        Ok(Self::new(Bucket::new(options, base, credentials)?, path))
    }

    /// The repository whose keys begin with `path`.
    pub fn new(bucket: Bucket, path: &str) -> Self {
        let prefix = match path {
            "" => String::new(),
            path => format!("{path}/"),
        };
        Self {
            bucket: std::sync::Arc::new(bucket),
            prefix,
            lease: Mutex::default(),
            one_by_one: AtomicBool::new(false),
        }
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn failed(&self, path: &str) -> impl FnOnce(S3Error) -> StorageError {
        let path = self.key(path);
        move |error| StorageError::io(path, io::Error::other(error))
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        self.held()?;
        let failed = |error| StorageError::io(key, io::Error::other(error));
        self.bucket.delete(key).map_err(failed)
    }

    /// Removes objects by one request, and gives the keys of those that may still be there: all of them
    /// where the store knows no such request.
    fn remove_many(&self, paths: &[String]) -> Result<Vec<String>, StorageError> {
        let keys: Vec<String> = paths.iter().map(|path| self.key(path)).collect();
        if self.one_by_one.load(Ordering::Relaxed) {
            return Ok(keys);
        }
        let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
        match self.bucket.delete_many(&asked) {
            Ok(left) => Ok(left.into_iter().map(str::to_owned).collect()),
            Err(error)
                if matches!(error.status(), Some(400 | 403 | 404 | 405 | 411 | 501))
                    || matches!(error, S3Error::Xml { .. }) =>
            {
                self.one_by_one.store(true, Ordering::Relaxed);
                Ok(keys)
            }
            Err(error) => Err(self.failed("")(error)),
        }
    }

    /// Refuses when somebody else may have taken the lease meanwhile.
    fn held(&self) -> Result<Option<std::sync::Arc<Lease>>, StorageError> {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = lease.upgrade();
        if let Some(lease) = &lease {
            lease.check()?;
        }
        Ok(lease)
    }
}

impl Source for BucketStorage {
    fn describe(&self) -> String {
        let base = self.bucket.base();
        format!("{base}/{}", self.prefix)
            .trim_end_matches('/')
            .into()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, StorageError> {
        let found = self.bucket.get(&self.key(path));
        let found = found.map_err(self.failed(path))?;
        Ok(found.map(|(_, body)| Box::new(body) as Box<dyn Read + Send>))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        let found = self.bucket.head(&self.key(path));
        let found = found.map_err(self.failed(path))?;
        Ok(found.map(|stored| stored.bytes))
    }
}

/// What readers are told about a file, as every server of CVMFS does.
fn described(path: &str) -> Described<'static> {
    let (content_type, cache_control) = if path.starts_with(".cvmfs") {
        ("application/x-cvmfs", "max-age=61")
    } else {
        ("application/octet-stream", "max-age=259200")
    };
    Described {
        content_type: Some(content_type),
        cache_control: Some(cache_control),
    }
}

impl Storage for BucketStorage {
    fn prepare(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn writers(&self) -> NonZeroUsize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        NonZeroUsize::new(cores * PER_CORE).unwrap_or(NonZeroUsize::MIN)
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.held()?;
        let key = self.key(path);
        self.bucket
            .put_if(&key, bytes, described(path), Condition::None)
            .map_err(self.failed(path))?;
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), StorageError> {
        self.delete(&self.key(path))
    }

    fn remove_all(&self, paths: &[String]) -> Result<(), StorageError> {
        for paths in paths.chunks(Bucket::MANY) {
            self.held()?;
            // What stays is removed alone, as long as the lease is ours: a store that cannot remove many
            // does it so, and one that refuses an object says why.
            for key in self.remove_many(paths)? {
                self.delete(&key)?;
            }
        }
        Ok(())
    }

    fn list(&self, each: &mut dyn FnMut(&str, u64)) -> Result<(), StorageError> {
        let all = self.bucket.list(&self.key("data/"));
        for one in all.map_err(self.failed("data/"))? {
            if let Some(path) = one.key.strip_prefix(&self.prefix) {
                each(path, one.bytes);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        // What a store has taken, it has.
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn Guard>, StorageError> {
        let leased = Leased::take(&self.bucket, &self.key(lease::NAME))?;
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        *lease = leased.weak();
        Ok(Box::new(leased))
    }

    fn manifest(&self) -> Result<Option<Version>, StorageError> {
        let key = self.key(MANIFEST);
        let found = self.bucket.get(&key).map_err(self.failed(MANIFEST))?;
        let Some((stored, body)) = found else {
            return Ok(None);
        };
        let no_tag = || StorageError::io(&key, io::Error::other("it has no entity tag"));
        let tag = stored.etag.ok_or_else(no_tag)?;
        let mut bytes = Vec::new();
        (body.take(SMALL + 1).read_to_end(&mut bytes))
            .map_err(|error| StorageError::io(&key, error))?;
        if bytes.len() as u64 > SMALL {
            let (path, limit) = (key, SMALL);
            return Err(StorageError::TooLarge { path, limit });
        }
        Ok(Some(Version { bytes, tag }))
    }

    fn switch_manifest(&self, old: Option<&Version>, new: &[u8]) -> Result<(), StorageError> {
        if let Some(lease) = self.held()? {
            // By the store's own word, not by our clock, which may have stood still.
            lease.renew()?;
        }
        let condition = match old {
            Some(version) => Condition::Is(&version.tag),
            None => Condition::Absent,
        };
        let key = self.key(MANIFEST);
        let put = self
            .bucket
            .put_if(&key, new, described(MANIFEST), condition);
        if put.map_err(self.failed(MANIFEST))?.is_some() {
            return Ok(());
        }
        // An answer may have been lost, and the second attempt found what the first one wrote.
        match read_all(self, MANIFEST, SMALL)? {
            Some(there) if there == new => Ok(()),
            _ => Err(StorageError::Conflict),
        }
    }
}
