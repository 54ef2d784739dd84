//! Shell texts of recipes outside of the compatible mode.

use nd_instructions::PackageManager;

use crate::templates::quote;

/// A `RUN`'s flags (`--mount=…`), which stand before the text.
pub(super) fn flags(text: &str) -> (Vec<&str>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while ["--mount=", "--network=", "--security="]
        .iter()
        .any(|flag| rest.starts_with(flag))
    {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        flags.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
    }
    (flags, rest)
}

/// Shell text without its comments, where every line is a whole command.
pub(super) fn without_comments(text: &str) -> String {
    lines(text).map_or_else(|| text.trim_end().to_owned(), |lines| lines.join("\n"))
}

/// Shell text as one `&&` chain over several lines of a Dockerfile, where every line of it is a
/// whole command; `None` where only a shell can tell.
pub(super) fn chain(text: &str) -> Option<String> {
    let commands: Vec<String> = lines(text)?
        .into_iter()
        .map(|command| {
            let command = command.trim_end_matches([' ', ';']);
            let list = ["||", "&&", ";", "&", "!"];
            let several = words(command)
                .is_some_and(|words| words.iter().any(|word| list.contains(&word.as_str())));
            if several {
                format!("{{ {command}; }}")
            } else if command.starts_with('[') {
                // At the beginning it would be taken for a list.
                format!("{{ {command}; }}")
            } else {
                command.to_owned()
            }
        })
        .collect();
    let continued: Vec<String> = commands
        .iter()
        .map(|command| command.replace("\\\n", "\\\n    "))
        .collect();
    (!continued.is_empty()).then(|| continued.join(" \\\n    && "))
}

/// Words that begin what may go on in later lines, and the word that ends it.
const COMPOUND: &[(&str, &str)] = &[
    ("if", "fi"),
    ("for", "done"),
    ("while", "done"),
    ("until", "done"),
    ("case", "esac"),
    ("{", "}"),
    ("(", ")"),
];

/// Words that a whole command cannot begin with.
const INNER: &[&str] = &[
    "then", "else", "elif", "fi", "do", "done", "esac", "}", ")", "&&", "||", "|", "&", ";", ";;",
    "function",
];

/// The commands of a text, one a line; `None` if there is any other structure in it.
fn lines(text: &str) -> Option<Vec<String>> {
    let mut commands = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_end();
        if open.is_none() && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        let mut whole = match open.take() {
            // A Dockerfile would leave such a line out, a shell would not.
            Some(_) if line.trim().is_empty() || line.trim_start().starts_with('#') => {
                return None;
            }
            Some(mut before) => {
                before.push('\n');
                before.push_str(line);
                before
            }
            None => line.trim_start().to_owned(),
        };
        if continues(&whole) {
            open = Some(std::mem::take(&mut whole));
            continue;
        }
        if !complete(&whole) {
            return None;
        }
        commands.push(whole);
    }
    if let Some(last) = open {
        // The last backslash has nothing to continue.
        let last = last.trim_end_matches('\\').trim_end();
        if !complete(last) {
            return None;
        }
        commands.push(last.to_owned());
    }
    Some(commands)
}

/// Whether a line ends in a backslash that is not itself escaped.
fn continues(line: &str) -> bool {
    let slashes = line.len() - line.trim_end_matches('\\').len();
    slashes % 2 == 1
}

/// Whether text is one whole command, as far as can be told from its words.
fn complete(text: &str) -> bool {
    let Some(words) = words(text) else {
        return false;
    };
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return false;
    };
    if INNER.contains(&first.as_str()) || first.contains("()") || words.iter().any(|w| w == "()") {
        return false;
    }
    // An old substitution may go on in later lines.
    if text.matches('`').count() % 2 == 1 {
        return false;
    }
    if ["&&", "||", "|", "&", "then", "do", "else", "{", "("].contains(&last.as_str()) {
        return false;
    }
    // Whatever is begun in this line is ended in it.
    let count = |word: &str| words.iter().filter(|known| *known == word).count();
    let begun = |word: &str| {
        let mut before = ";";
        let mut count = 0;
        for known in &words {
            let start = [
                ";", "&&", "||", "|", "&", "!", "do", "then", "else", "{", "(",
            ];
            count += usize::from(known == word && start.contains(&before));
            before = known;
        }
        count
    };
    let done = begun("for") + begun("while") + begun("until");
    COMPOUND.iter().all(|(begin, end)| match *end {
        "done" => done == count("done"),
        _ => begun(begin) == count(end),
    })
}

