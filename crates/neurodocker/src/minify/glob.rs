//! Patterns of paths, as shells have them.

use super::error::MinifyError;

/// A pattern: `*` and `?` stay within one name, `**` goes over any number of them, `[a-z]` is a
/// class. One without a slash is about names wherever they are; one with a slash is about paths from
/// the root. What a pattern says of a directory it says of everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// For each part of a path; `None` stands for any number of parts.
    parts: Vec<Option<Vec<u8>>>,
    /// Whether it is about names.
    anywhere: bool,
}

/// Patterns of what is kept unless told otherwise: licences travel with what they are of.
pub(super) const LICENCES: &[&str] = &["LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "copyright"];

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, MinifyError> {
        let wrong = |problem| MinifyError::Pattern {
            pattern: text.to_owned(),
            problem,
        };
        let anywhere = !text.contains('/');
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            if part == "**" {
                // Two in a row are one.
                if parts.last() != Some(&None) {
                    parts.push(None);
                }
                continue;
            }
            if part.contains('[') && !part[part.find('[').unwrap_or(0)..].contains(']') {
                return Err(wrong("a `[` is never closed"));
            }
            parts.push(Some(part.as_bytes().to_vec()));
        }
        if parts.iter().all(Option::is_none) {
            return Err(wrong("it stands for everything"));
        }
        Ok(Self { parts, anywhere })
    }

    /// Whether it is about `path` (without a slash in front) or a directory above.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        if self.anywhere {
            let Some(Some(pattern)) = self.parts.first() else {
                return false;
            };
            return names.iter().any(|name| name_matches(pattern, name));
        }
        // Which beginnings of the pattern the names so far can be; no pattern is long.
        let mut at = vec![false; self.parts.len() + 1];
        at[0] = true;
        self.skip(&mut at);
        for name in names {
            let mut next = vec![false; self.parts.len() + 1];
            for (number, part) in self.parts.iter().enumerate() {
                match part {
                    _ if !at[number] => {}
                    None => next[number] = true,
                    Some(pattern) => next[number + 1] |= name_matches(pattern, name),
                }
            }
            self.skip(&mut next);
            if next[self.parts.len()] {
                return true;
            }
            at = next;
        }
        false
    }

    /// `**` also stands for no name at all.
    fn skip(&self, at: &mut [bool]) {
        for (number, part) in self.parts.iter().enumerate() {
            if at[number] && part.is_none() {
                at[number + 1] = true;
            }
        }
    }
}

/// Whether a name is what a pattern without slashes says; no recursion: the last `*` is tried again.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], name[n]),
            Some(b'\\') if pattern.get(p + 1) == Some(&name[n]) => Some(2),
            Some(byte) if *byte == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(width), _) => {
                p += width;
                n += 1;
            }
            (None, Some((after, from))) => {
                p = after;
                n = from + 1;
                star = Some((after, from + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// How wide the class at the beginning of `pattern` is, if `byte` is in it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let close = 2 + pattern.get(2..)?.iter().position(|&byte| byte == b']')?;
    let (negated, set) = match &pattern[1..close] {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut inside = false;
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == b'-' {
            inside |= (set[at]..=set[at + 2]).contains(&byte);
            at += 3;
        } else {
            inside |= set[at] == byte;
            at += 1;
        }
    }
    (inside != negated).then_some(close + 1)
}

#[cfg(test)]
mod tests {
    //! What patterns are about.

    use super::Pattern;

    #[test]
    fn patterns_are_about_what_they_say() {
        for (pattern, path, expected) in [
            ("*.so", "opt/lib/a.so", true),
            ("*.so", "opt/lib/a.so.1", false),
            ("LICENSE*", "opt/LICENSE.txt", true),
            ("licenses", "opt/licenses/mit", true),
            ("/opt/*/lib", "opt/fsl/lib/x/y", true),
            ("/opt/*/lib", "opt/fsl/bin/lib", false),
            ("opt/**/lib", "opt/lib", true),
            ("opt/**/*.py", "opt/a/b/c.py", true),
            ("opt/**/*.py", "usr/a/b/c.py", false),
            ("**/share/*", "usr/local/share/doc", true),
            ("a?[0-9][!x]", "usr/ab3y", true),
            ("a?[0-9][!x]", "usr/ab3x", false),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "aXXbYY", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            ("data", "opt/database", false),
        ] {
            let found = Pattern::new(pattern).unwrap().matches(path.as_bytes());
            assert_eq!(found, expected, "`{pattern}` and `{path}`");
        }
        assert!(Pattern::new("/").is_err());
        assert!(Pattern::new("**").is_err());
        assert!(Pattern::new("a[b").is_err());
    }
}
