//! What a step answers.

use nd_cvmfs::{MANIFEST, Manifest, Repository, WHITELIST, Whitelist};
use nd_fetch::{FetchOptions, ObjectClient, Retries, SafeUrl, Timeouts};
use nd_host::{NodeKind, ProgramError};
use nd_names::Sha256Hasher;

use super::{Machine, OWN, StepError, io_at};
use crate::{
    HttpSource,
    server::{
        content::Fit,
        description::Family,
        files::ConfigFile,
        step::{Action, CommandLine, State, Step, Test},
        steps::KEYS,
    },
};

fn pending(why: impl Into<String>) -> State {
    State::Pending(why.into())
}

impl Machine<'_> {
    /// What a step answers. Changes nothing.
    pub fn state(&self, step: &Step) -> Result<State, StepError> {
        match &step.action {
            Action::File(file) => self.file_state(file),
            Action::Directory { path, .. } => Ok(match self.kind(path, true)? {
                Some(NodeKind::Directory) => State::Done,
                Some(_) => State::Different(format!("`{path}` is no folder")),
                None => pending(format!("`{path}` is missing")),
            }),
            Action::Link { at, to } => self.link_state(at, to),
            Action::Packages { family, names } => self.packages_state(*family, names),
            Action::Program { done, .. } => self.test(done),
            Action::Format { device } => self.device_state(device),
            Action::Service { name, reads, .. } => self.service_state(name, reads),
            Action::Answers { address } => Ok(self.answer(address)),
        }
    }

    pub(super) fn kind(&self, path: &str, follow: bool) -> Result<Option<NodeKind>, StepError> {
        let node = self.root.node(path.as_bytes(), follow);
        Ok(node.map_err(io_at(path))?.map(|node| node.kind))
    }

    fn file_state(&self, file: &ConfigFile) -> Result<State, StepError> {
        let path = &file.path;
        let now = self.text(path)?;
        Ok(match (file.content.fit(now.as_deref()), &now) {
            (Fit::Same, _) => {
                let node = self.root.node(path.as_bytes(), true).map_err(io_at(path))?;
                match node.map(|node| node.mode) {
                    Some(mode) if mode != file.mode => {
                        pending(format!("has mode {mode:o} rather than {:o}", file.mode))
                    }
                    _ => State::Done,
                }
            }
            (Fit::Lacks, None) => pending("is missing"),
            (Fit::Lacks, Some(_)) => pending("lacks settings"),
            (Fit::Differs, Some(text)) if self.is_untouched(path, text)? => {
                pending("holds what nobody changed")
            }
            (Fit::Differs, _) => State::Different("holds something else".to_owned()),
        })
    }

    fn link_state(&self, at: &str, to: &str) -> Result<State, StepError> {
        let there = self.kind(to, true)?;
        Ok(match self.kind(at, false)? {
            Some(NodeKind::Symlink) => {
                let text = self.root.read_link(at.as_bytes()).map_err(io_at(at))?;
                match there {
                    _ if text != to.as_bytes() => {
                        let text = String::from_utf8_lossy(&text).into_owned();
                        State::Different(format!("`{at}` leads to `{text}`"))
                    }
                    Some(NodeKind::Directory) => State::Done,
                    Some(_) => State::Different(format!("`{to}` is no folder")),
                    None => pending(format!("`{to}` is missing")),
                }
            }
            Some(NodeKind::Directory) => {
                let names = self.root.names(at.as_bytes()).map_err(io_at(at))?;
                match there {
                    _ if names.is_empty() => pending("is an empty folder"),
                    None => pending("is a folder that has to move"),
                    Some(_) => State::Different(format!("`{at}` and `{to}` both hold something")),
                }
            }
            Some(_) => State::Different(format!("`{at}` is no folder")),
            None => pending("is missing"),
        })
    }

    fn packages_state(&self, family: Family, names: &[String]) -> Result<State, StepError> {
        let mut missing = Vec::new();
        for name in names {
            let mut query: CommandLine = match family {
                Family::Dnf => vec!["rpm".into(), "--query".into(), "--quiet".into()],
                Family::Apt => {
                    let format = "--showformat=${db:Status-Status}".to_owned();
                    vec!["dpkg-query".into(), "--show".into(), format]
                }
            };
            query.push(name.clone());
            let finished = self.run(&query)?;
            // What was removed and left settings behind is known, but not installed.
            let removed = family == Family::Apt && finished.text() != "installed";
            if !finished.outcome.success() || removed {
                missing.push(name.as_str());
            }
        }
        Ok(match &missing[..] {
            [] => State::Done,
            names => pending(format!("not installed: {}", names.join(", "))),
        })
    }

    /// Whether a program ends with success; one that is not there does not.
    fn succeeds(&self, words: &CommandLine) -> Result<bool, StepError> {
        match self.run(words) {
            Ok(finished) => Ok(finished.outcome.success()),
            Err(ProgramError::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn test(&self, test: &Test) -> Result<State, StepError> {
        Ok(match test {
            Test::Succeed(all) => {
                for words in all {
                    if !self.succeeds(words)? {
                        return Ok(pending(format!("`{}` fails", words.join(" "))));
                    }
                }
                State::Done
            }
            Test::Fail(all) => {
                for words in all {
                    if self.succeeds(words)? {
                        return Ok(pending(format!("`{}` succeeds", words.join(" "))));
                    }
                }
                State::Done
            }
            Test::AnyOf(tests) => {
                let mut last = State::Done;
                for test in tests {
                    last = self.test(test)?;
                    if last == State::Done {
                        break;
                    }
                }
                last
            }
            Test::Exists(path) => match self.kind(path, true)? {
                Some(_) => State::Done,
                None => pending(format!("`{path}` is missing")),
            },
            Test::ExistsWithout(path, other) => {
                match (self.kind(path, true)?, self.kind(other, true)?) {
                    (_, Some(_)) => State::Different(format!("`{other}` is there")),
                    (Some(_), None) => State::Done,
                    (None, None) => pending(format!("`{path}` is missing")),
                }
            }
            Test::LeadsTo(path, end) => match self.kind(path, false)? {
                Some(NodeKind::Symlink) => {
                    let text = self.root.read_link(path.as_bytes()).map_err(io_at(path))?;
                    if text.ends_with(end.as_bytes()) {
                        State::Done
                    } else {
                        pending(format!("it is `{}`", String::from_utf8_lossy(&text)))
                    }
                }
                _ => pending(format!("`{path}` is missing")),
            },
            Test::Mounted(path) => {
                let mounts = self.bytes("/proc/self/mountinfo")?.unwrap_or_default();
                let is = |line: &[u8]| {
                    let mut words = line.split(|&byte| byte == b' ');
                    words.nth(4) == Some(path.as_bytes())
                };
                if mounts.split(|&byte| byte == b'\n').any(is) {
                    State::Done
                } else {
                    pending("it is not mounted")
                }
            }
            Test::Revision(storage, wanted) => match self.letter(storage, MANIFEST)? {
                None => pending("nothing is published"),
                Some(payload) => match Manifest::parse_lines(&payload) {
                    Ok(manifest) if manifest.revision >= *wanted => State::Done,
                    Ok(manifest) => pending(format!("at revision {}", manifest.revision)),
                    Err(error) => pending(error.to_string()),
                },
            },
            Test::Whitelist(storage, hours) => match self.letter(storage, WHITELIST)? {
                None => pending("there is no whitelist"),
                Some(payload) => match Whitelist::parse_lines(&payload) {
                    Ok(whitelist) if whitelist.hours_left(self.now) >= *hours => State::Done,
                    Ok(whitelist) => {
                        let left = whitelist.hours_left(self.now);
                        pending(format!("{left} hours are left"))
                    }
                    Err(error) => pending(error.to_string()),
                },
            },
            Test::Listed(path) => match self.root.names(path.as_bytes()) {
                Ok(names) if !names.is_empty() => State::Done,
                Ok(_) => pending(format!("`{path}` is empty")),
                Err(error) => pending(format!("`{path}` cannot be listed: {error}")),
            },
            Test::KeyModes { folder, name } => self.key_modes(folder, name)?,
        })
    }

    /// The lines of a signed letter in a storage, without its signature.
    fn letter(&self, storage: &str, name: &str) -> Result<Option<Vec<u8>>, StepError> {
        let path = format!("{storage}/{name}");
        let Some(mut bytes) = self.bytes(&path)? else {
            return Ok(None);
        };
        if let Some(end) = bytes.windows(4).position(|at| at == b"\n--\n") {
            bytes.truncate(end + 1);
        }
        Ok(Some(bytes))
    }

    fn key_modes(&self, folder: &str, name: &str) -> Result<State, StepError> {
        for end in KEYS {
            let path = format!("{folder}/{name}.{end}");
            let wanted = if end.ends_with("key") { 0o600 } else { 0o644 };
            let node = self
                .root
                .node(path.as_bytes(), true)
                .map_err(io_at(&path))?;
            match node.map(|node| node.mode) {
                Some(mode) if mode == wanted => {}
                Some(mode) => {
                    return Ok(pending(format!("`{path}` has mode {mode:o}")));
                }
                None => return Ok(pending(format!("`{path}` is missing"))),
            }
        }
        Ok(State::Done)
    }

    fn service_state(&self, name: &str, reads: &[String]) -> Result<State, StepError> {
        for asked in ["is-enabled", "is-active"] {
            let words = ["systemctl", asked, "--quiet", name].map(str::to_owned);
            if !self.succeeds(&words.to_vec())? {
                return Ok(pending(format!("`systemctl {asked} {name}` fails")));
            }
        }
        let started = self.text(&stamp(name))?;
        Ok(
            if reads.is_empty() || started == Some(self.digest(reads)?) {
                State::Done
            } else {
                pending("it was not started with this configuration")
            },
        )
    }

    /// What tells whether a service was started with the files that are there.
    pub(super) fn digest(&self, reads: &[String]) -> Result<String, StepError> {
        let mut all = Sha256Hasher::default();
        for path in reads {
            let text = self.text(path)?.unwrap_or_default();
            all.update((text.len() as u64).to_le_bytes());
            all.update(text);
        }
        let digest = all.finish();
        Ok(format!("{}\n", digest.hex()))
    }

    /// Whether the repository's manifest comes from `address`, without patience: the servers asked are
    /// on this machine.
    fn answer(&self, address: &str) -> State {
        let options = FetchOptions {
            retries: Retries {
                attempts: 1,
                ..Retries::default()
            },
            timeouts: Timeouts {
                connect: std::time::Duration::from_secs(5),
                idle: std::time::Duration::from_secs(20),
            },
            ..self.fetch.clone()
        };
        let Ok(url) = address.parse::<SafeUrl>() else {
            return pending(format!("`{address}` is no address"));
        };
        let source = match ObjectClient::new(options, url) {
            Ok(client) => HttpSource::new(client),
            Err(error) => return pending(nd_report::with_causes(&error)),
        };
        match Repository::open(&source) {
            Ok(repository) => match &repository.manifest().name {
                Some(name) if address.ends_with(&format!("/{name}")) => State::Done,
                _ => pending("the manifest is that of another repository"),
            },
            Err(error) => pending(nd_report::with_causes(&error)),
        }
    }
}

/// The file that says what a service was started with.
pub(super) fn stamp(service: &str) -> String {
    format!("{OWN}/started/{service}")
}
