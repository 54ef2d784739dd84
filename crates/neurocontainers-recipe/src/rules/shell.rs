//! Commands of a shell script, as far as rules need them.

use std::ops::Range;

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// The word without its quotes; variables and templates stay as they are written.
    pub(super) text: String,
    /// Where it stands in the script, quotes included.
    pub(super) range: Range<usize>,
}

/// A simple command with its assignments and redirections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Its words.
    pub(super) words: Vec<Word>,
    /// Files that its output goes to.
    pub(super) outputs: Vec<Word>,
}

/// The simple commands of a script, in order. Never fails: what is no shell gives odd words.
///
/// Commands inside `$(…)`, here-documents and functions are not told from others; for what rules
/// ask that does not matter. The scripts of `bash -c '…'` are opened, with the place of their word.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut found = Vec::new();
    split(script, &mut found);
    let mut inner = Vec::new();
    for command in &found {
        let mut words = command.words.iter();
        let shell = words.any(|word| matches!(word.name(), "bash" | "sh" | "dash" | "zsh"));
        // `-c`, `-lc`, `-ec`: the script follows.
        let script = words
            .skip_while(|word| !(word.text.starts_with('-') && word.text.ends_with('c')))
            .nth(1);
        if let (true, Some(script)) = (shell, script) {
            let mut opened = Vec::new();
            split(&script.text, &mut opened);
            for command in &mut opened {
                for word in command.words.iter_mut().chain(&mut command.outputs) {
                    word.range = script.range.clone();
                }
            }
            inner.extend(opened);
        }
    }
    found.extend(inner);
    found
}

impl Word {
    /// The last part of the word as a path.
    pub(super) fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

impl Command {
    /// The program: the first word that is no assignment, keyword or prefix.
    pub(super) fn program(&self) -> &str {
        self.words
            .iter()
            .find(|word| {
                let assigns = word
                    .text
                    .split_once('=')
                    .is_some_and(|(name, _)| is_variable(name));
                let prefix = matches!(
                    word.text.as_str(),
                    "if" | "then"
                        | "else"
                        | "elif"
                        | "do"
                        | "while"
                        | "until"
                        | "!"
                        | "{"
                        | "}"
                        | "sudo"
                        | "time"
                        | "exec"
                        | "command"
                );
                !assigns && !prefix
            })
            .map_or("", Word::name)
    }
}

/// Whether `name` can be a variable's.
pub(super) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What is being read.
#[derive(Default)]
struct Reader {
    command: Command,
    text: String,
    start: Option<usize>,
    to_output: bool,
    /// Ends of here-documents that begin after this line.
    documents: Vec<String>,
}

impl Reader {
    fn push(&mut self, at: usize, piece: &str) {
        self.start.get_or_insert(at);
        self.text.push_str(piece);
    }

    fn end_word(&mut self, at: usize) {
        if let Some(start) = self.start.take() {
            let word = Word {
                text: std::mem::take(&mut self.text),
                range: start..at,
            };
            if std::mem::take(&mut self.to_output) {
                self.command.outputs.push(word);
            } else {
                self.command.words.push(word);
            }
        }
    }

