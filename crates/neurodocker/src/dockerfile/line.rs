//! The line normaliser of `RUN`, with all its habits.

/// Lines as Python's `splitlines` cuts them.
pub(super) fn split_lines(text: &str) -> Vec<&str> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(at) = rest.find(ends) else {
            lines.push(rest);
            break;
        };
        lines.push(&rest[..at]);
        let length = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        rest = &rest[at + length..];
    }
    lines
}

/// White space as Python's `strip` takes it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Makes the lines of an instruction one logical line, as NeuroContainers' builder does: `&&`
/// before each but the first, a backslash after each but the last, four or seven spaces of indent.
///
/// Known to corrupt some scripts (a line beginning with `find` gets no `&&`, one after a line
/// beginning with `if` neither); that is the point of it.
pub fn normalise_run(text: &str) -> String {
    let raw = split_lines(text);
    let mut out = Vec::with_capacity(raw.len());
    for (index, line) in raw.iter().enumerate() {
        let stripped = line.trim_end_matches(is_space);
        if stripped.is_empty() {
            continue;
        }
        let continues = ["&", "|", "fi"]
            .iter()
            .any(|word| stripped.starts_with(word));
        let comment = stripped.starts_with('#');
        let previous = index
            .checked_sub(1)
            .is_some_and(|index| raw[index].ends_with('\\') || raw[index].starts_with("if"));
        let mut written = String::with_capacity(stripped.len() + 12);
        if index > 0 {
            written.push_str(if previous && !continues {
                "       "
            } else {
                "    "
            });
            if !continues && !previous && !comment {
                written.push_str("&& ");
            }
        }
        written.push_str(stripped);
        if index + 1 < raw.len() && !stripped.ends_with('\\') && !comment {
            written.push_str(" \\");
        }
        out.push(written);
    }
    out.join("\n")
}
