//! What Jinja2's lexer takes and the engine's does not: brought into a form both take.
//!
//! - `\r\n` and `\r` are newlines.
//! - String literals that follow one another are one literal.
//! - `'text' % value` formats; the engine knows `%` for numbers alone, so it becomes a filter.

use std::borrow::Cow;

/// Name of the filter that `%` on a string literal becomes.
pub(crate) const PERCENT: &str = "percent__";

/// The template in the form that the engine reads; borrowed when nothing is to be done.
pub(crate) fn prepare(template: &str) -> Cow<'_, str> {
    let mut source = Cow::Borrowed(template);
    if template.contains('\r') {
        source = Cow::Owned(template.replace("\r\n", "\n").replace('\r', "\n"));
    }
    let suspicious = has_adjacent(&source);
    if suspicious && let Some(changed) = rewrite(&source) {
        return Cow::Owned(changed);
    }
    source
}

/// Whether a literal may be followed by another one or by `%`, in any block.
fn has_adjacent(source: &str) -> bool {
    let mut rest = source;
    while let Some(found) = rest.find('{') {
        let close = match rest.as_bytes().get(found + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            _ => {
                rest = &rest[found + 1..];
                continue;
            }
        };
        let open = found + 2;
        let end = block_end(rest, open, close).unwrap_or(rest.len());
        let mut after_quote = false;
        let adjacent = rest[open..end].bytes().any(|byte| {
            let found = after_quote && matches!(byte, b'\'' | b'"' | b'%');
            after_quote =
                matches!(byte, b'\'' | b'"') || (after_quote && byte.is_ascii_whitespace());
            found
        });
        if adjacent {
            return true;
        }
        rest = &rest[end..];
    }
    false
}

/// Most steps (operators, attributes, calls, filters) in one block. The engine parses and drops
/// chains of steps by recursion; this many need a fraction of the smallest stack of a thread.
const MOST_STEPS: usize = 400;

/// Deepest nesting of brackets in one block.
const MOST_BRACKETS: usize = 50;

/// Whether every block is small enough for the engine's recursion.
pub(crate) fn is_shallow(source: &str) -> bool {
    if source.len() <= MOST_BRACKETS {
        return true;
    }
    let mut at = 0;
    while let Some(found) = source[at..].find('{') {
        let open = at + found;
        let close = match source.as_bytes().get(open + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            _ => {
                at = open + 1;
                continue;
            }
        };
        // A block without an end is a syntax error, but only after it was parsed.
        let end = block_end(source, open + 2, close).unwrap_or(source.len());
        if !is_shallow_block(&source[open + 2..end]) {
            return false;
        }
        at = (end + 2).min(source.len());
    }
    true
}

