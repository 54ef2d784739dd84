//! Values that a step may read and nobody may keep.

use std::{
    fmt,
    io::{self, Read},
};

use serde::{Deserialize, Serialize};

use crate::plan::{Action, BuildPlan, Step};

/// Where a step finds a secret: this directory, a slash, and its id.
pub const SECRETS: &str = "/run/secrets";

/// Shorter values stand in output by accident, and could not be hidden there.
const SHORTEST: usize = 8;
/// Lines of a value that are shorter are not hidden on their own.
const SHORTEST_LINE: usize = 8;
/// What stands in output in place of a value.
const HIDDEN: &[u8] = b"***";

/// A value for steps whose script names it: one that holds `/run/secrets/ID` finds a file there, in
/// memory, that only its user can read. No key, layer, record or message has the value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    id: String,
    value: Vec<u8>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why something cannot be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The id is no file name.
    #[error("`{id}` is no id of a secret: letters, digits, `.`, `_` and `-` are, and no `.` first")]
    Id {
        /// The id.
        id: String,
    },
    /// The value cannot be hidden.
    #[error("the secret `{id}` is shorter than {SHORTEST} bytes, too short to be hidden in output")]
    Short {
        /// Its id.
        id: String,
    },
}

impl Secret {
    /// A secret of this id and value; a line end after the value is part of what the step reads.
    pub fn new(id: &str, value: Vec<u8>) -> Result<Self, SecretError> {
        if id.is_empty() || id.starts_with('.') || !id.bytes().all(is_id) {
            return Err(SecretError::Id { id: id.into() });
        }
        if value.trim_ascii().len() < SHORTEST {
            return Err(SecretError::Short { id: id.into() });
        }
        Ok(Self {
            id: id.into(),
            value,
        })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a step's script names it.
    pub fn is_for(&self, step: &Step) -> bool {
        matches!(&step.action, Action::Run(run) if self.is_named_in(&run.script))
    }

    pub(crate) fn is_named_in(&self, script: &str) -> bool {
        let path = self.target();
        script
            .match_indices(&path)
            .any(|(at, _)| !script[at + path.len()..].bytes().next().is_some_and(is_id))
    }

    /// Absolute path of its file.
    pub(crate) fn target(&self) -> String {
        format!("{SECRETS}/{}", self.id)
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.value
    }

    /// What gives it away: the whole value, and each of its lines that is long enough.
    fn marks(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.value.split(|byte| *byte == b'\n');
        let lines = lines.map(<[u8]>::trim_ascii);
        [self.value.trim_ascii()]
            .into_iter()
            .chain(lines.filter(|line| line.len() >= SHORTEST_LINE))
    }
}

fn is_id(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

impl BuildPlan {
    /// Whether any step of any stage names the secret.
    pub fn names_secret(&self, secret: &Secret) -> bool {
        let mut steps = self.stages.iter().flat_map(|stage| &stage.steps);
        steps.any(|step| secret.is_for(step))
    }
}

/// Hides secrets in what a step says.
#[derive(Debug, Default)]
pub(crate) struct Veil {
    /// The longest first, so that a part does not uncover the rest.
    marks: Vec<Vec<u8>>,
}

impl Veil {
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut marks: Vec<Vec<u8>> = secrets
            .into_iter()
            .flat_map(Secret::marks)
            .map(<[u8]>::to_vec)
            .collect();
        marks.sort_by_key(|mark| std::cmp::Reverse(mark.len()));
        marks.dedup();
        Self { marks }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// `text` without secrets.
    pub(crate) fn hide(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.first() {
            if let Some(mark) = self.marks.iter().find(|mark| rest.starts_with(mark)) {
                out.extend_from_slice(HIDDEN);
                rest = &rest[mark.len()..];
            } else {
                out.push(*first);
                rest = &rest[1..];
            }
        }
        out
    }

    pub(crate) fn hide_text(&self, text: String) -> String {
        if self.marks.is_empty() {
            return text;
        }
        String::from_utf8_lossy(&self.hide(text.as_bytes())).into_owned()
    }

    /// Whether a stream of bytes holds any of them.
    pub(crate) fn is_seen_in(&self, mut bytes: impl Read) -> io::Result<bool> {
        let longest = self.marks.first().map_or(0, Vec::len);
        let mut window: Vec<u8> = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let count = match bytes.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            window.extend_from_slice(&buffer[..count]);
            if self.marks.iter().any(|mark| holds(&window, mark)) {
                return Ok(true);
            }
            // The beginning of one may be at the end.
            let kept = longest.saturating_sub(1).min(window.len());
            window.drain(..window.len() - kept);
        }
    }
}

fn holds(bytes: &[u8], mark: &[u8]) -> bool {
    let Some((first, _)) = mark.split_first() else {
        return false;
    };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at..].starts_with(mark) {
            return true;
        }
        from += at + 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_secrets_by_their_whole_path() {
        let secret = Secret::new("token", b"abcdefgh".to_vec()).unwrap();
        for script in [
            "cat /run/secrets/token",
            "x \"$(cat /run/secrets/token)\"",
            "cat /run/secrets/token2 /run/secrets/token;",
        ] {
            assert!(secret.is_named_in(script), "{script}");
        }
        for script in ["cat /run/secrets/token2", "cat /run/secrets/", "token"] {
            assert!(!secret.is_named_in(script), "{script}");
        }
        assert!(!format!("{secret:?}").contains("abcdefgh"));
    }

    #[test]
    fn ids_are_names_and_values_can_be_hidden() {
        for id in ["", ".", "..", "a/b", "a b", ".x"] {
            assert!(Secret::new(id, b"long enough".to_vec()).is_err(), "{id}");
        }
        assert!(Secret::new("x", b"short\n".to_vec()).is_err());
    }

    #[test]
    fn values_and_their_lines_are_hidden_and_found() {
        let first = Secret::new("a", b"one-two-three\n".to_vec()).unwrap();
        let second = Secret::new("b", b"-----BEGIN\nabcdefghij\nend\n".to_vec()).unwrap();
        let veil = Veil::new([&first, &second]);
        let hidden = veil.hide(b"say one-two-three, abcdefghij! end");
        assert_eq!(hidden, b"say ***, ***! end");
        let mut long = vec![b'-'; 300 * 1024];
        assert!(!veil.is_seen_in(&long[..]).unwrap());
        // Across the border of two reads.
        long.splice(256 * 1024 - 5..256 * 1024 + 8, *b"one-two-three");
        assert!(veil.is_seen_in(&long[..]).unwrap());
    }
}
