//! Account and licence of the geo database: read from a file, never shown.

use std::fmt;

use super::content::Setting;

/// The two settings.
const ACCOUNT: &str = "CVMFS_GEO_ACCOUNT_ID";
const LICENCE: &str = "CVMFS_GEO_LICENSE_KEY";

/// Account and licence of the geo database.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    account: String,
    licence: String,
}

/// The text holds no credentials. Nothing of it is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {line} is none of `{ACCOUNT}=…` and `{LICENCE}=…`, each once, of letters, digits, `-` and `_`"
)]
pub struct CredentialsError {
    line: usize,
}

impl Credentials {
    /// Reads the two assignments, one a line; empty lines and comments with `#` are passed over.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let (mut account, mut licence) = (None, None);
        let mut last = 0;
        for (at, line) in text.lines().enumerate() {
            last = at + 1;
            let wrong = CredentialsError { line: last };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| wrong.clone())?;
            let value = value.trim_matches('"');
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            let place = match name.trim() {
                ACCOUNT => &mut account,
                LICENCE => &mut licence,
                _ => return Err(wrong),
            };
            if value.is_empty() || !value.chars().all(plain) || place.is_some() {
                return Err(wrong);
            }
            *place = Some(value.to_owned());
        }
        match (account, licence) {
            (Some(account), Some(licence)) => Ok(Self { account, licence }),
            _ => Err(CredentialsError { line: last + 1 }),
        }
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::new(ACCOUNT, self.account.as_str()),
            Setting::new(LICENCE, self.licence.as_str()),
        ]
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    //! What is read, and that errors and debug output keep quiet.

    use super::*;

    #[test]
    fn both_are_needed_once_and_never_shown() {
        let good = "# account\nCVMFS_GEO_ACCOUNT_ID=1234\nCVMFS_GEO_LICENSE_KEY=\"s3cret_A\"\n";
        let credentials = Credentials::parse(good).unwrap();
        assert_eq!(credentials.settings()[1].value, "s3cret_A");
        assert!(!format!("{credentials:?}").contains("s3cret"));
        for (bad, line) in [
            ("CVMFS_GEO_LICENSE_KEY=s3cret\n", 2),
            (
                "CVMFS_GEO_ACCOUNT_ID=1\nCVMFS_GEO_LICENSE_KEY=s3cret\"; rm\n",
                2,
            ),
            (
                "CVMFS_GEO_LICENSE_KEY=s3cret\nCVMFS_GEO_LICENSE_KEY=s3cret2\n",
                2,
            ),
            ("s3cret", 1),
        ] {
            let error = Credentials::parse(bad).unwrap_err();
            assert_eq!(error.line, line);
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