fn is_shallow_block(inner: &str) -> bool {
    let (mut steps, mut depth) = (0, 0_usize);
    let mut at = 0;
    while at < inner.len() {
        let rest = &inner[at..];
        let first = rest.as_bytes()[0];
        at += match first {
            b'\'' | b'"' => string_length(rest).unwrap_or(rest.len()),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'0'..=b'9' => {
                let length = word_length(rest);
                if matches!(
                    &rest[..length],
                    "not" | "and" | "or" | "if" | "else" | "is" | "in"
                ) {
                    steps += 1;
                }
                length
            }
            b' ' | b'\n' | b'\t' | b',' | b':' => 1,
            _ => {
                match first {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                steps += 1;
                rest.chars().next().map_or(1, char::len_utf8)
            }
        };
        if steps > MOST_STEPS || depth > MOST_BRACKETS {
            return false;
        }
    }
    true
}

/// Rewrites the expressions of a template; `None` if nothing changes.
fn rewrite(source: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = source[at..].find('{') {
        let open = at + found;
        let rest = &source[open..];
        if let Some(comment) = rest.strip_prefix("{#") {
            // Only what follows the start can be its end: `{#}` is none.
            let end = comment.find("#}");
            at = end.map_or(source.len(), |end| open + end + 4);
            continue;
        }
        let close = if rest.starts_with("{{") {
            "}}"
        } else if rest.starts_with("{%") {
            "%}"
        } else {
            at = open + 1;
            continue;
        };
        let Some(end) = block_end(source, open + 2, close) else {
            break;
        };
        let inner = &source[open + 2..end];
        let word = inner.trim_start_matches(['-', '+']).trim();
        if close == "%}" && word.trim_end_matches(['-', '+']).trim() == "raw" {
            // What stands between `raw` and `endraw` is nobody's expression.
            at = raw_end(source, end + 2);
            continue;
        }
        if let Some(changed) = rewrite_expression(inner) {
            out.push_str(&source[copied..open + 2]);
            out.push_str(&changed);
            copied = end;
        }
        at = end + 2;
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&source[copied..]);
    Some(out)
}

/// Where the block ends that begins before `from`; strings may hold its closing mark.
fn block_end(source: &str, from: usize, close: &str) -> Option<usize> {
    let mut at = from;
    while at < source.len() {
        let rest = &source[at..];
        if rest.starts_with(close) {
            return Some(at);
        }
        at += match rest.as_bytes()[0] {
            b'\'' | b'"' => string_length(rest)?,
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

/// First byte after the `endraw` block.
fn raw_end(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = source[at..].find("{%") {
        at += found + 2;
        // Anything may stand before it, also what looks like the start of a block.
        let word = source[at..].trim_start_matches(['-', '+']).trim_start();
        if let Some(rest) = word.strip_prefix("endraw") {
            let rest = rest.trim_start().trim_start_matches(['-', '+']);
            if rest.starts_with("%}") {
                return source.len() - rest.len() + 2;
            }
        }
    }
    source.len()
}

/// Bytes of the string literal that `text` begins with, quotes included.
fn string_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == bytes[0] => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Joins adjacent literals and turns `%` after a literal into a filter.
fn rewrite_expression(inner: &str) -> Option<String> {
    let mut out = String::new();
    let mut changed = false;
    let mut at = 0;
    while at < inner.len() {
        let rest = &inner[at..];
        if !rest.starts_with(['\'', '"']) {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..length]);
            at += length;
            continue;
        }
        let mut length = string_length(rest)?;
        let mut literal = rest[..length].to_owned();
        loop {
            let after = &rest[length..];
            let trimmed = after.trim_start();
            if !trimmed.starts_with(['\'', '"']) {
                break;
            }
            let next = string_length(trimmed)?;
            literal = join(&literal, &trimmed[..next]);
            length += after.len() - trimmed.len() + next;
            changed = true;
        }
        out.push_str(&literal);
        at += length;
        let after = &inner[at..];
        let trimmed = after.trim_start();
        if let Some(operand) = trimmed.strip_prefix('%')
            && let Some(length) = operand_length(operand)
        {
            let operand_text = &operand[..length];
            let operand_text =
                rewrite_expression(operand_text).unwrap_or_else(|| operand_text.to_owned());
            out.push_str(" | ");
            out.push_str(PERCENT);
            out.push('(');
            out.push_str(operand_text.trim());
            out.push(')');
            at = inner.len() - operand.len() + length;
            changed = true;
        }
    }
    changed.then_some(out)
}

/// One literal for two.
fn join(one: &str, other: &str) -> String {
    let quote = &one[..1];
    let inner = &other[1..other.len() - 1];
    let inner = if other.starts_with(quote) {
        inner.to_owned()
    } else {
        inner.replace(quote, &format!("\\{quote}"))
    };
    format!("{}{inner}{quote}", &one[..one.len() - 1])
}

/// Bytes of the operand after `%`: a literal, name or bracketed expression with what follows it
/// closely (attributes, items, calls).
fn operand_length(text: &str) -> Option<usize> {
    let mut at = text.len() - text.trim_start().len();
    let first = text[at..].chars().next()?;
    match first {
        '\'' | '"' => at += string_length(&text[at..])?,
        '(' | '[' | '{' => at += bracket_length(&text[at..])?,
        _ if first.is_alphanumeric() || first == '_' => at += word_length(&text[at..]),
        _ => return None,
    }
    loop {
        let rest = &text[at..];
        match rest.chars().next() {
            Some('.') if rest[1..].starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                at += 1 + word_length(&rest[1..]);
            }
            Some('(' | '[') => at += bracket_length(rest)?,
            _ => return Some(at),
        }
    }
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Bytes up to the bracket that closes the first one.
fn bracket_length(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        at += match rest.as_bytes()[0] {
            b'\'' | b'"' => string_length(rest)?,
            b'(' | b'[' | b'{' => {
                depth += 1;
                1
            }
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
                1
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_adjacent_literals() {
        assert_eq!(prepare("{{ 'a' 'b' }}"), "{{ 'ab' }}");
        assert_eq!(prepare("{{ 'a'\n\"b'\" 'c' }}"), "{{ 'ab\\'c' }}");
        assert_eq!(prepare("{% if x == 'a' 'b' %}"), "{% if x == 'ab' %}");
    }

    #[test]
    fn makes_percent_a_filter() {
        assert_eq!(prepare("{{ 'a%s' % 'b' }}"), "{{ 'a%s' | percent__('b') }}");
        assert_eq!(
            prepare("{{ '%s-%s' % (a.b, c[0]) + d }}"),
            "{{ '%s-%s' | percent__((a.b, c[0])) + d }}"
        );
    }

    #[test]
    fn leaves_everything_else_alone() {
        for text in [
            "{{ a % b }}",
            "echo 'a' 'b' %",
            "{{ x }} 'a' 'b' {% if y %}'c' \"d\"{% endif %}",
            "{% raw %}{{ 'a' 'b' }}{% endraw %}",
            "{# 'a' 'b' #}",
            "{{ 'a' 'b",
            "{{ f('a', 'b') }}",
            "{% if a == 'b' %}",
        ] {
            assert_eq!(prepare(text), text);
        }
    }

    #[test]
    fn knows_every_newline() {
        assert_eq!(prepare("a\r\nb\rc"), "a\nb\nc");
    }
}
