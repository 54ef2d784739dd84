//! What the runtime's own options say, as far as a plan depends on them.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{
    binds::{Binds, targets},
    environment::Environment,
    gpu::Offer,
};
use crate::Policy;

/// Options of `exec` that are handed over as they are.
#[derive(Default)]
pub(super) struct Options(Vec<OsString>);

impl Options {
    pub(super) fn extend(&mut self, words: impl IntoIterator<Item = OsString>) {
        self.0
            .extend(words.into_iter().filter(|word| !word.is_empty()));
    }

    pub(super) fn words(&self) -> &[OsString] {
        &self.0
    }

    pub(super) fn into_words(self) -> Vec<OsString> {
        self.0
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.0
            .iter()
            .any(|word| names.iter().any(|name| word == name))
    }

    /// Values of an option, given as the next word or after `=`.
    fn values<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a OsStr> {
        self.0.iter().enumerate().filter_map(|(at, word)| {
            if names.iter().any(|name| word == name) {
                return self.0.get(at + 1).map(OsString::as_os_str);
            }
            names.iter().find_map(|name| {
                let rest = word.as_bytes().strip_prefix(name.as_bytes())?;
                Some(OsStr::from_bytes(rest.strip_prefix(b"=")?))
            })
        })
    }

    /// Whether a GPU is asked for already.
    pub(super) fn name_gpu(&self) -> bool {
        self.has(&["--nv", "--nvccli", "--rocm", "--intel-hpu"])
    }

    /// The GPU that is asked for by an option that is understood.
    pub(super) fn gpu(&self) -> Option<Offer> {
        self.0.iter().find_map(|word| match word.as_bytes() {
            b"--nv" => Some(Offer::Nvidia),
            b"--rocm" => Some(Offer::Rocm),
            _ => None,
        })
    }

    /// Whether something makes the working directory visible in the container, or binding it would
    /// hide a part of the image.
    pub(super) fn covers(
        &self,
        cwd: &Path,
        environment: &Environment<'_>,
        policy: &Policy<'_>,
        binds: &Binds,
    ) -> bool {
        if system(cwd) || binds.cover(cwd) {
            return true;
        }
        let bound = self.values(&["--bind", "-B"]).flat_map(targets);
        let homes = self.values(&["--home", "-H"]).flat_map(targets);
        if bound.chain(homes).any(|target| cwd.starts_with(target)) {
            return true;
        }
        let contained = self.has(&["--contain", "-c", "--containall", "-C"]);
        if contained {
            return false;
        }
        let left_out: Vec<&OsStr> = self.values(&["--no-mount"]).collect();
        let mounted = |what: &str| {
            !left_out.iter().any(|value| {
                value
                    .as_bytes()
                    .split(|byte| *byte == b',')
                    .any(|part| part == what.as_bytes())
            })
        };
        let mut covered: Vec<PathBuf> = policy
            .covered
            .iter()
            .map(|path| PathBuf::from(&**path))
            .collect();
        if mounted("home") && !self.has(&["--no-home"]) {
            covered.extend(environment.get("HOME").map(PathBuf::from));
        }
        if mounted("tmp") && !binds.replace_tmp() {
            covered.push("/tmp".into());
        }
        if mounted("tmp") {
            covered.push("/var/tmp".into());
        }
        covered.iter().any(|folder| {
            folder.is_absolute() && *folder != Path::new("/") && cwd.starts_with(folder)
        })
    }
}

/// Folders of the operating system: a bind would hide what the image has there.
fn system(cwd: &Path) -> bool {
    const WHOLE: &[&str] = &[
        "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin",
        "/sys", "/usr",
    ];
    const ITSELF: &[&str] = &["/", "/home", "/mnt", "/opt", "/root", "/run", "/var"];
    WHOLE.iter().any(|folder| cwd.starts_with(folder))
        || ITSELF.iter().any(|folder| cwd == Path::new(folder))
}
