//! One writer at a time, by an object that its holder renews.

use std::{
    io::{self, Read as _},
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nd_cvmfs::{Guard, StorageError};
use nd_fetch::s3::{Bucket, Condition, Described, S3Error, Stored};

/// Where the lease is; it is no object of the repository.
pub(super) const NAME: &str = "data/txn/cvmfs-sync.lock";
/// A lease that was not renewed for so long is nobody's.
const TERM: Duration = Duration::from_secs(60);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(15);
/// A holder that could not renew for so long stops by itself, before others may begin.
const DOUBT: Duration = Duration::from_secs(45);
/// The largest lease, in bytes.
const SMALL: u64 = 4096;

/// The object as its holder sees it.
pub(super) struct Lease {
    bucket: Arc<Bucket>,
    key: String,
    text: String,
    state: Mutex<State>,
    stop: Condvar,
}

struct State {
    tag: String,
    renewed: Instant,
    is_lost: bool,
    is_over: bool,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn failed(key: &str) -> impl FnOnce(S3Error) -> StorageError {
    let key = key.to_owned();
    move |error| StorageError::io(key, io::Error::other(error))
}

fn lost() -> StorageError {
    StorageError::Busy("its lock could not be kept, others may have it".to_owned())
}

/// Locks are no object that anybody should keep a copy of.
const DESCRIBED: Described<'static> = Described {
    content_type: Some("text/plain"),
    cache_control: Some("no-store"),
};

impl Lease {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses when others may have the lease.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        let state = self.state();
        if state.is_lost || state.renewed.elapsed() > DOUBT {
            return Err(lost());
        }
        Ok(())
    }

    /// Writes it again if it still is ours.
    pub(super) fn renew(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        if state.is_lost {
            return Err(lost());
        }
        let begun = Instant::now();
        let put = |tag: &str| {
            let condition = Condition::Is(tag);
            self.bucket
                .put_if(&self.key, self.text.as_bytes(), DESCRIBED, condition)
                .map_err(failed(&self.key))
        };
        let mut tag = put(&state.tag)?;
        if tag.is_none() {
            // An attempt whose answer was lost is ours all the same: nobody else writes these bytes.
            tag = match read(&self.bucket, &self.key)? {
                Some((stored, text)) if text == self.text => stored.etag,
                _ => None,
            };
        }
        let Some(tag) = tag else {
            state.is_lost = true;
            return Err(lost());
        };
        state.tag = tag;
        state.renewed = begun;
        Ok(())
    }

    fn keep(&self) {
        let goes_on = |state: &mut State| !(state.is_over || state.is_lost);
        loop {
            // It may be over before this is come to, and nobody says so again.
            let (mut state, _) = (self.stop)
                .wait_timeout_while(self.state(), RENEW, goes_on)
                .unwrap_or_else(PoisonError::into_inner);
            if !goes_on(&mut state) {
                return;
            }
            drop(state);
            // What does not work this time may the next time; [`Self::check`] knows how long ago it did.
            let _ = self.renew();
        }
    }
}

/// The lock while it is held.
pub(super) struct Leased {
    lease: Arc<Lease>,
    thread: Option<JoinHandle<()>>,
}

impl Leased {
    /// Takes the lease: there is none, or its holder is gone.
    pub(super) fn take(bucket: &Arc<Bucket>, key: &str) -> Result<Self, StorageError> {
        let text = holder().map_err(|error| StorageError::io(key, error))?;
        let put = |condition: Condition<'_>| {
            bucket
                .put_if(key, text.as_bytes(), DESCRIBED, condition)
                .map_err(failed(key))
        };
        let begun = Instant::now();
        let mut tag = put(Condition::Absent)?;
        if tag.is_none()
            && let Some((stored, there)) = read(bucket, key)?
        {
            if there == text {
                // Ours: the answer to the first attempt was lost.
                tag = stored.etag;
            } else if is_over(&stored, &there)
                && let Some(etag) = &stored.etag
            {
                tag = put(Condition::Is(etag))?;
            }
        }
        let Some(tag) = tag else {
            let text = "another `cvmfs-sync` changes it, or was killed within the last minute";
            return Err(StorageError::Busy(text.to_owned()));
        };
        let lease = Arc::new(Lease {
            bucket: bucket.clone(),
            key: key.to_owned(),
            text: text.clone(),
            state: Mutex::new(State {
                tag,
                renewed: begun,
                is_lost: false,
                is_over: false,
            }),
            stop: Condvar::new(),
        });
        let mut leased = Self {
            lease: lease.clone(),
            thread: None,
        };
        // A store that writes whatever the condition is would let two publishers at work.
        if let Some(tag) = put(Condition::Absent)? {
            leased.lease.state().tag = tag;
            let text = "the store heeds no `If-None-Match`, so that nobody can be kept out";
            return Err(StorageError::io(key, io::Error::other(text)));
        }
        leased.thread = Some(std::thread::spawn(move || lease.keep()));
        Ok(leased)
    }

    pub(super) fn weak(&self) -> Weak<Lease> {
        Arc::downgrade(&self.lease)
    }
}

