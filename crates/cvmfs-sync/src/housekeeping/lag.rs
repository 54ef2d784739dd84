//! How far copies of a repository are behind.

use jiff::Timestamp;
use nd_cvmfs::{Manifest, MasterPublicKey, Repository, Source};
use serde::Serialize;

/// How one server stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerLag {
    /// Its address.
    pub server: String,
    /// Its revision, where it answers.
    pub revision: Option<u64>,
    /// Revisions that it is behind.
    pub behind: u64,
    /// Seconds between its revision and the one that it should have; it is late by no more than that.
    pub seconds: i64,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl ServerLag {
    /// Whether it has the revision.
    pub fn is_current(&self) -> bool {
        self.problem.is_none() && self.behind == 0
    }
}

/// Compares a server with the manifest that it should have. With `keys`, what it answers also has to be
/// signed by one of them and good at the time `now`; a server may serve the right revision with a
/// whitelist that clients refuse.
pub fn lag_of(
    expected: &Manifest,
    source: &dyn Source,
    keys: &[MasterPublicKey],
    now: Timestamp,
) -> ServerLag {
    let mut lag = ServerLag {
        server: source.describe(),
        revision: None,
        behind: 0,
        seconds: 0,
        problem: None,
    };
    let repository = match Repository::open(source) {
        Ok(repository) => repository,
        Err(error) => {
            lag.problem = Some(error.to_string());
            return lag;
        }
    };
    let found = repository.manifest();
    lag.revision = Some(found.revision);
    if found.name != expected.name {
        lag.problem = Some("it has another repository".to_owned());
    } else if found.revision > expected.revision {
        lag.problem = Some("its revision is ahead".to_owned());
    } else if found.revision == expected.revision && found.root_catalog != expected.root_catalog {
        lag.problem = Some("its revision has another content".to_owned());
    } else if !keys.is_empty() {
        lag.problem = match repository.check_trust(keys, expected.name.as_ref(), now) {
            Ok((_, wrong)) => wrong.first().map(ToString::to_string),
            Err(error) => Some(error.to_string()),
        };
    }
    lag.behind = expected.revision.saturating_sub(found.revision);
    if let (Some(expected), Some(found)) = (expected.timestamp, found.timestamp) {
        lag.seconds = expected.saturating_sub(found).max(0);
    }
    lag
}
