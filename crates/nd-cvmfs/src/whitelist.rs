//! The whitelist `.cvmfswhitelist`: which certificates the owner of the master key trusts, and how
//! long.

use std::fmt::Write as _;

use jiff::{Timestamp, civil::DateTime, tz::Offset};

use crate::{hash::Algorithm, letter::LetterError, name::RepositoryName};

/// A parsed whitelist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whitelist {
    /// When it was made, UTC.
    pub created: DateTime,
    /// The hour from which on it is no longer good, UTC.
    pub expires: DateTime,
    /// Whose it is.
    pub name: RepositoryName,
    /// Fingerprints of certificates, as text.
    pub fingerprints: Vec<String>,
    /// The signature is a PKCS#7 document in another file, which nothing here verifies.
    pub pkcs7: bool,
    /// Certificates must also be signed by an authority.
    pub ca_chain: bool,
}

/// Why bytes are no whitelist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhitelistError {
    /// It is no signed letter, or its text was changed.
    #[error("the whitelist cannot be used: {0}")]
    Letter(#[from] LetterError),
    /// A line is missing or malformed.
    #[error("line {line} of the whitelist is not {expected}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// Days for which a whitelist is good unless told otherwise.
pub const DEFAULT_DAYS: u32 = 30;

impl Whitelist {
    /// Reads the lines of a whitelist; its signature is not looked at.
    pub fn parse_lines(payload: &[u8]) -> Result<Self, WhitelistError> {
        let mut lines = payload
            .split(|&b| b == b'\n')
            .enumerate()
            .map(|(at, line)| (at + 1, line));
        let mut next = |expected: &'static str| {
            let (line, bytes) = lines.next().unwrap_or_default();
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            (text, WhitelistError::Line { line, expected })
        };
        let (text, error) = next("a time of 14 digits");
        let created = parse_time(text).ok_or(error)?;
        let (text, error) = next("`E` and a time of 14 digits");
        let expires = text.strip_prefix('E').and_then(parse_time).ok_or(error)?;
        let (text, error) = next("`N` and a name");
        let name = text
            .strip_prefix('N')
            .and_then(|text| text.parse().ok())
            .ok_or(error)?;
        let mut list = Self {
            created,
            expires,
            name,
            fingerprints: Vec::new(),
            pkcs7: false,
            ca_chain: false,
        };
        for (line, bytes) in lines {
            match bytes {
                b"" => {}
                b"Vpkcs7" => list.pkcs7 = true,
                b"Wcachain" => list.ca_chain = true,
                _ => {
                    let end = bytes.iter().position(|b| matches!(b, b' ' | b'\t' | b'#'));
                    let print = &bytes[..end.unwrap_or(bytes.len())];
                    if print.is_empty() {
                        continue;
                    }
                    let print = std::str::from_utf8(print)
                        .ok()
                        .filter(|text| is_print(text));
                    let expected = "a fingerprint";
                    let print = print.ok_or(WhitelistError::Line { line, expected })?;
                    list.fingerprints.push(print.to_owned());
                }
            }
        }
        Ok(list)
    }

    /// The lines.
    pub fn to_lines(&self) -> Vec<u8> {
        let mut out = String::new();
        let _ = writeln!(out, "{}", self.created.strftime("%Y%m%d%H%M%S"));
        let _ = writeln!(out, "E{}", self.expires.strftime("%Y%m%d%H%M%S"));
        let _ = writeln!(out, "N{}", self.name);
        for (yes, line) in [(self.pkcs7, "Vpkcs7"), (self.ca_chain, "Wcachain")] {
            if yes {
                let _ = writeln!(out, "{line}");
            }
        }
        for print in &self.fingerprints {
            let _ = writeln!(out, "{print}");
        }
        out.into_bytes()
    }

    /// A whitelist of one certificate, good for `days` from `now` on.
    pub fn new(name: RepositoryName, fingerprint: String, now: Timestamp, days: u32) -> Self {
        let created = Offset::UTC.to_datetime(now);
        let expires = created.saturating_add(jiff::Span::new().days(i64::from(days.min(36_500))));
        Self {
            created,
            expires,
            name,
            fingerprints: vec![fingerprint],
            pkcs7: false,
            ca_chain: false,
        }
    }

    /// The algorithm of its fingerprints.
    pub fn algorithm(&self) -> Algorithm {
        let first = self
            .fingerprints
            .first()
            .map(String::as_str)
            .unwrap_or_default();
        match first.split_once('-') {
            Some((_, "RMD160")) => Algorithm::Rmd160,
            Some((_, "SHAKE128")) => Algorithm::Shake128,
            _ => Algorithm::Sha1,
        }
    }

    /// Whether it is no longer good: only year, month, day and hour count.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let hour = |time: DateTime| (time.date(), time.hour());
        hour(Offset::UTC.to_datetime(now)) >= hour(self.expires)
    }

    /// How long it is good from `now` on, in whole hours; 0 when it has expired.
    pub fn hours_left(&self, now: Timestamp) -> i64 {
        let whole = self.expires.date().at(self.expires.hour(), 0, 0, 0);
        let end = Offset::UTC.to_timestamp(whole);
        end.map_or(0, |end| ((end.as_second() - now.as_second()) / 3600).max(0))
    }
}

