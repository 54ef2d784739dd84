//! How connections are made: an explicit value, resolved once by whoever owns the process.

use std::{path::PathBuf, time::Duration};

use nd_host::Environment;

use crate::{FetchError, Rate, SafeUrl};

/// Bundles of certificates where the distributions keep them; the first one found is used.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Settings of a [`crate::Fetcher`].
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Whether connections are made at all.
    pub network: Network,
    /// Time limits.
    pub timeouts: Timeouts,
    /// How often and how patiently a source is asked again.
    pub retries: Retries,
    /// Redirects followed per attempt.
    pub max_redirects: u32,
    /// Whether a redirect may lead from `https` to `http`.
    pub downgrade: Downgrade,
    /// Whether `file://` URLs are read.
    pub file_urls: FileUrls,
    /// Largest download, in bytes, unless the request says less.
    pub max_bytes: u64,
    /// How fast downloads are at most, all of them together.
    pub rate: Rate,
    /// Bytes that stay free on the disk of the store; a download that would need them is refused before
    /// its first byte is written.
    pub keep_free: u64,
    /// Text of the `User-Agent` header.
    pub user_agent: String,
    /// Proxies.
    pub proxies: Proxies,
    /// Which certificates are trusted.
    pub trust: Trust,
    /// Identity of the first unit of work reported; the following ones count up from here.
    pub first_step: u32,
}

impl Default for FetchOptions {
    /// The defaults of each part; no proxy, the certificates of the system, 64 GiB.
    fn default() -> Self {
        Self {
            network: Network::On,
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            max_redirects: 10,
            downgrade: Downgrade::Refuse,
            file_urls: FileUrls::Refuse,
            max_bytes: 64 << 30,
            rate: Rate::default(),
            keep_free: 0,
            user_agent: concat!("neurodesk-rs/", env!("CARGO_PKG_VERSION")).into(),
            proxies: Proxies::default(),
            trust: Trust::default(),
            first_step: 0,
        }
    }
}

impl FetchOptions {
    /// The defaults, with proxies and certificates as the variables `HTTP_PROXY`, `HTTPS_PROXY`,
    /// `ALL_PROXY`, `NO_PROXY` (lower case wins), `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
    ///
    /// # Errors
    ///
    /// When a variable names a proxy that is no URL of scheme `http` or `https`.
    pub fn from_environment(environment: &Environment) -> Result<Self, FetchError> {
        let text = |name: &str| {
            let lower = name.to_ascii_lowercase();
            let lower = environment.text(&lower);
            lower.or_else(|| environment.text(name))
        };
        let proxy = |names: [&'static str; 2]| {
            for variable in names {
                if let Some(value) = text(variable) {
                    return parse_proxy(variable, value).map(Some);
                }
            }
            Ok(None)
        };
        let trust = match (
            environment.get("SSL_CERT_FILE"),
            environment.get("SSL_CERT_DIR"),
        ) {
            (Some(file), _) => Trust::Bundle(environment.absolute(file)),
            (None, Some(folder)) => Trust::Folder(environment.absolute(folder)),
            (None, None) => Trust::System,
        };
        Ok(Self {
            proxies: Proxies {
                http: proxy(["HTTP_PROXY", "ALL_PROXY"])?,
                https: proxy(["HTTPS_PROXY", "ALL_PROXY"])?,
                except: text("NO_PROXY").map(str::to_owned),
            },
            trust,
            ..Self::default()
        })
    }
}

fn parse_proxy(variable: &'static str, value: &str) -> Result<SafeUrl, FetchError> {
    // `proxy:3128` is how many write it.
    let text = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    let url = text.parse::<SafeUrl>().ok().filter(|url| !url.is_file());
    url.ok_or(FetchError::ProxyVariable { variable })
}

/// Whether connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// They are.
    #[default]
    On,
    /// Only what was downloaded before is given.
    Off,
}

/// Whether a redirect may lead from `https` to `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Downgrade {
    /// It may not.
    #[default]
    Refuse,
    /// It may, where a digest is expected anyway.
    Allow,
}

/// Whether `file://` URLs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileUrls {
    /// A document from elsewhere must not name files of this machine.
    #[default]
    Refuse,
    /// The caller wrote the URL.
    Allow,
}

/// Time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the first byte of an answer, and between any two pieces of a body.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(60),
        }
    }
}

/// How often and how patiently a source is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Failures in a row after which a source is given up; at least one. An attempt that brought
    /// the download forward starts the row anew, up to ten times this many attempts in all.
    pub attempts: u32,
    /// The first wait; each one is twice the one before.
    pub first_wait: Duration,
    /// The longest wait. A server that asks for more patience (`Retry-After`) is given up.
    pub longest_wait: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(30),
        }
    }
}

/// Proxies; passwords in their URLs are sent and never shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<SafeUrl>,
    /// For `https` URLs.
    pub https: Option<SafeUrl>,
    /// Hosts, domains and networks that are spoken to directly, as in `NO_PROXY`.
    pub except: Option<String>,
}

/// Which certificates of authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those of the system.
    #[default]
    System,
    /// Those in one PEM file.
    Bundle(PathBuf),
    /// Those in the PEM files of a folder.
    Folder(PathBuf),
}

impl Trust {
    /// The files to read; an explicit one must exist.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, FetchError> {
        match self {
            Self::System => {
                let found = BUNDLES.iter().map(PathBuf::from).find(|path| path.exists());
                Ok(found.into_iter().collect())
            }
            Self::Bundle(path) => Ok(vec![path.clone()]),
            Self::Folder(path) => {
                let fail = |source| FetchError::Io {
                    path: path.clone(),
                    source,
                };
                let mut files: Vec<_> = fs_err::read_dir(path)
                    .map_err(fail)?
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| path.is_file())
                    .collect();
                files.sort();
                Ok(files)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! What the variables say.

    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<FetchOptions, FetchError> {
        FetchOptions::from_environment(&Environment::new(variables.iter().copied(), "/here"))
    }

    #[test]
    fn variables_choose_proxies_and_certificates() {
        let found = options(&[
            ("HTTP_PROXY", "http://other:1"),
            ("http_proxy", "proxy:3128"),
            ("ALL_PROXY", "http://user:secret@all:2"),
            ("NO_PROXY", "localhost,.example.org"),
            ("SSL_CERT_FILE", "ca.pem"),
            ("SSL_CERT_DIR", "/etc/ssl/certs"),
        ])
        .unwrap();
        assert_eq!(found.proxies.http.unwrap().expose(), "http://proxy:3128/");
        let https = found.proxies.https.unwrap();
        assert_eq!(https.to_string(), "http://all:2/");
        assert_eq!(
            found.proxies.except.as_deref(),
            Some("localhost,.example.org")
        );
        assert_eq!(found.trust, Trust::Bundle("/here/ca.pem".into()));

        let none = options(&[]).unwrap();
        assert_eq!(
            (none.proxies, none.trust),
            (Proxies::default(), Trust::System)
        );
        let error = options(&[("HTTPS_PROXY", "socks5://user:secret@h:1")]).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("HTTPS_PROXY") && !text.contains("secret"),
            "{text}"
        );
    }
}
