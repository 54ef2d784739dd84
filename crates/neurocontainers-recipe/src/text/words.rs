//! Splitting text into words as a POSIX shell does, without expanding anything.

/// Why text cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is opened and not closed.
    #[error("a quotation is not closed")]
    Quotation,
    /// The text ends in a backslash.
    #[error("nothing follows the final backslash")]
    Escape,
}

/// Splits `text` at spaces, tabs and line ends; quotes and backslashes group as in a shell.
///
/// `#` is an ordinary character, and so is everything a shell would expand.
///
/// # Errors
///
/// When a quote or an escape is not finished.
pub fn split_words(text: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err(WordsError::Quotation),
                        Some('\'') => break,
                        Some(c) => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err(WordsError::Quotation),
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            None => return Err(WordsError::Escape),
                            Some(c @ ('"' | '\\')) => word.push(c),
                            // Inside double quotes a backslash is kept before other characters.
                            Some(c) => {
                                word.push('\\');
                                word.push(c);
                            }
                        },
                        Some(c) => word.push(c),
                    }
                }
            }
            '\\' => match chars.next() {
                None => return Err(WordsError::Escape),
                Some(c) => word.get_or_insert_default().push(c),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_like_a_shell() {
        assert_eq!(
            split_words("a 'b c' \"d\\\"e\" f\\ g").unwrap(),
            ["a", "b c", "d\"e", "f g"]
        );
        assert_eq!(split_words("a # b\n''").unwrap(), ["a", "#", "b", ""]);
        assert_eq!(split_words("a 'b"), Err(WordsError::Quotation));
        assert_eq!(split_words("a\\"), Err(WordsError::Escape));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in proptest::collection::vec("[^']{0,8}", 0..6)) {
            let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            prop_assert_eq!(split_words(&quoted.join(" ")).unwrap(), words);
        }
    }
}
