//! Templates that only insert names and their attributes, `{{ context.version }}`: most of those
//! in recipes. They need neither a parser nor the engine; whatever is more goes to the engine.

use minijinja::Value;

/// A piece of a simple template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Text as it is.
    Text(&'t str),
    /// `name.attribute…`
    Path(&'t str),
    /// `name.attribute…('text')`, of which only the form is known.
    Call,
}

/// The pieces of a template; `None` if it is more than simple.
pub(crate) fn pieces(template: &str) -> Option<Vec<Piece<'_>>> {
    if template.contains('\r') {
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = template.strip_suffix('\n').unwrap_or(template);
    let mut from = 0;
    while let Some(found) = rest[from..].find('{') {
        let open = from + found;
        match rest.as_bytes().get(open + 1) {
            Some(b'{') => {}
            Some(b'%' | b'#') => return None,
            _ => {
                from = open + 1;
                continue;
            }
        }
        let inside = &rest[open + 2..];
        let end = inside.find("}}")?;
        pieces.push(Piece::Text(&rest[..open]));
        pieces.push(expression(inside[..end].trim_matches([' ', '\t', '\n']))?);
        rest = &inside[end + 2..];
        from = 0;
    }
    pieces.push(Piece::Text(rest));
    Some(pieces)
}

fn expression(text: &str) -> Option<Piece<'_>> {
    let Some((path, argument)) = text.split_once('(') else {
        return is_path(text).then_some(Piece::Path(text));
    };
    let argument = argument.strip_suffix(')')?;
    let quote = argument.bytes().next().filter(|c| b"'\"".contains(c))?;
    let plain = |byte: u8| !b"'\"\\{}%#\n".contains(&byte);
    let closed = argument.len() >= 2 && argument.as_bytes()[argument.len() - 1] == quote;
    let whole = closed && argument[1..argument.len() - 1].bytes().all(plain);
    (whole && is_path(path)).then_some(Piece::Call)
}

fn is_path(text: &str) -> bool {
    text.split('.').all(is_name)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = |first: u8| first.is_ascii_alphabetic() || first == b'_';
    // Words with a meaning of their own are all short.
    let keyword = || {
        matches!(
            name.to_ascii_lowercase().as_str(),
            "not"
                | "and"
                | "or"
                | "in"
                | "is"
                | "if"
                | "else"
                | "true"
                | "false"
                | "none"
                | "self"
                | "loop"
                | "super"
                | "caller"
                | "varargs"
                | "kwargs"
        )
    };
    bytes.next().is_some_and(begins)
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && (name.len() > 7 || !keyword())
}

/// The text that pieces give, if every name in them has text as its value.
pub(crate) fn render(pieces: &[Piece<'_>], context: &Value) -> Option<String> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Path(path) => {
                let mut names = path.split('.');
                let mut value = context.get_attr(names.next()?).ok()?;
                for name in names {
                    value = value.get_attr(name).ok()?;
                }
                out.push_str(value.as_str()?);
            }
            Piece::Call => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_simple_templates_from_others() {
        let found = pieces("a {{ b.c }}{d}\n{{get_file('x y')}}\n\n").unwrap();
        let expected = [
            Piece::Text("a "),
            Piece::Path("b.c"),
            Piece::Text("{d}\n"),
            Piece::Call,
            Piece::Text("\n"),
        ];
        assert_eq!(found, expected);
        for more in [
            "{{ a -}}",
            "{{ a | b }}",
            "{{ a",
            "{{}}",
            "{{ a.}}",
            "{{ not }}",
            "{{ 1 }}",
            "{# a #}",
            "{% a %}",
            "{{ a('b', c) }}",
            "{{ a('b')() }}",
            "{{ a(b) }}",
            "{{ a('}}') }}",
            "\r{{ a }}",
        ] {
            assert_eq!(pieces(more), None, "{more}");
        }
    }
}
