//! Names of declared files inside the image.

use nd_names::Sha256;

/// The name a declared file has inside a mount and in the build context: the last part of its
/// URL, percent-decoded, or `name` where there is no URL or the part is no file name.
pub fn guest_filename(name: &str, url: Option<&str>) -> String {
    let Some(url) = url else {
        return name.to_owned();
    };
    // Line breaks and tabs are no part of a URL wherever they stand, nor is space before it.
    let url: String = url
        .trim_start_matches(|c: char| c <= ' ')
        .chars()
        .filter(|c| !matches!(c, '\t' | '\n' | '\r'))
        .collect();
    let decoded = percent_decode(path_of(&url));
    match decoded.rsplit('/').next() {
        None | Some("" | "." | "..") => name.to_owned(),
        Some(part) => part.to_owned(),
    }
}

/// The path of a URL: what stands between the host and the parameters, query or fragment.
fn path_of(url: &str) -> &str {
    let rest = match url.find(':') {
        Some(at)
            if url.starts_with(|c: char| c.is_ascii_alphabetic())
                && url[..at]
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) =>
        {
            &url[at + 1..]
        }
        _ => url,
    };
    let rest = match rest.strip_prefix("//") {
        Some(rest) => rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]),
        None => rest,
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let rest = rest.split('?').next().unwrap_or_default();
    // Parameters belong to the last part alone.
    let last = rest.rfind('/').map_or(0, |at| at + 1);
    match rest[last..].find(';') {
        Some(at) => &rest[..last + at],
        None => rest,
    }
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        if bytes[at] == b'%'
            && let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2))
        {
            out.push((high * 16 + low) as u8);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `name` with twelve digits of the digest of `source` before its last extension.
pub(crate) fn with_digest(name: &str, source: &str) -> String {
    let hex = Sha256::of(source).hex();
    let hex = &hex[..12];
    let (folder, file) = match name.rfind('/') {
        Some(at) => name.split_at(at + 1),
        None => ("", name),
    };
    // A leading dot begins an extension only where something follows it: `.rc` is all extension.
    match file.rfind('.') {
        Some(at) if at + 1 < file.len() => {
            format!("{folder}{}_{hex}{}", &file[..at], &file[at..])
        }
        _ => format!("{folder}{file}_{hex}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_urls() {
        let name = |url| guest_filename("a", Some(url));
        assert_eq!(name("https://h/x/tool.tar.gz?dl=1"), "tool.tar.gz");
        assert_eq!(name("https://h/x/"), "a");
        assert_eq!(name("https://h"), "a");
        assert_eq!(name("https://h/two%20words.zip"), "two words.zip");
        assert_eq!(name("https://h/p%2Fq"), "q");
        assert_eq!(name("https://h/b;p=1"), "b");
        assert_eq!(name("https://h/%2e%2e"), "a");
        assert_eq!(name(" https://h/x/a\tb\n.zip\n"), "ab.zip");
        assert_eq!(guest_filename("sub/cfg.txt", None), "sub/cfg.txt");
    }

    #[test]
    fn digests_stand_before_the_last_extension() {
        assert_eq!(with_digest("f.tar.gz", "u"), "f.tar_0bfe935e70c3.gz");
        assert_eq!(with_digest("a.b/content", "u"), "a.b/content_0bfe935e70c3");
        assert_eq!(with_digest(".rc", "u"), "_0bfe935e70c3.rc");
    }
}
