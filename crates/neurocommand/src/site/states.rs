//! The states that a site was in, newest last, so that it can go back.
//!
//! `PREFIX/.state/states/NUMBER.lock` is a lock of what was installed; `pending.lock` is what a change
//! that has not ended leads to, `back.lock` the state that an unfinished way back leads to. Changes
//! hold a file lock, so that there is one at a time.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use nd_host::{FileLock, write_atomic};
use nd_names::Sha256;
use transparent_singularity::Site;

use super::{LockError, SiteLock};

const PENDING: &str = "pending.lock";
const BACK: &str = "back.lock";

/// The states of a site, for one change.
#[derive(Debug)]
pub struct States {
    folder: PathBuf,
    /// Newest last.
    all: Vec<(u64, SiteLock)>,
    pending: Option<SiteLock>,
    back: Option<SiteLock>,
    _alone: FileLock,
}

/// Why states cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StatesError {
    /// Somebody else is changing the site.
    #[error("another program is changing the containers of `{}`", .0.display())]
    Busy(PathBuf),
    /// A file cannot be read or written.
    #[error("failed to access `{}`", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that is no state.
    #[error("`{}` is no state of a site", path.display())]
    Lock {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: LockError,
    },
}

fn fail(path: &Path) -> impl FnOnce(io::Error) -> StatesError {
    let path = path.to_owned();
    move |source| StatesError::Io { path, source }
}

fn read(path: &Path) -> Result<SiteLock, StatesError> {
    let text = fs_err::read_to_string(path).map_err(fail(path))?;
    SiteLock::parse(&text).map_err(|source| StatesError::Lock {
        path: path.to_owned(),
        source,
    })
}

impl States {
    /// The states of `site`; nobody else changes them while the value lives.
    ///
    /// # Errors
    ///
    /// [`StatesError::Busy`] at once when somebody else is at it.
    pub fn open(site: &Site) -> Result<Self, StatesError> {
        let folder = site.state().join("states");
        fs_err::create_dir_all(&folder).map_err(fail(&folder))?;
        let mark = folder.join("in-use");
        let alone = FileLock::try_exclusive(&mark).map_err(fail(&mark))?;
        let alone = alone.ok_or_else(|| StatesError::Busy(site.prefix().to_owned()))?;
        nd_host::remove_abandoned(&folder).map_err(fail(&folder))?;
        let mut numbers = Vec::new();
        for entry in fs_err::read_dir(&folder).map_err(fail(&folder))? {
            let name = entry.map_err(fail(&folder))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".lock"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let load = |number: u64| Ok((number, read(&numbered(&folder, number))?));
        let all = numbers.into_iter().map(load).collect::<Result<_, _>>()?;
        let unfinished = |name: &str| {
            let path = folder.join(name);
            path.is_file().then(|| read(&path)).transpose()
        };
        Ok(Self {
            all,
            pending: unfinished(PENDING)?,
            back: unfinished(BACK)?,
            folder,
            _alone: alone,
        })
    }

    /// What an earlier change that did not end was leading to.
    pub fn pending(&self) -> Option<&SiteLock> {
        self.pending.as_ref()
    }

    /// The newest state.
    pub fn last(&self) -> Option<&SiteLock> {
        self.all.last().map(|(_, lock)| lock)
    }

    /// The state to go back to: the one before the newest, the newest itself when a change away from it
    /// has not ended, and that of a way back that has not ended.
    pub fn before(&self) -> Option<&SiteLock> {
        if self.back.is_some() {
            return self.back.as_ref();
        }
        let back = if self.pending.is_some() { 1 } else { 2 };
        let at = self.all.len().checked_sub(back)?;
        self.all.get(at).map(|(_, lock)| lock)
    }

    /// Notes that the site is about to change from `there` to `wanted`.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin(&mut self, there: &SiteLock, wanted: &SiteLock) -> Result<(), StatesError> {
        // After a change that did not end, the site is in no state that anybody wanted.
        let is_whole = self.pending.is_none() && self.back.is_none();
        if is_whole && self.last() != Some(there) {
            self.push(there)?;
        }
        self.write(PENDING, wanted)?;
        self.pending = Some(wanted.clone());
        Ok(())
    }