    fn end_command(&mut self, at: usize, found: &mut Vec<Command>) {
        self.end_word(at);
        self.to_output = false;
        let command = std::mem::take(&mut self.command);
        if !command.words.is_empty() || !command.outputs.is_empty() {
            found.push(command);
        }
    }
}

fn split(script: &str, found: &mut Vec<Command>) {
    let bytes = script.as_bytes();
    let mut reader = Reader::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &script[at..];
        match byte {
            b'{' if rest.starts_with("{{") => {
                // A template is part of a word, blanks and all.
                let length = rest.find("}}").map_or(rest.len(), |end| end + 2);
                reader.push(at, &rest[..length]);
                at += length;
            }
            b'\\' if rest.starts_with("\\\n") => {
                reader.end_word(at);
                at += 2;
            }
            b'\\' => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                reader.push(at, &rest[1..length]);
                at += length;
            }
            b'\'' => {
                let end = rest[1..].find('\'').map_or(rest.len(), |end| end + 1);
                reader.push(at, &rest[1..end]);
                at += (end + 1).min(rest.len());
            }
            b'"' => at += quoted(rest, at, &mut reader),
            b' ' | b'\t' | b'\r' => {
                reader.end_word(at);
                at += 1;
            }
            b'#' if reader.start.is_none() => at += rest.find('\n').unwrap_or(rest.len()),
            b'>' => {
                // A number before it names a stream and is no word.
                if reader.text.bytes().all(|byte| byte.is_ascii_digit()) {
                    reader.start = None;
                    reader.text.clear();
                }
                reader.end_word(at);
                at += rest.len() - rest.trim_start_matches(['>', '|']).len();
                if bytes.get(at) == Some(&b'&') {
                    at += 1;
                }
                reader.to_output = true;
            }
            b'<' if rest.starts_with("<<") && !rest.starts_with("<<<") => {
                reader.end_word(at);
                let marker = rest[2..]
                    .trim_start_matches('-')
                    .trim_start_matches([' ', '\t']);
                let length = marker
                    .find(|c: char| c.is_whitespace() || ";&|<>()".contains(c))
                    .unwrap_or(marker.len());
                let end = marker[..length].trim_matches(['\'', '"']);
                reader.documents.push(end.to_owned());
                at += rest.len() - marker.len() + length;
            }
            b'\n' if !reader.documents.is_empty() => {
                reader.end_command(at, found);
                at += 1;
                // The documents are data; commands go on after the last one.
                for end in std::mem::take(&mut reader.documents) {
                    for line in script[at..].split_inclusive('\n') {
                        at += line.len();
                        if line.trim() == end {
                            break;
                        }
                    }
                }
            }
            b'\n' | b';' | b'&' | b'|' | b'(' | b')' => {
                reader.end_command(at, found);
                at += 1;
            }
            _ => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                reader.push(at, &rest[..length]);
                at += length;
            }
        }
    }
    reader.end_command(script.len(), found);
}

/// Takes a double-quoted piece that begins `rest`, and says how long it is.
fn quoted(rest: &str, at: usize, reader: &mut Reader) -> usize {
    reader.push(at, "");
    let mut inside = 1;
    while let Some(c) = rest[inside..].chars().next() {
        let piece = &rest[inside..];
        match c {
            '"' => return inside + 1,
            '{' if piece.starts_with("{{") => {
                let length = piece.find("}}").map_or(piece.len(), |end| end + 2);
                reader.push(at, &piece[..length]);
                inside += length;
            }
            '\\' => {
                let next = piece[1..].chars().next();
                let length = next.map_or(0, char::len_utf8);
                if next != Some('\n') {
                    // Before other characters the backslash itself stays; rules do not care.
                    reader.push(at, &piece[1..=length]);
                }
                inside += 1 + length;
            }
            _ => {
                reader.push(at, &piece[..c.len_utf8()]);
                inside += c.len_utf8();
            }
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(script: &str) -> Vec<Vec<String>> {
        commands(script)
            .into_iter()
            .map(|command| {
                let outputs = command
                    .outputs
                    .into_iter()
                    .map(|word| format!(">{}", word.text));
                command
                    .words
                    .into_iter()
                    .map(|word| word.text)
                    .chain(outputs)
                    .collect()
            })
            .collect()
    }

    #[test]
    fn splits_what_recipes_write() {
        assert_eq!(
            words(
                "cd /opt && curl -L \"{{ get_file('a b') }}\" \\\n  | tar x; echo 'a;b' 2>&1 >> ~/.bashrc # c && d"
            ),
            [
                vec!["cd", "/opt"],
                vec!["curl", "-L", "{{ get_file('a b') }}"],
                vec!["tar", "x"],
                vec!["echo", "a;b", ">1", ">~/.bashrc"],
            ]
        );
        assert_eq!(
            words("bash -lc \"pip install x && y\""),
            [
                vec!["bash", "-lc", "pip install x && y"],
                vec!["pip", "install", "x"],
                vec!["y"]
            ]
        );
        assert_eq!(
            words("cat > /opt/run <<'EOF' && chmod +x /opt/run\nexport A=b\nEOF\nls"),
            [
                vec!["cat", ">/opt/run"],
                vec!["chmod", "+x", "/opt/run"],
                vec!["ls"]
            ]
        );
        assert_eq!(commands("if X=1 sudo /usr/bin/curl a")[0].program(), "curl");
    }

    proptest! {
        #[test]
        fn takes_anything(script in "[a-z{}'\"\\\\ \n#>&|$()é-]{0,60}") {
            for command in commands(&script) {
                for word in command.words.iter().chain(&command.outputs) {
                    prop_assert!(script.get(word.range.clone()).is_some());
                }
            }
        }
    }
}
