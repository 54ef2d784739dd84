//! Words of definition files: of `%files`, of headers and labels, and of the shell in `%post`.

use std::fmt::Write as _;

use nd_instructions::EnvPair;

use super::ApptainerError;

/// A path of inputs stays below where it is looked up.
pub(super) fn confined(path: &str) -> Result<(), ApptainerError> {
    if path.split('/').any(|part| part == "..") {
        return Err(ApptainerError::Path { path: path.into() });
    }
    Ok(())
}

/// A word of `%files`.
pub(super) fn file_word(path: &str) -> Result<String, ApptainerError> {
    let refused = || ApptainerError::Path { path: path.into() };
    if path.contains(['\n', '\r']) || path.contains("{{") || path.starts_with(['#', '%']) {
        return Err(refused());
    }
    match (path.contains('"'), path.contains('\'')) {
        (true, true) => Err(refused()),
        (true, false) => Ok(format!("'{path}'")),
        _ if path.contains(char::is_whitespace) || path.contains('\'') => Ok(format!("\"{path}\"")),
        _ => Ok(path.to_owned()),
    }
}

/// Text of a header or label, which is one line.
pub(super) fn single_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    apart(&words.join(" "))
}

/// `export NAME="VALUE" …`: all values see the variables from before, as in one `ENV`.
/// Names that no shell takes are left out.
pub(super) fn export(pairs: &[EnvPair]) -> Option<String> {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_';
    let pairs: Vec<&EnvPair> = pairs
        .iter()
        .filter(|pair| pair.name.starts_with(start))
        .filter(|pair| {
            let mut bytes = pair.name.bytes();
            bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    // Shells set one name after the other; where a value asks for a name that is set before it,
    // all values are taken first.
    let entangled = pairs.iter().enumerate().any(|(index, pair)| {
        let mut before = pairs[..index].iter();
        before.any(|other| pair.value.contains(&other.name))
    });
    let mut out = String::new();
    let mut words = Vec::new();
    let mut names = Vec::new();
    for (index, pair) in pairs.iter().enumerate() {
        let value = double_quoted(&pair.value);
        if entangled {
            _ = write!(out, "nd_{index}={value}; ");
            words.push(format!("{}=\"$nd_{index}\"", pair.name));
            names.push(format!("nd_{index}"));
        } else {
            words.push(format!("{}={value}", pair.name));
        }
    }
    _ = write!(out, "export {}", words.join(" "));
    if entangled {
        _ = write!(out, "; unset {}", names.join(" "));
    }
    Some(out)
}

/// A Dockerfile's value as a shell word: references to variables stay, everything else that a
/// shell would act on is taken literally.
pub(super) fn double_quoted(value: &str) -> String {
    let mut out = String::from("\"");
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '`' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => match chars.peek() {
                Some('"' | '\\' | '$') => {
                    out.push('\\');
                    out.extend(chars.next());
                }
                _ => out.push_str("\\\\"),
            },
            '$' => {
                let reference = chars
                    .peek()
                    .is_some_and(|next| next.is_ascii_alphabetic() || "_{".contains(*next));
                out.push_str(if reference { "$" } else { "\\$" });
            }
            '\n' | '\r' => out.push(' '),
            _ => out.push(c),
        }
    }
    out.push('"');
    between_braces(&out, "\"\"")
}

/// A word that a shell takes as it stands.
pub(super) fn single_quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    if word.contains(['\n', '\r']) || word.contains("{{") {
        return format!("\"$(printf '%b' '{}')\"", escaped(word));
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Keeps Apptainer from seeing a build argument where a header or label cannot hold quotes.
fn apart(text: &str) -> String {
    between_braces(text, " ")
}

fn between_braces(text: &str, separator: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '{') && out.ends_with(c) {
            out.push_str(separator);
        }
        out.push(c);
    }
    out
}

/// Text for `printf %b`, in one line and without braces.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\'' => out.push_str("'\\''"),
            '{' => out.push_str("\\0173"),
            '}' => out.push_str("\\0175"),
            _ => out.push(c),
        }
    }
    out
}

/// A script as `%post` can hold it. Apptainer takes a line that begins with `%` for a new section,
/// and `{{ NAME }}` for a build argument; a script with such text is carried as an argument.
pub(super) fn for_post(script: &str) -> String {
    let special = script
        .lines()
        .any(|line| line.trim_start().starts_with(['%', '#']));
    if special || script.contains("{{") {
        return format!("eval \"$(printf '%b' '{}')\"", escaped(script));
    }
    script.to_owned()
}
