//! Names that can be commands of a host.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names of files that every installation has.
const OURS: [&str; 8] = [
    "README.md",
    "commands.txt",
    "commands_raw.txt",
    "env.txt",
    "container.yaml",
    "tests.json",
    "ts_uninstall.sh",
    crate::SCRIPT,
];

/// A name that may become a file on somebody's search path: letters, digits and `._+@%:-`, not first
/// a hyphen, at most 255 bytes, and neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandName(String);

/// A name that cannot be a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be the name of a command; allowed are letters, digits and `._+@%:-`", .0.escape_debug())]
pub struct CommandNameError(pub String);

impl CommandName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if `bytes` are one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CommandNameError> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+@%:-".contains(&b);
        let fits = (1..=255).contains(&bytes.len())
            && bytes.iter().all(|&b| allowed(b))
            && bytes[0] != b'-'
            && !matches!(bytes, b"." | b"..");
        if fits {
            Ok(Self(text))
        } else {
            Err(CommandNameError(text))
        }
    }

    /// Whether a file of this name would be one of ours: what an installation keeps beside its
    /// wrappers.
    pub fn is_reserved(&self) -> bool {
        let name = self.as_str();
        OURS.contains(&name)
            || name.starts_with('.')
            || [".simg", ".simg.sh"].iter().any(|end| name.ends_with(end))
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CommandName {
    type Error = CommandNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_bytes(text.as_bytes())
    }
}

impl From<CommandName> for String {
    fn from(name: CommandName) -> Self {
        name.0
    }
}
