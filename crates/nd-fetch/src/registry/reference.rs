//! Names of images as people write them.
//!
//! `oci_spec` reads them by a regular expression that takes longer to build than many a small image to
//! pull; this reads the same names by hand.

use oci_spec::distribution::Reference;

use super::RegistryError;

/// The registry of names that say none, and what else it is called.
const HUB: [&str; 2] = ["docker.io", "index.docker.io"];
/// Longest name of a repository.
const REPOSITORY: usize = 255;
/// Longest tag.
const TAG: usize = 128;
/// Algorithms of digests, with the number of their hexadecimal digits.
const DIGESTS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// The image that `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]` names. Without a registry it is one of Docker's
/// hub, without tag and digest it is `latest`.
///
/// # Errors
///
/// [`RegistryError::Reference`] if it is no such name.
pub fn parse_reference(text: &str) -> Result<Reference, RegistryError> {
    read(text).ok_or_else(|| RegistryError::Reference { text: text.into() })
}

fn read(text: &str) -> Option<Reference> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest).filter(|text| is_digest(text))?),
        None => (text, ""),
    };
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match name[last..].find(':') {
        Some(at) => {
            let (name, tag) = name.split_at(last + at);
            (name, Some(&tag[1..]).filter(|text| is_tag(text))?)
        }
        None => (name, ""),
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first).filter(|text| is_host(text))?, rest)
        }
        _ => (HUB[0], name),
    };
    let registry = if registry == HUB[1] { HUB[0] } else { registry };
    let repository = if registry == HUB[0] && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    if repository.len() > REPOSITORY || !path.split('/').all(is_component) {
        return None;
    }
    let (registry, tag, digest) = (registry.to_owned(), tag.to_owned(), digest.to_owned());
    Some(match (tag.is_empty(), digest.is_empty()) {
        (true, true) => Reference::with_tag(registry, repository, "latest".to_owned()),
        (false, true) => Reference::with_tag(registry, repository, tag),
        (true, false) => Reference::with_digest(registry, repository, digest),
        (false, false) => Reference::with_tag_and_digest(registry, repository, tag, digest),
    })
}

fn is_digest(text: &str) -> bool {
    let known = |(algorithm, hex): (&str, &str)| {
        let whole = DIGESTS.contains(&(algorithm, hex.len()));
        whole && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    text.split_once(':').is_some_and(known)
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let more = |byte: u8| word(byte) || byte == b'.' || byte == b'-';
    text.len() <= TAG && text.bytes().next().is_some_and(word) && text.bytes().all(more)
}

/// A host, and its port after a colon.
fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let label = |label: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let ends = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && !ends && label.bytes().all(valid)
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    digits && host.split('.').all(label)
}

/// A part of the name of a repository: small letters and digits, between which stand a dot, one or two
/// underscores, or hyphens.
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let between =
        |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    let ends = text.starts_with(alphanumeric) && text.ends_with(alphanumeric);
    ends && text.split(alphanumeric).all(between)
}

#[cfg(test)]
mod tests {
    //! Held against the regular expression.

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_as_others_read_them() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in [
            "debian",
            "debian:12",
            "a/b:c",
            "docker.io/debian",
            "index.docker.io/x/y",
            "localhost/a",
            "localhost:5000/a/b:1",
            "127.0.0.1:5000/a__b/c--d.e_f:V_1.x",
            "localhost:5000",
            "a-.b/c",
            "Foo.example/x",
            "-a.b/c",
            "a..b",
            "a._b",
            "a___b/c",
            "a:",
            "a@",
            "a:-x",
            "/a",
            "a/",
            "a//b",
            "a b",
            "x.y:/a",
            "x.y:1:2/a",
            "x..y/a",
            "",
            "a:b:c",
            "a@sha256:00",
            "a@md5:00",
            "a.b./c",
        ] {
            for text in [text.to_owned(), format!("{text}@{digest}")] {
                assert_eq!(read(&text), text.parse().ok(), "{text}");
            }
        }
        let long = format!("a/{}", "b".repeat(254));
        assert_eq!(read(&long), None);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_read_alike(text in "[a-cA0:/@._-]{0,14}") {
            let theirs: Option<Reference> = text.parse().ok();
            // They let capital letters stand in the first part of a repository, which no registry does.
            let valid = |name: &Reference| !name.repository().contains(char::is_uppercase);
            prop_assert_eq!(read(&text), theirs.filter(valid));
        }
    }
}