/// Words and operators outside of quotes; a quoted word is one. `None` for open quotes and for
/// here-documents.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    let mut depth = 0_u32;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(next) => word.push(next),
            },
            '\'' => loop {
                word.push('\u{1}');
                match chars.next()? {
                    '\'' => break,
                    // A Dockerfile would join what these quotes keep apart.
                    '\n' => return None,
                    _ => {}
                }
            },
            '"' => loop {
                word.push('\u{1}');
                match chars.next()? {
                    '"' => break,
                    '\\' => {
                        chars.next()?;
                    }
                    _ => {}
                }
            },
            // A substitution is part of its word.
            '$' if chars.peek() == Some(&'(') => {
                chars.next();
                depth += 1;
                word.push('\u{1}');
            }
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => word.push('\u{1}'),
            '<' if chars.peek() == Some(&'<') => return None,
            // What follows would be a comment.
            '#' if word.is_empty() => return None,
            ';' | '&' | '|' | '(' | ')' if !(c == '&' && word.ends_with(['<', '>'])) => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                let mut operator = c.to_string();
                if let Some(next) = chars.next_if(|next| *next == c && c != '(' && c != ')') {
                    operator.push(next);
                }
                words.push(operator);
            }
            c if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    (depth == 0).then_some(words)
}

/// Text that installs packages without asking anything.
pub(crate) fn install(
    manager: PackageManager,
    packages: &[String],
    options: Option<&str>,
) -> String {
    let mut packages: Vec<String> = packages.iter().map(|package| word(package)).collect();
    packages.sort_unstable();
    packages.dedup();
    let packages = packages.join(" \\\n        ");
    match manager {
        PackageManager::Apt => {
            let options = options.unwrap_or("-q --no-install-recommends");
            format!(
                "apt-get update -qq\n\
                 DEBIAN_FRONTEND=noninteractive apt-get install -y {options} \\\n        {packages}\n\
                 rm -rf /var/lib/apt/lists/*"
            )
        }
        PackageManager::Yum => {
            let options = options.unwrap_or("-q");
            format!(
                "nd_yum=\"$(command -v dnf || command -v yum || command -v microdnf)\"\n\
                 \"$nd_yum\" install -y {options} \\\n        {packages}\n\
                 \"$nd_yum\" clean all\n\
                 rm -rf /var/cache/dnf /var/cache/yum"
            )
        }
    }
}

/// A package's name; blanks part words, so that an option may come with it.
fn word(package: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_@%+=:,./~^-".contains(&b);
    let words: Vec<String> = package
        .split_whitespace()
        .map(|word| {
            if word.bytes().all(plain) {
                word.to_owned()
            } else {
                quote(word)
            }
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_commands_of_their_own() {
        let text = "# first\nset -eu\n\nfind / -name x \\\n  -print\nif a; then b; fi;\n[ -e x ] || y\n\
                    for i in 1 2; do echo $i; done > out\nfile x\necho 'if' \"done\" $(a; b)\n\n";
        let wanted = "set -eu \\\n    && find / -name x \\\n      -print \\\n    && { if a; then b; fi; } \\\n    \
                      && { [ -e x ] || y; } \\\n    && { for i in 1 2; do echo $i; done > out; } \\\n    \
                      && file x \\\n    && echo 'if' \"done\" $(a; b)";
        assert_eq!(chain(text).unwrap(), wanted);
        assert_eq!(chain("a\nb \\\n").unwrap(), "a \\\n    && b");
    }

    #[test]
    fn structure_over_lines_is_left_to_a_shell() {
        for text in [
            "if a\nthen b\nfi",
            "for i in 1\ndo\n echo\ndone",
            "cat <<E\nx\nE",
            "f() {\n a\n}\nf",
            "echo 'a\nb'",
            "echo 'a\\\nb'",
            "a &&\nb",
            "a\n&& b",
            "(\ncd /x\n)",
            "case $x in\na) b;;\nesac",
            "echo a # note\necho b",
            "echo a \\\n# note\necho b",
            "echo a \\\n\necho b",
            "x=`echo a\necho b`",
            "sleep 1 &\necho b",
            "x=$(echo a\necho b)",
        ] {
            assert_eq!(chain(text), None, "{text}");
        }
        assert_eq!(chain("# nothing\n"), None);
    }
}
