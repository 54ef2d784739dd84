//! Where a repository of a test is: a folder, or a bucket of a real store. What is tested over one is
//! tested over the other.

use std::{path::PathBuf, time::Duration};

use cvmfs_sync::BucketStorage;
use nd_fetch::{
    FetchOptions, Retries,
    s3::{Bucket, S3Credentials},
};
use nd_testkit::{ObjectStore, TestEnv};

use crate::life::{NAME, put};

/// The bucket of a test.
pub(crate) const BUCKET: &str = "software";

/// A place for one repository.
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket(ObjectStore),
}

impl Place {
    pub(crate) fn folder(env: &TestEnv) -> Self {
        Self::Folder(env.work().join("storage"))
    }

    /// A bucket; `None` where the store is missing, which was said.
    pub(crate) fn bucket() -> Option<Self> {
        let store = ObjectStore::start()?;
        store.bucket(BUCKET);
        Some(Self::Bucket(store))
    }

    /// What the command line calls it.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Folder(_) => "storage".to_owned(),
            Self::Bucket(_) => format!("s3://{BUCKET}/cvmfs/{NAME}"),
        }
    }

    /// The variables that lead there.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Folder(_) => Vec::new(),
            Self::Bucket(store) => variables(store.address()).into(),
        }
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        match self {
            Self::Folder(folder) => fs_err::read(folder.join(path)).unwrap(),
            Self::Bucket(store) => store.get(&format!("{BUCKET}/cvmfs/{NAME}/{path}")),
        }
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        match self {
            Self::Folder(folder) => put(&folder.join(path), bytes),
            Self::Bucket(store) => store.put(&format!("{BUCKET}/cvmfs/{NAME}/{path}"), bytes),
        }
    }
}

/// The variables that lead to the store at `address`.
pub(crate) fn variables(address: &str) -> [(&'static str, String); 3] {
    [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ]
}

/// The repository of a store, for the library.
pub(crate) fn storage(address: &str) -> BucketStorage {
    storage_at(address, &format!("cvmfs/{NAME}"))
}

/// The repository at a path of the bucket of a store, for the library.
pub(crate) fn storage_at(address: &str, path: &str) -> BucketStorage {
    let credentials = S3Credentials {
        access_key: "key".into(),
        secret_key: "secret".into(),
        session_token: None,
        region: "us-east-1".into(),
    };
    let base = format!("http://{address}/{BUCKET}").parse().unwrap();
    // A store of a test that fails is good again at once.
    let retries = Retries {
        first_wait: Duration::from_millis(1),
        ..Retries::default()
    };
    let options = FetchOptions {
        retries,
        ..FetchOptions::default()
    };
    let bucket = Bucket::new(options, base, Some(credentials)).unwrap();
    BucketStorage::new(bucket, path)
}
