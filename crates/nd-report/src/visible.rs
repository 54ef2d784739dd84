//! Characters that a terminal should not be given as they are.

/// Whether a character shows nothing and changes how others are shown or read: control characters,
/// and those that set the direction of text or have no width.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

/// `text` with U+FFFD for every [invisible character](is_invisible) but the ends of lines and tabs.
pub fn visible(text: &str) -> std::borrow::Cow<'_, str> {
    let bad = |c: char| is_invisible(c) && c != '\n' && c != '\t';
    if text.contains(bad) {
        text.replace(bad, "\u{fffd}").into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_turn_text_round_or_move_the_cursor_is_marked() {
        assert_eq!(
            visible("a\u{202e}b\u{1b}[2J\n\tc"),
            "a\u{fffd}b\u{fffd}[2J\n\tc"
        );
        assert_eq!(visible("prüfen 🧠\n"), "prüfen 🧠\n");
    }
}
