//! Asking servers: how soon they answer, how fast they send, what they have.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nd_cvmfs::{
    MANIFEST, MasterPublicKey, ObjectHash, ObjectKind, ReadError, Repository, RepositoryName,
    Source, StorageError, TrustError,
};
use nd_fetch::{FetchError, FetchOptions, ObjectClient, Retries, SafeUrl, Timeouts};
use nd_report::{Cancel, with_causes};

use super::rank::{MOST_SERVERS, rank};
use crate::{HttpSource, server::ServerAddress};

/// The largest manifest and the largest answer about distances, in bytes.
const MAX_SMALL: usize = 1 << 20;
/// How much of an object is read to see how fast a server sends, in bytes.
const MAX_SAMPLE: u64 = 4 << 20;
/// A transfer of less says more about the way than about the server, in bytes.
const MIN_SAMPLE: u64 = 256 << 10;
/// How long one transfer may take.
const SAMPLE_TIME: Duration = Duration::from_secs(5);

/// How servers are asked.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// How often each one is asked for the time to its first byte.
    pub samples: u32,
    /// How long each one has for all of these.
    pub patience: Duration,
    /// Keys that prove the repository.
    pub keys: Vec<MasterPublicKey>,
    /// This moment.
    pub now: Timestamp,
    /// Proxies and certificates.
    pub fetch: FetchOptions,
}

/// A server and what came of asking it.
#[derive(Debug)]
pub struct Measured {
    /// The server.
    pub server: ServerAddress,
    /// What it answered.
    pub answer: Result<Answer, ProbeError>,
}

/// Why a server cannot be used. Which one it is stands beside it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Its address is none for connections.
    #[error("`{0}` is no address")]
    Address(String),
    /// It gave no answer.
    #[error("{}", cause(.0))]
    NoAnswer(FetchError),
    /// Its answer broke off.
    #[error("{}", with_causes(.0))]
    Broken(io::Error),
    /// It has no such repository.
    #[error("it does not have the repository")]
    NoRepository,
    /// What it gives is no manifest.
    #[error("{}", with_causes(.0))]
    Manifest(ReadError),
    /// It gives the manifest of another repository, or of one without a name.
    #[error("its manifest is that of `{0}`")]
    OtherRepository(String),
    /// The owner of the keys does not stand behind what it gives.
    #[error("it is not trusted: {0}")]
    Untrusted(TrustError),
    /// What proves its manifest could not be read.
    #[error("{}", with_causes(.0))]
    Proof(StorageError),
    /// The root catalogue is not what its name says, or not there.
    #[error("its root catalogue is missing or damaged")]
    Catalog,
    /// It sends more than such a document can have.
    #[error("it sends too much")]
    TooMuch,
    /// It sends, but so that a document never ends.
    #[error("it sends too slowly")]
    TooSlow,
    /// Somebody asked to stop before it answered.
    #[error("it was not asked")]
    NotAsked,
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Times to the first byte of the manifest, sorted; never empty.
    pub latencies: Vec<Duration>,
    /// The revision that it serves.
    pub revision: u64,
    /// When that was published, in seconds since 1970.
    pub published: Option<i64>,
    /// The root catalogue of that revision.
    pub root: ObjectHash,
    /// How fast it sent that, if it was asked and the catalogue is large enough to tell.
    pub transfer: Option<Transfer>,
    /// Its place by distance, from 1, if a server could tell.
    pub distance: Option<usize>,
}

impl Answer {
    /// The median of the times to the first byte.
    pub fn latency(&self) -> Duration {
        let middle = self.latencies.len().saturating_sub(1) / 2;
        self.latencies.get(middle).copied().unwrap_or(Duration::MAX)
    }
}

/// Bytes that came in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes.
    pub bytes: u64,
    /// From the first byte to the last.
    pub time: Duration,
}

impl Transfer {
    /// Bytes per second.
    pub fn rate(self) -> f64 {
        self.bytes as f64 / self.time.as_secs_f64().max(1e-6)
    }
}

