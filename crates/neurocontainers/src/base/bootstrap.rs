//! Base images from a distribution's archive, by `mmdebstrap`.

use std::{
    fmt,
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nd_host::{Clock, Programs};
use nd_names::{Architecture, Sha256, Sha256Hasher};
use nd_oci::{Compression, Image};
use nd_report::{Cancel, Event, Reporter, StepId, StepOutcome};
use nd_sandbox::{Emulator, IdMode};
use nd_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Base, BaseArchives, BaseError, BaseKind, BaseOrigin,
    archive::{self, ArchiveState},
    inside, layer,
};
use crate::lock::{LocalArchives, SETTINGS};
use crate::machine::{AptSource, Machine, Mirrors, Redacted, Redactor, parse_list};

/// Kind of the records that remember the last base of a suite.
const LATEST: &str = "base-latest";
/// Kind of the records that remember bases by the state of the archive.
const STATES: &str = "base-state";
/// How long the archive's last answer is taken for granted.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// What is bootstrapped: a suite of a distribution, `debian:bullseye`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    distribution: String,
    suite: String,
}

impl FromStr for Bootstrap {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        let wrong = || BaseError::Distribution { what: text.into() };
        let (distribution, suite) = text.split_once(':').ok_or_else(wrong)?;
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !matches!(distribution, "debian" | "ubuntu")
            || suite.is_empty()
            || suite.starts_with('-')
            || !suite.chars().all(word)
        {
            return Err(wrong());
        }
        Ok(Self {
            distribution: distribution.into(),
            suite: suite.into(),
        })
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.distribution, self.suite)
    }
}

/// Makes base images.
pub struct Bootstrapper<'a> {
    /// Runs the tools.
    pub programs: &'a dyn Programs,
    /// Keeps what was made.
    pub store: &'a Store,
    /// Tells how old an answer is.
    pub clock: &'a dyn Clock,
    /// The machine's archives.
    pub machine: &'a Machine,
    /// Is told what happens, without addresses of the machine.
    pub reporter: &'a dyn Reporter,
    /// Stops the tools.
    pub cancel: &'a Cancel,
    /// Ids of the build.
    pub ids: IdMode,
    /// Runs the packages' scripts, where they are of another architecture.
    pub emulator: Option<&'a Emulator>,
    /// Whether the archive is asked even if it was asked within a day.
    pub refresh: bool,
    /// Whether the archive is not asked at all.
    pub offline: bool,
    /// Archives of this machine that are used in place of any other, in a state that is known.
    pub locked: Option<LockedState<'a>>,
    /// How the layer is compressed.
    pub compression: Compression,
}

/// Archives in a known state.
#[derive(Debug, Clone, Copy)]
pub struct LockedState<'a> {
    /// Digest over what they stated.
    pub digest: Sha256,
    /// The newest of their dates, seconds since 1970.
    pub date: i64,
    /// The archives; none while a base that is there already will do.
    pub archives: Option<&'a LocalArchives>,
}

impl fmt::Debug for Bootstrapper<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bootstrapper").finish_non_exhaustive()
    }
}

/// The last base of a suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Latest {
    /// When the archive was asked, seconds since 1970.
    asked: i64,
    made: Made,
}

/// A base that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Made {
    /// Digest of the image's manifest.
    image: Sha256,
    /// Digest of the archive's state.
    state: Sha256,
    /// Date of the archive, seconds since 1970.
    date: i64,
    /// The public sources, one line each.
    public: String,
}

