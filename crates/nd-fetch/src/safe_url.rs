//! URLs that can be shown: no user, no password, no query.

use std::{fmt, str::FromStr};

use nd_names::{Sha256, Sha256Hasher};
use url::Url;

/// A URL of scheme `http`, `https` or `file`. Its `Display` and `Debug` never show the user
/// information, the query (signatures and tokens stand there) or the fragment; [`Self::expose`]
/// gives the text itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SafeUrl(Url);

/// Why a text is no URL to fetch from. The text is not repeated: it may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is no URL at all.
    #[error("the text is no URL")]
    Invalid(#[source] url::ParseError),
    /// A scheme nobody here speaks.
    #[error("URLs of scheme `{0}` are not supported")]
    Scheme(String),
}

impl SafeUrl {
    /// The whole text, secrets included: for connections, never for messages.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The last part of the path that is not empty, else the host: a short title.
    pub fn title(&self) -> &str {
        let last = self
            .0
            .path_segments()
            .and_then(|parts| parts.rev().find(|part| !part.is_empty()));
        last.or(self.0.host_str()).unwrap_or("download")
    }

    /// The host with its port, if a port is written.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What a download from here is filed under: the digest of the URL without user information
    /// and fragment, so that whoever asks does not change what is asked for.
    pub fn key(&self) -> Sha256 {
        let mut hasher = Sha256Hasher::default();
        hasher.update(b"nd-fetch url\0");
        hasher.update(self.bare().as_str());
        hasher.finish()
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    pub(crate) fn is_file(&self) -> bool {
        self.0.scheme() == "file"
    }

    /// The URL without user information and fragment: what is sent.
    pub(crate) fn bare(&self) -> Url {
        let mut url = self.0.clone();
        url.set_fragment(None);
        // Fails only for URLs that cannot have user information.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url
    }

    /// User and password written in the URL, decoded.
    pub(crate) fn user_info(&self) -> Option<(String, String)> {
        let password = self.0.password().unwrap_or_default();
        if self.0.username().is_empty() && password.is_empty() {
            return None;
        }
        Some((decode(self.0.username()), decode(password)))
    }

    pub(crate) fn from_url(url: Url) -> Result<Self, UrlError> {
        match url.scheme() {
            "http" | "https" | "file" => Ok(Self(url)),
            other => Err(UrlError::Scheme(other.into())),
        }
    }
}

/// Percent-decoding; bytes that are no UTF-8 then are replaced.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3);
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl FromStr for SafeUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_url(Url::parse(text).map_err(UrlError::Invalid)?)
    }
}

impl fmt::Display for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}://{}{}", url.scheme(), self.authority(), url.path())?;
        if url.query().is_some() {
            f.write_str("?…")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SafeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafeUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    //! What is shown, what is not, and what makes two downloads the same.

    use super::*;

    fn url(text: &str) -> SafeUrl {
        text.parse().unwrap()
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret = url("https://us%65r:p%40ss@host:8443/a/b.tar.gz?sig=TOKEN&x=1#frag");
        let shown = format!("{secret} {secret:?} {:?}", Some(&secret));
        assert_eq!(secret.to_string(), "https://host:8443/a/b.tar.gz?…");
        for word in ["user", "p%40ss", "p@ss", "TOKEN", "frag"] {
            assert!(!shown.contains(word), "{shown}");
        }
        assert_eq!(secret.title(), "b.tar.gz");
        assert_eq!(secret.user_info(), Some(("user".into(), "p@ss".into())));
        let error = "https://user:secret@ho st/".parse::<SafeUrl>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn the_key_forgets_who_asks_but_not_what_is_asked() {
        let key = |text: &str| url(text).key();
        assert_eq!(key("https://a:b@h/f?x=1"), key("https://h/f?x=1#there"));
        assert_ne!(key("https://h/f?x=1"), key("https://h/f?x=2"));
        assert_ne!(key("https://h/f"), key("http://h/f"));
    }

    #[test]
    fn other_schemes_are_refused() {
        for bad in ["ftp://h/f", "javascript:alert(1)", "data:,x"] {
            let error = bad.parse::<SafeUrl>().unwrap_err();
            assert!(matches!(error, UrlError::Scheme(_)), "{bad}");
        }
        assert!("h/f".parse::<SafeUrl>().is_err());
    }
}