/// Asks all servers at once for the manifest of the repository, several times; then the best few, one
/// after the other, for its root catalogue; and one of them for the order by distance. What is not a
/// manifest of that repository which the keys prove is no answer.
pub fn measure(
    servers: &[ServerAddress],
    name: &RepositoryName,
    options: &ProbeOptions,
    cancel: &Cancel,
) -> Vec<Measured> {
    let options = &ProbeOptions {
        fetch: FetchOptions {
            // A server that fails once is not one to prefer.
            retries: Retries {
                attempts: 1,
                ..Retries::default()
            },
            timeouts: Timeouts {
                connect: options.patience,
                idle: options.patience,
            },
            ..options.fetch.clone()
        },
        ..options.clone()
    };
    let mut measured: Vec<Measured> = std::thread::scope(|scope| {
        let asking: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(move || ask(server, name, options, cancel)))
            .collect();
        let answers = asking.into_iter().zip(servers).map(|(asked, server)| {
            let answer = asked.join().unwrap_or(Err(ProbeError::NotAsked));
            let server = server.clone();
            Measured { server, answer }
        });
        answers.collect()
    });
    // One at a time: two transfers would share the way to us.
    for at in best(&measured) {
        let one = &mut measured[at];
        let Ok(answer) = &mut one.answer else {
            continue;
        };
        if cancel.is_cancelled() {
            break;
        }
        match transfer(&one.server, name, answer.root, options) {
            Ok(transfer) => answer.transfer = transfer,
            Err(why) => one.answer = Err(why),
        }
    }
    let asked: Vec<usize> = best(&measured).collect();
    for at in asked {
        if cancel.is_cancelled() {
            break;
        }
        // The first that can tell; a publisher cannot.
        if let Some(order) = distances(&measured[at].server, servers, name, options) {
            for (place, server) in order.into_iter().enumerate() {
                if let Ok(answer) = &mut measured[server].answer {
                    answer.distance = Some(place + 1);
                }
            }
            break;
        }
    }
    measured
}

/// The places in the list of those that are worth a closer look, best first.
fn best(measured: &[Measured]) -> impl Iterator<Item = usize> + use<> {
    let best: Vec<usize> = rank(measured)
        .into_iter()
        .filter(|ranked| ranked.standing.is_good())
        .map(|ranked| ranked.index)
        .take(MOST_SERVERS)
        .collect();
    best.into_iter()
}

fn client(
    server: &ServerAddress,
    name: &RepositoryName,
    options: &ProbeOptions,
) -> Result<ObjectClient, ProbeError> {
    let address = server.repository(name);
    let Ok(url) = address.parse::<SafeUrl>() else {
        return Err(ProbeError::Address(address));
    };
    ObjectClient::new(options.fetch.clone(), url).map_err(ProbeError::NoAnswer)
}

/// The cause alone, without the address.
fn cause(error: &FetchError) -> String {
    match error {
        FetchError::NoSource { tried, .. } => match tried.last() {
            Some(tried) => with_causes(&tried.cause),
            None => error.to_string(),
        },
        other => with_causes(other),
    }
}

fn ask(
    server: &ServerAddress,
    name: &RepositoryName,
    options: &ProbeOptions,
    cancel: &Cancel,
) -> Result<Answer, ProbeError> {
    // A proxy that has an older manifest must not make its server look stale.
    let client = client(server, name, options)?.fresh();
    let begun = Instant::now();
    let (mut latencies, mut bytes) = (Vec::new(), Vec::new());
    while latencies.is_empty()
        || (latencies.len() < options.samples as usize && begun.elapsed() < options.patience)
    {
        if cancel.is_cancelled() {
            return Err(ProbeError::NotAsked);
        }
        let asked = Instant::now();
        let body = client.get(MANIFEST).map_err(ProbeError::NoAnswer)?;
        let mut body = body.ok_or(ProbeError::NoRepository)?;
        let (first, rest) = small(&mut body, asked, options.patience)?;
        latencies.push(first);
        bytes = rest;
    }
    latencies.sort_unstable();
    let source = InTime {
        source: HttpSource::new(client),
        until: Instant::now() + 2 * options.patience,
    };
    let repository = Repository::of_manifest(&source, bytes).map_err(ProbeError::Manifest)?;
    let manifest = repository.manifest();
    if manifest.name.as_ref() != Some(name) {
        let found = manifest.name.as_ref().map(ToString::to_string);
        return Err(ProbeError::OtherRepository(found.unwrap_or_default()));
    }
    // Otherwise one server with an invented revision would make all others look stale.
    let trust = repository.check_trust(&options.keys, Some(name), options.now);
    let (_, wrong) = trust.map_err(ProbeError::Proof)?;
    if let Some(wrong) = wrong.into_iter().next() {
        return Err(ProbeError::Untrusted(wrong));
    }
    Ok(Answer {
        latencies,
        revision: manifest.revision,
        published: manifest.timestamp,
        root: manifest.root_catalog,
        transfer: None,
        distance: None,
    })
}

