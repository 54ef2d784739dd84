//! Words of a shell.

/// Splits text as a POSIX shell splits a simple command, quotes taken off; `None` for an open
/// quote. Nothing is expanded and nothing is a comment.
pub(crate) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            c => {
                                word.push('\\');
                                word.push(c);
                            }
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// The word in quotes, unless a shell reads it whole without them.
pub(crate) fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_come_back() {
        for word in [
            "",
            "a",
            "torch>=1.9",
            "a b",
            "it's",
            "$x",
            "a\\b",
            "\"",
            "x\ny",
        ] {
            assert_eq!(split(&quote(word)).unwrap(), [word]);
        }
        let words = split("-c conda-forge \"torch>=1.9\"\n'a b'c\\ d").unwrap();
        assert_eq!(words, ["-c", "conda-forge", "torch>=1.9", "a bc d"]);
        assert_eq!(split("'a"), None);
        assert_eq!(split("a\\"), None);
    }
}
