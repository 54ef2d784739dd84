//! What is bound, and whether it is there.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use super::environment::Environment;
use crate::Files;

/// The variables of both families that hold binds. The runtimes read only one family when both are
/// set; we read all, and where two bind onto one target the first counts.
const VARIABLES: [&str; 4] = [
    "APPTAINER_BIND",
    "APPTAINER_BINDPATH",
    "SINGULARITY_BIND",
    "SINGULARITY_BINDPATH",
];

struct Bind {
    /// `SOURCE[:TARGET[:OPTIONS]]` as the runtime reads it.
    word: OsString,
    source: PathBuf,
    target: PathBuf,
}

/// What is bound, in order.
#[derive(Default)]
pub(super) struct Binds {
    list: Vec<Bind>,
    missing: Vec<PathBuf>,
    read: Vec<OsString>,
}

impl Binds {
    /// What the variables say; they are not left to the runtime, which ends when a source is missing.
    pub(super) fn read_variables(&mut self, environment: &Environment<'_>, files: &dyn Files) {
        for name in VARIABLES {
            if let Some(value) = environment.get(name) {
                self.read.push(name.into());
                self.add_text(value, files);
            }
        }
    }

    /// Binds divided by commas.
    pub(super) fn add_text(&mut self, text: &OsStr, files: &dyn Files) {
        for word in specs(text.as_bytes()) {
            let mut fields = split(&word, b':');
            let source = PathBuf::from(unescape(fields.next().unwrap_or_default()));
            let target = fields
                .next()
                .filter(|target| !target.is_empty())
                .map_or_else(|| source.clone(), |target| unescape(target).into());
            self.add(OsString::from_vec(word.clone()), &source, &target, files);
        }
    }

    /// One bind, unless something has that target already or the source is missing.
    pub(super) fn add(&mut self, word: OsString, source: &Path, target: &Path, files: &dyn Files) {
        if self.list.iter().any(|bind| bind.target == target) {
            return;
        }
        if files.kind(source).is_none() {
            if !self.missing.iter().any(|missing| missing == source) {
                self.missing.push(source.to_owned());
            }
            return;
        }
        self.list.push(Bind {
            word,
            source: source.to_owned(),
            target: target.to_owned(),
        });
    }

    /// Whether a bind has a target at or above `path`.
    pub(super) fn cover(&self, path: &Path) -> bool {
        self.list
            .iter()
            .any(|bind| path.starts_with(&bind.target) && bind.target != Path::new("/tmp"))
    }

    /// Whether something else than the host's is at `/tmp`.
    pub(super) fn replace_tmp(&self) -> bool {
        self.list
            .iter()
            .any(|bind| bind.target == Path::new("/tmp"))
    }

    pub(super) fn take_missing(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.missing)
    }

    pub(super) fn variables_read(self) -> Vec<OsString> {
        self.read
    }

    /// Word, source, target and options of each.
    pub(super) fn list(&self) -> impl Iterator<Item = (&OsStr, &Path, &Path, &[u8])> {
        self.list.iter().map(|bind| {
            let options = split(bind.word.as_bytes(), b':').nth(2);
            (
                bind.word.as_os_str(),
                bind.source.as_path(),
                bind.target.as_path(),
                options.unwrap_or_default(),
            )
        })
    }

    pub(super) fn words(&self) -> impl Iterator<Item = OsString> {
        self.list.iter().map(|bind| bind.word.clone())
    }
}

/// A path as a source or target, with a backslash before what would divide it. A backslash stands for
/// itself before anything else.
pub(super) fn word_of(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if matches!(byte, b':' | b',') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    OsString::from_vec(out)
}

/// The targets that a value of `--bind` names.
pub(super) fn targets(text: &OsStr) -> Vec<PathBuf> {
    specs(text.as_bytes())
        .iter()
        .map(|word| {
            let mut fields = split(word, b':');
            let source = fields.next().unwrap_or_default();
            let target = fields.next().filter(|target| !target.is_empty());
            unescape(target.unwrap_or(source)).into()
        })
        .collect()
}

/// The single binds of a list; commas before options belong to the bind before them.
fn specs(text: &[u8]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for part in split(text, b',') {
        let part = part.trim_ascii();
        let option = matches!(part, b"ro" | b"rw")
            || part.starts_with(b"id=")
            || part.starts_with(b"image-src=");
        match found.last_mut() {
            Some(last) if option => {
                last.push(b',');
                last.extend_from_slice(part);
            }
            _ if part.is_empty() => {}
            _ => found.push(part.to_vec()),
        }
    }
    found
}

/// Parts between bytes that no backslash precedes.
fn split(text: &[u8], between: u8) -> impl Iterator<Item = &[u8]> {
    let mut before = 0;
    text.split(move |byte| {
        let divides = *byte == between && before != b'\\';
        before = *byte;
        divides
    })
}

fn unescape(text: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        let escapes = *byte == b'\\' && matches!(bytes.peek(), Some(b':' | b','));
        if !escapes {
            out.push(*byte);
        }
    }
    OsString::from_vec(out)
}