/// A server whose documents have to be here by a certain moment. The time limits of connections are
/// those of single portions: what comes one byte at a time would never end.
struct InTime {
    source: HttpSource,
    until: Instant,
}

impl Source for InTime {
    fn describe(&self) -> String {
        self.source.describe()
    }

    fn open(&self, path: &str) -> Result<Option<Box<dyn Read + Send>>, StorageError> {
        let until = self.until;
        let body = self.source.open(path)?;
        Ok(body.map(|body| Box::new(ReadInTime { body, until }) as Box<dyn Read + Send>))
    }

    fn size(&self, path: &str) -> Result<Option<u64>, StorageError> {
        self.source.size(path)
    }
}

struct ReadInTime {
    body: Box<dyn Read + Send>,
    until: Instant,
}

impl Read for ReadInTime {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.until {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "it sends too slowly",
            ));
        }
        self.body.read(out)
    }
}

/// Reads a small document in time and says when its first byte came.
fn small(
    body: &mut impl Read,
    asked: Instant,
    patience: Duration,
) -> Result<(Duration, Vec<u8>), ProbeError> {
    let (mut bytes, mut portion) = (Vec::new(), vec![0; 16 << 10]);
    let mut first = None;
    loop {
        let count = match body.read(&mut portion) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ProbeError::Broken(error)),
        };
        let first = *first.get_or_insert_with(|| asked.elapsed());
        if count == 0 {
            return Ok((first, bytes));
        }
        bytes.extend_from_slice(&portion[..count]);
        if bytes.len() > MAX_SMALL {
            return Err(ProbeError::TooMuch);
        }
        if asked.elapsed() > 2 * patience {
            return Err(ProbeError::TooSlow);
        }
    }
}

/// Reads the root catalogue, or what comes of it in time.
fn transfer(
    server: &ServerAddress,
    name: &RepositoryName,
    root: ObjectHash,
    options: &ProbeOptions,
) -> Result<Option<Transfer>, ProbeError> {
    let client = client(server, name, options)?;
    let path = root.path(ObjectKind::Catalog);
    let body = client.get(&path).map_err(ProbeError::NoAnswer)?;
    let mut body = body.ok_or(ProbeError::Catalog)?;
    let (mut bytes, mut portion) = (Vec::new(), vec![0; 64 << 10]);
    let begun = Instant::now();
    let mut whole = false;
    while (bytes.len() as u64) < MAX_SAMPLE && begun.elapsed() < SAMPLE_TIME {
        match body.read(&mut portion) {
            Ok(0) => {
                whole = true;
                break;
            }
            Ok(count) => bytes.extend_from_slice(&portion[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ProbeError::Broken(error)),
        }
    }
    let time = begun.elapsed();
    if whole && root.algorithm.hash(&bytes) != root {
        return Err(ProbeError::Catalog);
    }
    let bytes = bytes.len() as u64;
    Ok((bytes >= MIN_SAMPLE).then_some(Transfer { bytes, time }))
}

/// The places of all servers in the order of their distance from us, as one of them sees it.
fn distances(
    server: &ServerAddress,
    servers: &[ServerAddress],
    name: &RepositoryName,
    options: &ProbeOptions,
) -> Option<Vec<usize>> {
    let client = client(server, name, options).ok()?;
    let hosts: Vec<&str> = servers.iter().map(ServerAddress::host).collect();
    // The first word is only a key for caches.
    let path = format!("api/v1.0/geo/cvmfs-sync/{}", hosts.join(","));
    let mut body = client.get(&path).ok()??;
    let (_, bytes) = small(&mut body, Instant::now(), options.patience).ok()?;
    order(std::str::from_utf8(&bytes).ok()?.trim(), servers.len())
}

/// An order such as `2,1,3`: every number once.
fn order(text: &str, count: usize) -> Option<Vec<usize>> {
    let mut order = Vec::new();
    for word in text.split(',') {
        let place = word.trim().parse::<usize>().ok()?.checked_sub(1)?;
        if place >= count || order.contains(&place) {
            return None;
        }
        order.push(place);
    }
    (order.len() == count).then_some(order)
}

#[cfg(test)]
mod tests {
    //! Answers of the Geo API.

    use super::order;

    #[test]
    fn only_a_whole_order_is_one() {
        assert_eq!(order("2,1, 3", 3), Some(vec![1, 0, 2]));
        for bad in [
            "", "1,2", "1,1,2", "0,1,2", "1,2,4", "1,2,3,3", "a,b,c", "<html>",
        ] {
            assert_eq!(order(bad, 3), None, "{bad}");
        }
    }
}
