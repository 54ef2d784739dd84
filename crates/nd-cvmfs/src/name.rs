//! Names of repositories.

use std::{fmt, str::FromStr};

/// The fully qualified name of a repository: at most 60 characters of `[A-Za-z0-9_.-]`, the first
/// one alphanumeric, at least one dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// The text is no name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a repository: letters, digits, `_`, `.`, `-`, with a dot, at most 60")]
pub struct RepositoryNameError(String);

impl RepositoryName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = RepositoryNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = text.len() <= 60
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.contains('.')
            && (text.chars()).all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(RepositoryNameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a tag: `[A-Za-z0-9._/:-]`, 1 to 250 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagName(String);

/// The text is no name of a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name of a tag: letters, digits, `.`, `_`, `/`, `:`, `-`; `trunk` and `trunk-previous` are taken"
)]
pub struct TagNameError(String);

impl TagName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TagName {
    type Err = TagNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '-');
        let reserved = ["trunk", "trunk-previous"].contains(&text);
        if (1..=250).contains(&text.len()) && text.chars().all(allowed) && !reserved {
            Ok(Self(text.to_owned()))
        } else {
            Err(TagNameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