impl Bootstrapper<'_> {
    /// The base image of a suite: from the store while the archive has not changed, asked at most
    /// once a day; else made anew. When the archive cannot be reached, the last one is used.
    pub fn prepare(
        &self,
        what: &Bootstrap,
        reference: &str,
        architecture: Architecture,
    ) -> Result<Base, BaseError> {
        if let Some(locked) = self.locked {
            return self.prepare_locked(what, reference, architecture, locked);
        }
        let key = self.key(&[&what.to_string(), architecture.as_str()]);
        let now = self.clock.now().as_second();
        if !self.refresh
            && let Some(latest) = self.latest(&key)?
            && (0..FRESH.as_secs() as i64).contains(&(now - latest.asked))
            && let Some(base) = self.load(&latest.made, what, reference, true)?
        {
            return Ok(base);
        }
        let _alone = self.store.lock(&key)?;
        if self.offline {
            let known = self.latest(&key)?.map(|latest| latest.made);
            let base = known.map(|made| self.load(&made, what, reference, true));
            let suite = what.to_string();
            return (base.transpose()?.flatten()).ok_or(BaseError::Offline { suite });
        }
        let public = archive::default_sources(self.programs, &what.suite)?;
        let mirrors = Mirrors::find(&public, self.machine.sources());
        let sources = mirrors.sources(&public);
        let mut note = |text: String| self.reporter.event(Event::Note { text: &text });
        let answer = archive::ask(self.programs, &sources, self.store.temporary(), &mut note)?;
        let state = match answer {
            Ok(state) => state,
            Err(source) => {
                let suite = what.to_string();
                let known = self.latest(&key)?.map(|latest| latest.made);
                let base = known.map(|made| self.load(&made, what, reference, true));
                let Some(base) = base.transpose()?.flatten() else {
                    return Err(BaseError::Unreachable { suite, source });
                };
                note(format!(
                    "the archive of `{suite}` cannot be reached: using the last base"
                ));
                return Ok(base);
            }
        };
        let state_key = self.key(&[
            &what.to_string(),
            architecture.as_str(),
            &state.digest.hex(),
        ]);
        let known: Option<Made> = self.document(STATES, &state_key)?;
        if let Some(made) = known
            && let Some(base) = self.load(&made, what, reference, true)?
        {
            self.keep(LATEST, &key, &Latest { asked: now, made })?;
            return Ok(base);
        }
        let redactor = self.machine.redactor(&mirrors);
        let made = self
            .make(what, architecture, &public, &state, &redactor)
            .map_err(|error| error.redacted(&redactor))?;
        self.keep(STATES, &state_key, &made)?;
        let base = self.load(&made, what, reference, false)?;
        let base = base.ok_or_else(|| BaseError::NoImage {
            path: self.store.root().into(),
            problem: "the base that was just made is gone",
        })?;
        self.keep(LATEST, &key, &Latest { asked: now, made })?;
        Ok(base)
    }

    /// The base of a known state of the archives: from the store, else made from archives that lie
    /// on this machine.
    fn prepare_locked(
        &self,
        what: &Bootstrap,
        reference: &str,
        architecture: Architecture,
        locked: LockedState<'_>,
    ) -> Result<Base, BaseError> {
        let words = [
            &what.to_string(),
            architecture.as_str(),
            &locked.digest.hex(),
        ];
        let key = self.key(&words);
        let _alone = self.store.lock(&key)?;
        if let Some(made) = self.document(STATES, &key)?
            && let Some(base) = self.load(&made, what, reference, true)?
        {
            return Ok(base);
        }
        let suite = what.to_string();
        let archives = locked.archives.ok_or(BaseError::Offline { suite })?;
        let state = ArchiveState {
            digest: locked.digest,
            date: locked.date,
            sources: Vec::new(),
        };
        let public = archives.public();
        let redactor = self
            .machine
            .redactor(&Mirrors::find(public, self.machine.sources()));
        let made = self
            .make(what, architecture, public, &state, &redactor)
            .map_err(|error| error.redacted(&redactor))?;
        self.keep(STATES, &key, &made)?;
        let base = self.load(&made, what, reference, false)?;
        base.ok_or_else(|| BaseError::NoImage {
            path: self.store.root().into(),
            problem: "the base that was just made is gone",
        })
    }

    fn key(&self, words: &[&str]) -> Sha256 {
        let mut hash = Sha256Hasher::default();
        let ids = self.ids.name();
        hash.update(format!(
            "base {} {:?} {ids}",
            layer::VERSION,
            self.compression
        ));
        for word in words {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word);
        }
        hash.finish()
    }

    fn latest(&self, key: &Sha256) -> Result<Option<Latest>, BaseError> {
        self.document(LATEST, key)
    }

    fn document<T: for<'de> Deserialize<'de>>(
        &self,
        kind: &str,
        key: &Sha256,
    ) -> Result<Option<T>, BaseError> {
        let bytes = self.store.record(kind, key)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn keep(&self, kind: &str, key: &Sha256, value: &impl Serialize) -> Result<(), BaseError> {
        Ok(self
            .store
            .put_record(kind, key, &serde_json::to_vec(value)?)?)
    }

    /// The base, unless something of it was pruned.
    fn load(
        &self,
        made: &Made,
        what: &Bootstrap,
        reference: &str,
        cached: bool,
    ) -> Result<Option<Base>, BaseError> {
        if self.store.blob(&made.image)?.is_none() {
            return Ok(None);
        }
        let Ok(image) = Image::load(self.store, made.image) else {
            return Ok(None);
        };
        for layer in &image.layers {
            if self.store.blob(&layer.digest)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(Base {
            origin: BaseOrigin {
                name: reference.into(),
                digest: image.digest.oci(),
                how: BaseKind::Bootstrap {
                    bootstrap: what.to_string(),
                    archive_state: made.state.oci(),
                    archive_date: date_text(made.date),
                },
            },
            image,
            cached,
            made_from: Some(BaseArchives {
                public: parse_list(&made.public),
                lists: vec![("/etc/apt/sources.list".into(), made.public.clone())],
            }),
        }))
    }

    fn make(
        &self,
        what: &Bootstrap,
        architecture: Architecture,
        public: &[AptSource],
        state: &ArchiveState,
        redactor: &Redactor,
    ) -> Result<Made, BaseError> {
        let id = StepId(u32::MAX);
        let title = format!("bootstrap {what}");
        let started = Instant::now();
        self.reporter.event(Event::Started {
            id,
            title: &title,
            bytes: None,
        });
        let reporter = Redacted {
            to: self.reporter,
            redactor: redactor.clone(),
        };
        let made = self.run(what, architecture, public, state, (&reporter, id));
        let outcome = match made {
            Ok(_) => StepOutcome::Done,
            Err(_) => StepOutcome::Failed,
        };
        self.reporter.event(Event::Finished {
            id,
            outcome,
            took: started.elapsed(),
        });
        made
    }

    fn run(
        &self,
        what: &Bootstrap,
        architecture: Architecture,
        public: &[AptSource],
        state: &ArchiveState,
        (reporter, id): (&dyn Reporter, StepId),
    ) -> Result<Made, BaseError> {
        let tool = archive::find(self.programs)?;
        let temporary = self.store.temporary();
        let folder = tempfile::tempdir_in(temporary).map_err(BaseError::io(temporary))?;
        let tar = folder.path().join(inside::TAR);
        let mut words: Vec<String> = [
            "--variant=minbase",
            "--format=tar",
            "--skip=output/dev",
            "--mode=root",
            &format!("--architectures={}", architecture.oci()),
        ]
        .map(Into::into)
        .into();
        for setting in self.machine.apt_settings() {
            words.push(format!("--aptopt={setting}"));
        }
        let mut sources: Vec<String> = state.sources.iter().map(AptSource::line).collect();
        if let Some(archives) = self.locked.and_then(|locked| locked.archives) {
            let place = folder.path().join("archives");
            fs_err::create_dir(&place).map_err(BaseError::io(&place))?;
            archives.lay(&place).map_err(BaseError::io(&place))?;
            let seen = Path::new(inside::FOLDER).join("archives");
            let lines = archives.sources_at("copy", &seen);
            sources = lines.iter().map(AptSource::line).collect();
            words.extend(SETTINGS.iter().map(|line| format!("--aptopt={line}")));
        }
        let mut on_line = |stream, line: &[u8]| {
            if archive::worth_showing(stream, line) {
                reporter.event(Event::Output { id, line });
            }
        };
        let epoch = state.date.to_string();
        inside::bootstrap(
            inside::Tool {
                path: &tool,
                words,
                suite: &what.suite,
                sources,
                epoch: &epoch,
                emulator: self.emulator,
            },
            folder.path(),
            self.ids,
            self.cancel,
            &mut on_line,
        )?;
        let mut lines: Vec<String> = public.iter().map(AptSource::line).collect();
        lines.push(String::new());
        let public = lines.join("\n");
        let image = self.image(what, architecture, &tar, &public, state.date)?;
        Ok(Made {
            image,
            state: state.digest,
            date: state.date,
            public,
        })
    }

    /// Writes layer, configuration and manifest into the store.
    fn image(
        &self,
        what: &Bootstrap,
        architecture: Architecture,
        tar: &Path,
        public: &str,
        date: i64,
    ) -> Result<Sha256, BaseError> {
        let layer = layer::write_base_layer(self.store, tar, public, date, self.compression)?;
        let created = date_text(date);
        let config = json!({
            "architecture": architecture.oci(),
            "os": "linux",
            "created": created,
            "config": {
                "Cmd": ["bash"],
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            },
            "rootfs": { "type": "layers", "diff_ids": [layer.diff_id.oci()] },
            "history": [{ "created": created, "created_by": format!("mmdebstrap --variant=minbase {}", what.suite) }],
        });
        layer::keep_image(self.store, &config, &layer)
    }
}

fn date_text(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| String::new(), |stamp| stamp.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_suites_of_known_distributions_are_taken() {
        for good in [
            "debian:bullseye",
            "ubuntu:noble",
            "debian:bookworm-backports",
        ] {
            assert_eq!(good.parse::<Bootstrap>().unwrap().to_string(), good);
        }
        for bad in [
            "debian",
            "debian:",
            "fedora:41",
            "debian:--help",
            "debian:a b",
            "debian:../x",
        ] {
            assert!(bad.parse::<Bootstrap>().is_err(), "{bad}");
        }
    }
}
