//! Words of a description that end up in configuration files and command lines. Each type takes only
//! what means itself there, so that nothing has to be escaped and nothing can break out.

use std::{fmt, marker::PhantomData, net::IpAddr, str::FromStr};

use nd_cvmfs::{MasterPublicKey, RepositoryName};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

/// The text is not what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {wanted}")]
pub struct WordError {
    text: String,
    wanted: &'static str,
}

/// Declares a type for text that passes a test.
macro_rules! word {
    ($(#[$about:meta])* $name:ident, $wanted:literal, $test:expr) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                let test: fn(&str) -> bool = $test;
                if text.len() <= 4096 && test(text) {
                    return Ok(Self(text.to_owned()));
                }
                let text = text.chars().take(80).collect::<String>().escape_debug().to_string();
                Err(WordError { text, wanted: $wanted })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                parsed(from)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
    };
}

/// Reads text by its own parser, whose words become those of the error. The parser runs while the text
/// is read, so that an error is where that one text is, also within a list.
pub(super) fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    from.deserialize_str(Text(PhantomData))
}

word! {
    /// Where a server is: `http://HOST` or `https://HOST`, with a port where it is another one than usual.
    ServerAddress, "address of a server, such as `http://stratum1.example.org:8000`", |text| {
        let Some((scheme, rest)) = text.split_once("://") else {
            return false;
        };
        ["http", "https"].contains(&scheme) && is_host_and_port(rest)
    }
}

impl ServerAddress {
    /// The address of a repository on this server.
    pub fn repository(&self, name: &RepositoryName) -> String {
        format!("{}/cvmfs/{name}", self.0)
    }

    /// The host without its port.
    pub fn host(&self) -> &str {
        let host = self.0.split_once("://").map_or(&*self.0, |(_, host)| host);
        host.split_once(':').map_or(host, |(host, _)| host)
    }
}

word! {
    /// Where a proxy is: `http://HOST:PORT`.
    ProxyAddress, "address of a proxy, such as `http://proxy.example.org:3128`", |text| {
        text.strip_prefix("http://")
            .is_some_and(|rest| rest.contains(':') && is_host_and_port(rest))
    }
}

word! {
    /// A network: an address, with the length of its prefix where it is not that one machine.
    Network, "network, such as `10.0.0.0/8`", |text| {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return false;
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|bits| bits <= longest))
    }
}

word! {
    /// A name of a host, or with a dot in front all names below a domain.
    Domain, "domain, such as `.example.org`", |text| is_host(text.strip_prefix('.').unwrap_or(text))
}

word! {
    /// A name or address of a host.
    HostName, "name of a host", is_host
}

word! {
    /// The name of a user of the system.
    UserName, "name of a user", |text| {
        text.len() <= 32
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
    }
}

word! {
    /// An absolute path without blanks, quotes and `..`.
    FilePath, "absolute path of letters, digits, `.`, `_`, `-`, `+`, `@` and `/`", |text| {
        text.len() > 1
            && text.starts_with('/')
            && !text.ends_with('/')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+@/".contains(c))
            && text[1..].split('/').all(|part| !["", ".", ".."].contains(&part))
    }
}

word! {
    /// A time zone, such as `Australia/Brisbane`.
    TimeZone, "time zone, such as `Australia/Brisbane`", |text| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_+-/".contains(c))
    }
}

word! {
    /// A time span as `date` reads it, such as `2 weeks ago`.
    TimeSpan, "time span, such as `2 weeks ago`", |text| {
        let words: Vec<&str> = text.split(' ').collect();
        let [count, unit, "ago"] = words[..] else {
            return false;
        };
        count.parse::<u16>().is_ok_and(|count| count > 0)
            && ["hour", "day", "week", "month", "year"].contains(&unit.strip_suffix('s').unwrap_or(unit))
    }
}

word! {
    /// A suffix of a configuration file, such as `cdn.europe`.
    Suffix, "suffix of a file's name", |text| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    }
}

word! {
    /// The package that names the repository of CVMFS packages: an address or a file.
    ReleasePackage, "address or absolute path of a package", |text| {
        let package = [".rpm", ".deb"].iter().any(|end| text.ends_with(end));
        let plain = |text: &str| text.parse::<FilePath>().is_ok();
        package && (plain(text) || text.strip_prefix("https://").is_some_and(|rest| {
            rest.split_once('/').is_some_and(|(host, path)| is_host_and_port(host) && plain(&format!("/{path}")))
        }))
    }
}

