//! Splitting commands into words as a shell does, and quoting words for one.

/// The words of `text` by the rules of POSIX quoting; nothing is expanded. `None` when a quote is not
/// closed or a backslash ends the text.
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(letters.next()?),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            '\n' => {}
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// `word` as a shell reads it: itself when it holds nothing special, else in single quotes.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r#"'"'"'"#))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_as_a_shell() {
        let words = |text| split(text).unwrap();
        assert_eq!(
            words("bash run.sh /opt/mcr/v93/"),
            ["bash", "run.sh", "/opt/mcr/v93/"]
        );
        assert_eq!(
            words(r#" a 'b c' "d \"e\" $f" g\ h '' "#),
            ["a", "b c", "d \"e\" $f", "g h", ""]
        );
        assert!(split("'a").is_none() && split("\"a").is_none() && split("a\\").is_none());
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_word(words in prop::collection::vec(any::<String>(), 0..5)) {
            let text: Vec<String> = words.iter().map(|word| quote(word)).collect();
            prop_assert_eq!(split(&text.join(" ")).unwrap(), words);
        }
    }
}
