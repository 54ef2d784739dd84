//! Making text from images harmless.

/// Bytes of help that a module carries at most: longer ones slow every `module avail` down, since
/// caches hold them.
pub const HELP_LIMIT: usize = 16 * 1024;

/// Help that no reader can mistake for code: no control characters, no closing long bracket of any
/// level (`]]`, `]=]`, …) since Lmod puts help into such brackets, here and in its cache, and at
/// most [`HELP_LIMIT`] bytes.
///
/// ```
/// assert_eq!(nd_modulefile::clean_help("[A [A ...]] x[0]"), "[A [A ...] ] x[0]");
/// ```
pub fn clean_help(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(HELP_LIMIT));
    let mut cut = false;
    for c in text.chars() {
        if out.len() >= HELP_LIMIT {
            cut = true;
            break;
        }
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c if c.is_control() || is_format(c) => {}
            ']' => {
                let before = out.trim_end_matches('=');
                if before.ends_with(']') {
                    let at = before.len();
                    out.insert(at, ' ');
                }
                out.push(']');
            }
            c => out.push(c),
        }
    }
    let kept = out.trim_end().len();
    out.truncate(kept);
    if cut {
        out.push_str("\n...");
    }
    out
}

/// One line of clean text.
pub(crate) fn clean_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut line = clean_help(&words.join(" "));
    line.retain(|c| c != '\n');
    line
}

/// Characters that change the direction or look of the text around them.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    //! What cleaning keeps and breaks.

    use super::*;

    #[test]
    fn breaks_closing_brackets_of_every_level() {
        for (text, clean) in [
            ("[-x Y]", "[-x Y]"),
            ("]]", "] ]"),
            ("]]]", "] ] ]"),
            ("]===])", "] ===])"),
            ("]=]=]", "] =] =]"),
            ("a]\n]", "a]\n]"),
            ("]\u{1}]", "] ]"),
        ] {
            assert_eq!(clean_help(text), clean, "{text:?}");
        }
    }

    #[test]
    fn strips_control_characters_and_cuts() {
        assert_eq!(clean_help("a\u{1b}[31mb\r\nc\u{202e}\n\n"), "a[31mb\nc");
        let long = clean_help(&"é".repeat(HELP_LIMIT));
        assert!(long.len() <= HELP_LIMIT + 4 && long.ends_with("\n..."));
        assert_eq!(clean_line(" a \n b]]"), "a b] ]");
    }

    proptest::proptest! {
        #[test]
        fn never_leaves_a_long_bracket(text in "[\\]=a\u{1}\n ]{0,40}") {
            let clean = clean_help(&text);
            for level in 0..30 {
                let closing = format!("]{}]", "=".repeat(level));
                proptest::prop_assert!(!clean.contains(&closing));
            }
            proptest::prop_assert_eq!(clean_help(&clean), clean);
        }
    }
}