impl Guard for Leased {
    fn reflog_written(&self, _: &str) -> Result<(), StorageError> {
        Ok(())
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        let lease = &self.lease;
        lease.state().is_over = true;
        lease.stop.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only waits, or renews, which ends.
            let _ = thread.join();
        }
        // Nobody else's: there is no conditional removal, so the last word of its owner is asked for.
        if lease.renew().is_ok() {
            let _ = lease.bucket.delete(&lease.key);
        }
    }
}

fn read(bucket: &Bucket, key: &str) -> Result<Option<(Stored, String)>, StorageError> {
    let Some((stored, body)) = bucket.get(key).map_err(failed(key))? else {
        return Ok(None);
    };
    let mut text = Vec::new();
    (body.take(SMALL).read_to_end(&mut text)).map_err(|error| StorageError::io(key, error))?;
    Ok(Some((stored, String::from_utf8_lossy(&text).into_owned())))
}

/// Whether nobody has the lease any more: it was not renewed, or its holder was a process of this
/// machine that has ended.
fn is_over(stored: &Stored, text: &str) -> bool {
    if stored.age.is_some_and(|age| age > TERM) {
        return true;
    }
    let mut lines = text.lines();
    let (Some(machine), Some(process)) = (lines.next(), lines.next()) else {
        return false;
    };
    if machine_name().ok().as_deref() != Some(machine) {
        return false;
    }
    let Some((pid, started)) = process.split_once(' ') else {
        return false;
    };
    pid.parse::<u32>().is_ok() && start_of(pid).as_deref() != Some(started)
}

/// What this process is called in a lease: its machine, itself, and a number for each time.
fn holder() -> io::Result<String> {
    let pid = rustix::process::getpid().as_raw_nonzero().to_string();
    let started = start_of(&pid).unwrap_or_default();
    let number = uuid()?;
    Ok(format!("{}\n{pid} {started}\n{number}", machine_name()?))
}

/// A name that no other machine, and no other run of this one, has; containers count as machines.
fn machine_name() -> io::Result<String> {
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let processes = fs_err::read_link("/proc/self/ns/pid")?;
    Ok(format!("{} {}", boot.trim(), processes.display()))
}

fn uuid() -> io::Result<String> {
    Ok(fs_err::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .to_owned())
}

/// When a process of this machine was started, in ticks since the machine was.
fn start_of(pid: &str) -> Option<String> {
    let text = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may hold anything; what follows its last bracket does not.
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().nth(19)?.to_owned())
}

#[cfg(test)]
mod tests {
    //! Who is gone.

    use super::*;

    #[test]
    fn a_lease_is_over_when_it_is_old_or_its_process_has_ended() {
        let stored = |seconds| Stored {
            bytes: 1,
            etag: None,
            sha256: None,
            age: Some(Duration::from_secs(seconds)),
        };
        let mine = holder().unwrap();
        assert!(!is_over(&stored(5), &mine));
        assert!(is_over(&stored(61), &mine));
        let pid = rustix::process::getpid().as_raw_nonzero();
        let reused = format!("{}\n{pid} 1\nx", machine_name().unwrap());
        assert!(is_over(&stored(5), &reused));
        for other in ["", "elsewhere\n1 2\nx", "x"] {
            assert!(!is_over(&stored(5), other), "{other}");
        }
    }
}
