//! The part of the shell's language in which images set their variables.
//!
//! Runtimes source every script of `/.singularity.d/env`. What build tools write there is assignments,
//! and what the runtimes themselves put beside them asks whether a variable is empty; that much is
//! understood here. A script that says anything else in a branch that is taken is an
//! [`UnknownScript`].

use std::collections::BTreeMap;

/// A script that is more than what is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownScript;

/// A variable of the shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellVariable {
    /// Its value, which may be any bytes.
    pub value: Vec<u8>,
    /// Whether programs get it.
    pub exported: bool,
}

/// The variables of the shell, by name.
pub type ShellVariables = BTreeMap<Vec<u8>, ShellVariable>;

/// Names that the shell itself gives values, or keeps from changes.
const OF_THE_SHELL: &[&[u8]] = &[
    b"APPTAINER_CONTAINER",
    b"APPTAINER_NAME",
    b"EUID",
    b"GID",
    b"HOSTNAME",
    b"IFS",
    b"LINENO",
    b"OPTIND",
    b"PPID",
    b"RANDOM",
    b"SECONDS",
    b"SHLVL",
    b"UID",
];

/// Defaults within defaults, and questions within questions.
const DEPTH: usize = 16;

/// Does what `script` says to `variables`.
///
/// Understood are comments, `NAME=WORD`, `export NAME[=WORD]…`, `unset NAME…`, and `if` with `[ -n WORD ]`,
/// `[ -z WORD ]` or the same after `test`, with `elif` and `else`; in words quotes, `$NAME`,
/// `${NAME}` and `${NAME:-WORD}` with its kin. A branch that is not taken may hold simple commands.
///
/// ```
/// use nd_launcher::{ShellVariables, source_script};
///
/// let mut variables = ShellVariables::new();
/// source_script(b"export A=\"${A:-\"x y\"}\"\n", &mut variables).unwrap();
/// assert_eq!(variables[&b"A"[..]].value, b"x y");
/// assert!(source_script(b"export A=$(id)\n", &mut variables).is_err());
/// ```
///
/// # Errors
///
/// [`UnknownScript`] for anything else; of `variables`, some are then as the script says already.
pub fn source_script(script: &[u8], variables: &mut ShellVariables) -> Result<(), UnknownScript> {
    let mut reader = Reader {
        bytes: script,
        at: 0,
        variables,
    };
    match reader.statements(true, 0)? {
        End::Script => Ok(()),
        End::Word(_) => Err(UnknownScript),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    variables: &'a mut ShellVariables,
}

/// What ended a list of statements.
#[derive(PartialEq, Eq)]
enum End {
    Script,
    /// A word that belongs to the `if` around the list.
    Word(&'static [u8]),
}

const CLOSING: [&[u8]; 4] = [b"then", b"elif", b"else", b"fi"];
/// Words that begin what has an end of its own.
const COMPOUND: [&[u8]; 11] = [
    b"case",
    b"do",
    b"done",
    b"esac",
    b"for",
    b"function",
    b"select",
    b"until",
    b"while",
    b"{",
    b"[[",
];

/// Where a word stands, which says what ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind an equals sign.
    Value,
    /// After `-n` or `-z`, where words divide unless they are quoted.
    Condition,
    /// In `${NAME:-…}`.
    Default {
        /// In double quotes.
        quoted: bool,
    },
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Passes over blanks, and line ends that a backslash takes away.
    fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\\') if self.bytes.get(self.at + 1) == Some(&b'\n') => self.at += 2,
                _ => return,
            }
        }
    }

    /// Whether a statement ends here.
    fn at_end(&self) -> bool {
        matches!(self.peek(), None | Some(b'\n' | b';' | b'#'))
    }

    fn ended(&mut self) -> Result<(), UnknownScript> {
        self.blanks();
        if self.at_end() {
            Ok(())
        } else {
            Err(UnknownScript)
        }
    }

    /// Statements up to the end of the script, or to a word of the `if` around them.
    fn statements(&mut self, live: bool, depth: usize) -> Result<End, UnknownScript> {
        if depth > DEPTH {
            return Err(UnknownScript);
        }
        loop {
            self.blanks();
            match self.peek() {
                None => return Ok(End::Script),
                Some(b'\n' | b';') => self.at += 1,
                Some(b'#') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                Some(_) => {
                    let word = self.plain_word();
                    if let Some(end) = CLOSING.iter().find(|closing| **closing == word) {
                        self.at += word.len();
                        return Ok(End::Word(end));
                    }
                    if word == b"if" {
                        self.at += word.len();
                        self.question(live, depth)?;
                    } else if COMPOUND.contains(&word) {
                        return Err(UnknownScript);
                    } else if live {
                        self.statement()?;
                    } else {
                        self.pass_over()?;
                    }
                }
            }
        }
    }

    /// The characters up to a blank or the end of a statement; nothing is read.
    fn plain_word(&self) -> &[u8] {
        let rest = &self.bytes[self.at..];
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';'));
        &rest[..end.unwrap_or(rest.len())]
    }

    /// What follows `if`.
    fn question(&mut self, live: bool, depth: usize) -> Result<(), UnknownScript> {
        // Whether a branch can still be taken.
        let mut open = live;
        loop {
            self.blanks();
            let taken = if open {
                self.condition()?
            } else {
                self.pass_over()?;
                false
            };
            self.expect_then()?;
            let mut end = self.statements(taken, depth + 1)?;
            open &= !taken;
            if end == End::Word(b"else") {
                end = self.statements(open, depth + 1)?;
            } else if end == End::Word(b"elif") {
                continue;
            }
            return match end {
                End::Word(b"fi") => self.ended(),
                _ => Err(UnknownScript),
            };
        }
    }

    /// `then`, on this line or a later one, and no second condition before it.
    fn expect_then(&mut self) -> Result<(), UnknownScript> {
        self.blanks();
        while let Some(b'\n' | b';') = self.peek() {
            self.at += 1;
            self.blanks();
        }
        if self.plain_word() != b"then" {
            return Err(UnknownScript);
        }
        self.at += 4;
        Ok(())
    }

    /// `[ -n WORD ]`, `[ -z WORD ]`, or the same after `test`.
    fn condition(&mut self) -> Result<bool, UnknownScript> {
        let command = self.plain_word().to_vec();
        if command != b"[" && command != b"test" {
            return Err(UnknownScript);
        }
        self.at += command.len();
        self.blanks();
        let empty = match self.plain_word() {
            b"-n" => false,
            b"-z" => true,
            _ => return Err(UnknownScript),
        };
        self.at += 2;
        self.blanks();
        let word = self.word(Place::Condition, 0)?;
        self.blanks();
        if command == b"[" {
            if self.plain_word() != b"]" {
                return Err(UnknownScript);
            }
            self.at += 1;
        }
        self.ended()?;
        Ok(word.is_empty() == empty)
    }

    /// A simple command that is not run, up to its end.
    fn pass_over(&mut self) -> Result<(), UnknownScript> {
        let mut before = b' ';
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' | b';' => return Ok(()),
                b'#' if matches!(before, b' ' | b'\t') => return Ok(()),
                b'\\' => self.at += 1,
                b'\'' | b'"' => {
                    self.at += 1;
                    loop {
                        match self.next().ok_or(UnknownScript)? {
                            b'`' => return Err(UnknownScript),
                            b'$' if self.peek() == Some(b'(') => return Err(UnknownScript),
                            b'\\' if byte == b'"' => self.at += 1,
                            inner if inner == byte => break,
                            _ => {}
                        }
                    }
                    self.at -= 1;
                }
                b'`' | b'(' | b')' | b'<' => return Err(UnknownScript),
                _ => {}
            }
            before = byte;
            self.at += 1;
        }
        Ok(())
    }

    /// Assignments, `export` or `unset`.
    fn statement(&mut self) -> Result<(), UnknownScript> {
        let word = self.plain_word().to_vec();
        if word == b":" || word == b"true" {
            self.at += word.len();
            return self.ended();
        }
        let exported = word == b"export";
        let unset = word == b"unset";
        if exported || unset {
            self.at += word.len();
        }
        loop {
            self.blanks();
            let name = self.name().ok_or(UnknownScript)?;
            if OF_THE_SHELL.contains(&name.as_slice()) {
                return Err(UnknownScript);
            }
            match self.peek() {
                Some(b'=') if !unset => {
                    self.at += 1;
                    let value = self.word(Place::Value, 0)?;
                    let variable = self.variables.entry(name).or_default();
                    variable.value = value;
                    variable.exported |= exported;
                }
                None | Some(b' ' | b'\t' | b'\n' | b';' | b'\\') if exported || unset => {
                    if unset {
                        self.variables.remove(&name);
                    } else if let Some(variable) = self.variables.get_mut(&name) {
                        variable.exported = true;
                    } else {
                        // Exported as soon as something sets it, which no script of an image does.
                        return Err(UnknownScript);
                    }
                }
                _ => return Err(UnknownScript),
            }
            self.blanks();
            if self.at_end() {
                return Ok(());
            }
        }
    }

    fn name(&mut self) -> Option<Vec<u8>> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            self.at += 1;
        }
        let name = &self.bytes[start..self.at];
        let fits = name.first().is_some_and(|byte| !byte.is_ascii_digit());
        fits.then(|| name.to_vec())
    }

    fn word(&mut self, place: Place, depth: usize) -> Result<Vec<u8>, UnknownScript> {
        let in_quotes = place == Place::Default { quoted: true };
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                return match place {
                    Place::Value => Ok(out),
                    _ => Err(UnknownScript),
                };
            };
            match byte {
                b'}' if matches!(place, Place::Default { .. }) => return Ok(out),
                b' ' | b'\t' | b'\n' | b';' if !matches!(place, Place::Default { .. }) => {
                    return Ok(out);
                }
                b'\'' if !in_quotes => {
                    self.at += 1;
                    loop {
                        match self.next().ok_or(UnknownScript)? {
                            b'\'' => break,
                            byte => out.push(byte),
                        }
                    }
                }
                b'"' => {
                    self.at += 1;
                    self.quoted(&mut out, depth)?;
                }
                // Unquoted, an empty or divided value would make another question of it.
                b'$' | b'*' | b'?' | b'[' if place == Place::Condition => {
                    return Err(UnknownScript);
                }
                b'$' => {
                    self.at += 1;
                    out.extend(self.variable(in_quotes, depth)?);
                }
                b'\\' => {
                    self.at += 1;
                    match self.next().ok_or(UnknownScript)? {
                        b'\n' => {}
                        byte => out.push(byte),
                    }
                }
                // Programs, what ends a command, and what stands for other words.
                b'`' | b'(' | b')' | b'<' | b'>' | b'|' | b'&' | b'~' | b'{' | b'\r' => {
                    return Err(UnknownScript);
                }
                byte => {
                    self.at += 1;
                    out.push(byte);
                }
            }
        }
    }

    /// The rest of what stands in double quotes.
    fn quoted(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), UnknownScript> {
        loop {
            match self.next().ok_or(UnknownScript)? {
                b'"' => return Ok(()),
                b'`' => return Err(UnknownScript),
                b'$' => out.extend(self.variable(true, depth)?),
                b'\\' => match self.next().ok_or(UnknownScript)? {
                    b'\n' => {}
                    byte @ (b'"' | b'\\' | b'$' | b'`') => out.push(byte),
                    byte => out.extend([b'\\', byte]),
                },
                byte => out.push(byte),
            }
        }
    }

    /// What stands for `$NAME`, `${NAME}` and `${NAME:-WORD}` with its kin, behind the dollar.
    fn variable(&mut self, quoted: bool, depth: usize) -> Result<Vec<u8>, UnknownScript> {
        let braces = self.peek() == Some(b'{');
        if braces {
            self.at += 1;
        }
        let name = self.name().ok_or(UnknownScript)?;
        if OF_THE_SHELL.contains(&name.as_slice()) {
            return Err(UnknownScript);
        }
        let known = self.variables.get(&name).map(|known| known.value.clone());
        if !braces {
            return Ok(known.unwrap_or_default());
        }
        let colon = match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(known.unwrap_or_default());
            }
            Some(b':') => {
                self.at += 1;
                true
            }
            _ => false,
        };
        let operator = self.next().ok_or(UnknownScript)?;
        if depth > DEPTH {
            return Err(UnknownScript);
        }
        let word = self.word(Place::Default { quoted }, depth + 1)?;
        if self.next() != Some(b'}') {
            return Err(UnknownScript);
        }
        let set = known.filter(|value| !(colon && value.is_empty()));
        match operator {
            b'-' => Ok(set.unwrap_or(word)),
            b'+' => Ok(if set.is_some() { word } else { Vec::new() }),
            _ => Err(UnknownScript),
        }
    }
}