    /// Notes that the change has ended, and that `there` is what is installed now.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end(&mut self, there: &SiteLock) -> Result<(), StatesError> {
        if self.last() != Some(there) {
            self.push(there)?;
        }
        self.nothing_unfinished()
    }

    /// Notes that the site is about to go back to [`Self::before`].
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin_back(&mut self) -> Result<(), StatesError> {
        if let Some(wanted) = self.before().cloned() {
            self.write(BACK, &wanted)?;
            self.back = Some(wanted);
        }
        Ok(())
    }

    /// Notes that the site is back; the state that it came from is forgotten.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end_back(&mut self) -> Result<(), StatesError> {
        // A state never equals the one before it: what is the newest now was not the newest before.
        if self.back.as_ref() != self.last()
            && let Some((number, _)) = self.all.pop()
        {
            let path = numbered(&self.folder, number);
            fs_err::remove_file(&path).map_err(fail(&path))?;
        }
        self.nothing_unfinished()
    }

    /// Forgets all but the newest `keep` states; gives how many that are.
    ///
    /// # Errors
    ///
    /// When a file cannot be removed.
    pub fn forget_older(&mut self, keep: usize) -> Result<usize, StatesError> {
        let old = self.all.len().saturating_sub(keep);
        for (number, _) in self.all.drain(..old) {
            let path = numbered(&self.folder, number);
            fs_err::remove_file(&path).map_err(fail(&path))?;
        }
        Ok(old)
    }

    /// Every image that one of the newest `keep` states needs, or that an unfinished change leads to.
    pub fn needed(&self, keep: usize) -> BTreeSet<Sha256> {
        let old = self.all.len().saturating_sub(keep);
        let states = self.all[old..].iter().map(|(_, lock)| lock);
        let unfinished = self.pending.iter().chain(&self.back);
        let containers = states.chain(unfinished).flat_map(SiteLock::containers);
        containers.filter_map(|pinned| pinned.sha256).collect()
    }

    /// How many states there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    fn push(&mut self, lock: &SiteLock) -> Result<(), StatesError> {
        let number = self.all.last().map_or(1, |(number, _)| number + 1);
        let path = numbered(&self.folder, number);
        write_atomic(&path, lock.render().as_bytes()).map_err(fail(&path))?;
        self.all.push((number, lock.clone()));
        Ok(())
    }

    fn write(&self, name: &str, lock: &SiteLock) -> Result<(), StatesError> {
        let path = self.folder.join(name);
        write_atomic(&path, lock.render().as_bytes()).map_err(fail(&path))
    }

    fn nothing_unfinished(&mut self) -> Result<(), StatesError> {
        for name in [PENDING, BACK] {
            let path = self.folder.join(name);
            match fs_err::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(fail(&path)(error));
                }
                _ => {}
            }
        }
        (self.pending, self.back) = (None, None);
        Ok(())
    }
}

fn numbered(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(date: &str) -> SiteLock {
        let text = format!(
            "version = 1\n[[container]]\nname = \"a\"\nversion = \"1\"\ndate = \"{date}\"\n"
        );
        SiteLock::parse(&text).unwrap()
    }

    #[test]
    fn an_unfinished_change_does_not_become_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::new(folder.path());
        let (empty, one, two) = (SiteLock::of(&[]), lock("20240101"), lock("20240102"));
        let mut states = States::open(&site).unwrap();
        assert!(matches!(States::open(&site), Err(StatesError::Busy(_))));
        states.begin(&empty, &one).unwrap();
        states.end(&one).unwrap();
        states.begin(&one, &two).unwrap();
        drop(states);
        // Killed half-way, with nothing installed; going back leads to the first state all the same.
        let mut states = States::open(&site).unwrap();
        assert_eq!(
            (states.pending(), states.before()),
            (Some(&two), Some(&one))
        );
        states.begin(&empty, &two).unwrap();
        states.end(&two).unwrap();
        assert_eq!((states.count(), states.before()), (3, Some(&one)));
        states.begin_back().unwrap();
        drop(states);
        // Killed while going back: it goes to the same state.
        let mut states = States::open(&site).unwrap();
        assert_eq!(states.before(), Some(&one));
        states.begin_back().unwrap();
        states.end_back().unwrap();
        assert_eq!((states.last(), states.before()), (Some(&one), Some(&empty)));
        assert_eq!(states.forget_older(1).unwrap(), 1);
        assert_eq!((states.count(), states.before()), (1, None));
    }
}