word! {
    /// A public master key in PEM form.
    PublicKey, "public key in PEM form", |text| {
        text.is_ascii() && MasterPublicKey::parse(text).is_some()
    }
}

impl PublicKey {
    /// The key; there is one, since the text was taken for one.
    pub fn key(&self) -> Option<MasterPublicKey> {
        MasterPublicKey::parse(&self.0)
    }
}

fn is_host(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|part| {
            (1..=63).contains(&part.len())
                && !part.starts_with('-')
                && (part.chars()).all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        })
}

fn is_host_and_port(text: &str) -> bool {
    match text.split_once(':') {
        Some((host, port)) => is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0),
        None => is_host(text),
    }
}

#[cfg(test)]
mod tests {
    //! What is taken, and what would break out of a configuration file.

    use proptest::prelude::*;

    use super::*;

    fn takes<T: FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text}");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_hold_nothing_that_means_more_than_itself() {
        takes::<ServerAddress>(
            &[
                "http://a",
                "https://s1-x.example.org:8000",
                "http://127.0.0.1:81",
            ],
            &[
                "a",
                "http://",
                "http://a/b",
                "http://a b",
                "http://a:0",
                "http://a:99999",
                "http://u@a",
                "http://a\";x",
                "http://a;b",
                "http://a\nb",
                "ftp://a",
                "http://-a",
                "http://a..b",
            ],
        );
        takes::<ProxyAddress>(
            &["http://p:3128"],
            &[
                "http://p",
                "https://p:3128",
                "http://p:3128|http://q:1",
                "DIRECT",
            ],
        );
        takes::<Network>(
            &["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"],
            &[
                "10.0.0.0/33",
                "10.0.0",
                "::/129",
                "all",
                "10.0.0.0/8 all",
                "10.0.0.0/",
            ],
        );
        takes::<Domain>(&[".example.org", "a.b"], &["", ".", "..a", "a b", "*.a"]);
        takes::<UserName>(&["cvmfs", "_a-1"], &["", "Root", "a b", "a:b", "-a"]);
        takes::<FilePath>(
            &["/a", "/dev/disk/by-id/x_1", "/srv/a.b"],
            &[
                "", "/", "a", "/a/", "/a/../b", "/a//b", "/a b", "/a\n", "/$a", "/a/.",
            ],
        );
        takes::<TimeZone>(&["UTC", "Etc/GMT+1"], &["", "/UTC", "../x", "A B"]);
        takes::<TimeSpan>(
            &["2 weeks ago", "1 day ago"],
            &["2 weeks", "0 days ago", "x days ago", "2 $(x) ago"],
        );
        takes::<ReleasePackage>(
            &["https://a.b/c/d-latest.noarch.rpm", "/root/d.deb"],
            &[
                "http://a/d.rpm",
                "https://a/d.sh",
                "https://a",
                "--x.rpm",
                "https://a/../d.rpm",
            ],
        );
        takes::<PublicKey>(
            &[],
            &[
                "",
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            ],
        );
    }

    #[test]
    fn errors_show_no_control_characters() {
        let error = "/a\u{1b}[31m\n"
            .parse::<FilePath>()
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("\\u{1b}") && !error.contains('\n'),
            "{error}"
        );
    }

    proptest! {
        /// Whatever is taken means itself in shells, in CVMFS's and Squid's files and in those of Apache.
        #[test]
        fn what_is_taken_breaks_out_of_nothing(
            text in "(http://|https://|/|\\.|[0-9]{1,2} days ago)?[a-z0-9:/.@-]{0,12}[ \"'`$;|&<>(){}\\\\#=,*?!~\n\r\t\u{0}é-]{0,2}[a-z0-9.:/]{0,6}"
        ) {
            let taken = [
                text.parse::<ServerAddress>().is_ok(),
                text.parse::<ProxyAddress>().is_ok(),
                text.parse::<Network>().is_ok(),
                text.parse::<Domain>().is_ok(),
                text.parse::<HostName>().is_ok(),
                text.parse::<UserName>().is_ok(),
                text.parse::<FilePath>().is_ok(),
                text.parse::<TimeZone>().is_ok(),
                text.parse::<Suffix>().is_ok(),
                text.parse::<ReleasePackage>().is_ok(),
            ];
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+".contains(c);
            if taken.contains(&true) {
                prop_assert!(text.chars().all(plain) && !text.starts_with('-'), "{text}");
            }
            if text.parse::<TimeSpan>().is_ok() {
                prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' '), "{text}");
            }
        }
    }
}