#[cfg(test)]
mod tests {
    //! What is understood, and that everything else is called unknown.

    use proptest::prelude::*;

    use super::*;

    /// The exported variables after a script, `None` when it is unknown.
    fn run(script: &str) -> Option<Vec<(String, String)>> {
        let mut variables = ShellVariables::new();
        source_script(script.as_bytes(), &mut variables).ok()?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let exported = variables.iter().filter(|(_, variable)| variable.exported);
        Some(
            exported
                .map(|(name, variable)| (text(name), text(&variable.value)))
                .collect(),
        )
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn assignments_of_every_form() {
        let script = "#!/bin/sh\nA=1; export A # one\nexport B=\"${B:-\"x y\"}\" C='$A'\"$A\"\\ z\n\
            hidden=2\nexport D=${hidden}${nothing:-\"d e\"}${A:+set}\nunset C \\\n  hidden\n";
        assert_eq!(
            run(script).unwrap(),
            pairs(&[("A", "1"), ("B", "x y"), ("D", "2d eset")])
        );
    }

    #[test]
    fn questions_whether_something_is_empty() {
        let script = "export P=/bin\nif [ -z \"${L:-}\" ]; then\n  L=libs\nelse\n  L=\"$L:libs\"\nfi\n\
            if test -n \"$P\"; then P=\"/p:$P\"; elif [ -n \"$Q\" ]; then export P=no; fi\n\
            if [ -n \"$none\" ]; then\n  . /etc/x \"$@\"\n  if test -d \"/a b\"; then echo 'fi; then'; \
            elif [ -x y ]; then exit 1; else PATH=\"a;b\"; fi\nfi\nexport L\n";
        assert_eq!(
            run(script).unwrap(),
            pairs(&[("L", "libs"), ("P", "/p:/bin")])
        );
    }

    proptest! {
        #[test]
        fn what_build_tools_write_is_read_back(value in "\\PC*") {
            let mut escaped = String::new();
            for c in value.chars() {
                if matches!(c, '\\' | '"' | '$' | '`') {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            let script = format!("#!/bin/sh\nexport A=\"${{A:-\"{escaped}\"}}\"\nexport B=\"{escaped}\"\n");
            // In a default, an unquoted `}` of the value ends it, and the tools do not know.
            if let Some(found) = run(&script) {
                prop_assert_eq!(found, pairs(&[("A", &value), ("B", &value)]));
            } else {
                prop_assert!(value.contains(['}', '\'']), "{}", script);
            }
        }

        #[test]
        fn any_bytes_are_read_or_unknown(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = source_script(&bytes, &mut ShellVariables::new());
        }
    }

    #[test]
    fn everything_else_is_unknown() {
        for script in [
            "export A=$(id)",
            "export A=\"`id`\"",
            "A=1 env",
            "A=~/x",
            "A=1 && B=2",
            "export -n A",
            "export A",
            "A=${A%/*}",
            "A=\"open",
            "A=${A:-open",
            "echo x",
            "for a in b; do A=$a; done",
            "if [ -d /x ]; then A=1; fi",
            "if [ -n $A ]; then B=1; fi",
            "if [ -n \"$A\" ]; then B=1",
            "if [ -n \"$A\" ]; echo; then B=1; fi",
            "if [ -n \"$A\" ] && [ -n x ]; then B=1; fi",
            "fi",
            "A=$UID",
            "APPTAINER_NAME=x",
            "f() { A=1; }",
            "A=1 # fine\nif [ -n \"\" ]; then cat <<E\nfi\nE\nfi",
        ] {
            assert_eq!(run(script), None, "{script}");
        }
        let deep = "if [ -n \"\" ]; then\n".repeat(5000);
        assert_eq!(run(&deep), None);
    }
}
