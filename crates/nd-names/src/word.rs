//! Application names, versions and build dates.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a word is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The word is empty or blank.
    #[error("{what} cannot be empty")]
    Empty {
        /// Which word: `name`, `version`, …
        what: &'static str,
    },
    /// A character stands where it may not.
    #[error("{what} `{text}` must not contain {found:?} (at byte {at}); allowed: {allowed}")]
    Character {
        /// Which word.
        what: &'static str,
        /// The whole word.
        text: String,
        /// The character.
        found: char,
        /// Its byte offset.
        at: usize,
        /// What may stand there.
        allowed: &'static str,
    },
    /// Not a calendar date of eight digits.
    #[error("`{text}` is not a build date of the form YYYYMMDD")]
    Date {
        /// What was given.
        text: String,
    },
}

fn check(
    what: &'static str,
    text: &str,
    allowed: &'static str,
    fits: impl Fn(usize, char) -> bool,
) -> Result<(), NameError> {
    if text.trim().is_empty() {
        return Err(NameError::Empty { what });
    }
    match text.char_indices().find(|&(at, c)| !fits(at, c)) {
        None => Ok(()),
        Some((at, found)) => Err(NameError::Character {
            what,
            text: text.into(),
            found,
            at,
            allowed,
        }),
    }
}

macro_rules! word {
    ($name:ident) => {
        impl $name {
            /// The word as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

/// Name of an application or of a concrete container (`itksnap`, `demo_arm64`).
///
/// First a lower-case letter or digit, then also `.`, `-` and `_`: what registries, file names
/// and module names can all hold. Recipes themselves may not use `_`, which separates the
/// variant; that rule belongs to the recipe format.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);
word!(AppName);

impl FromStr for AppName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(
            "name",
            text,
            "a-z, 0-9, then also `.`, `-`, `_`",
            |at, c| {
                c.is_ascii_lowercase()
                    || c.is_ascii_digit()
                    || (at > 0 && matches!(c, '.' | '-' | '_'))
            },
        )?;
        Ok(Self(text.into()))
    }
}

/// Version of an application: letters, digits, `.`, `_` and `-`, as release files demand.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppVersion(String);
word!(AppVersion);

impl FromStr for AppVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(
            "version",
            text,
            "letters, digits, `.`, `_`, `-`",
            |at, c| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '_' | '-')),
        )?;
        Ok(Self(text.into()))
    }
}

/// Day a container was built, as `YYYYMMDD`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildDate(String);
word!(BuildDate);

impl FromStr for BuildDate {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |range: std::ops::Range<usize>| {
            text.get(range)
                .filter(|part| part.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|part| part.parse::<u32>().ok())
        };
        let days = |year: u32, month: u32| match month {
            4 | 6 | 9 | 11 => 30,
            2 if year.is_multiple_of(4)
                && (!year.is_multiple_of(100) || year.is_multiple_of(400)) =>
            {
                29
            }
            2 => 28,
            _ => 31,
        };
        match (text.len(), number(0..4), number(4..6), number(6..8)) {
            (8, Some(y), Some(m @ 1..=12), Some(d)) if d >= 1 && d <= days(y, m) => {
                Ok(Self(text.into()))
            }
            _ => Err(NameError::Date { text: text.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_accept_what_the_catalogue_holds() {
        assert!("bidsapp-spm_gpu.1".parse::<AppName>().is_ok());
        assert!("7.4.1-rc1_a".parse::<AppVersion>().is_ok());
        assert!("20240229".parse::<BuildDate>().is_ok());
    }

    #[test]
    fn words_refuse_paths_shell_text_and_impossible_days() {
        for bad in ["", " ", "../x", "-a", "A", "a b", "a/b", "a;b"] {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
        for bad in ["", "..", "1/2", "$(x)", "1 2"] {
            assert!(bad.parse::<AppVersion>().is_err(), "{bad}");
        }
        for bad in ["", "2024", "20230229", "20241301", "2024010a", "２0240101"] {
            assert!(bad.parse::<BuildDate>().is_err(), "{bad}");
        }
    }
}