fn parse_time(text: &str) -> Option<DateTime> {
    if text.len() != 14 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| text[from..to].parse::<i16>().ok();
    let small = |from: usize| part(from, from + 2).and_then(|n| i8::try_from(n).ok());
    DateTime::new(
        part(0, 4)?,
        small(4)?,
        small(6)?,
        small(8)?,
        small(10)?,
        small(12)?,
        0,
    )
    .ok()
}

fn is_print(text: &str) -> bool {
    let digits = ["-RMD160", "-SHAKE128"]
        .iter()
        .find_map(|suffix| text.strip_suffix(suffix))
        .unwrap_or(text);
    digits.len() == 59
        && digits.split(':').all(|pair| {
            pair.len() == 2 && pair.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'))
        })
}

/// The fingerprint of a certificate in DER form.
pub(crate) fn fingerprint(der: &[u8], algorithm: Algorithm) -> String {
    let digest = algorithm.hash(der).digest;
    let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("{}{}", pairs.join(":"), algorithm.suffix().to_uppercase())
}

#[cfg(test)]
mod tests {
    //! Lines and the hour of expiry.

    use super::*;

    #[test]
    fn lines_come_back_and_comments_are_no_fingerprints() {
        let print = fingerprint(b"der", Algorithm::Rmd160);
        let now: Timestamp = "2026-03-01T10:30:00Z".parse().unwrap();
        let list = Whitelist::new("a.b".parse().unwrap(), print.clone(), now, 30);
        assert_eq!(Whitelist::parse_lines(&list.to_lines()).unwrap(), list);
        let text =
            format!("20260301000000\nE20260401000000\nNa.b\nWcachain\n# all\n{print} # mine\n");
        let list = Whitelist::parse_lines(text.as_bytes()).unwrap();
        assert_eq!((list.fingerprints, list.ca_chain), (vec![print], true));
    }

    #[test]
    fn the_hour_of_expiry_is_too_late() {
        let text = "20260301000000\nE20260401105959\nNa.b\n";
        let list = Whitelist::parse_lines(text.as_bytes()).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(!list.is_expired(at("2026-04-01T09:59:59Z")));
        assert!(list.is_expired(at("2026-04-01T10:00:00Z")));
        assert_eq!(list.hours_left(at("2026-04-01T08:00:00Z")), 2);
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, line) in [
            ("2026\n", 1),
            ("20260301000000\nE2026\n", 2),
            ("20260301000000\nE20261301000000\n", 2),
            ("20260301000000\nE20260401000000\nN..\n", 3),
            ("20260301000000\nE20260401000000\nNa.b\nAB:CD\n", 4),
        ] {
            let found = Whitelist::parse_lines(text.as_bytes());
            assert!(
                matches!(found, Err(WhitelistError::Line { line: at, .. }) if at == line),
                "{text}: {found:?}"
            );
        }
    }
}
