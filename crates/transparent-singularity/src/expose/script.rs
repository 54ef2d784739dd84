//! The environment scripts of an image, read in the forms that are known.
//!
//! Runtimes source every file of `/.singularity.d/env`. What build tools write there is a list of
//! assignments, and a list of assignments is read here without running it: literal words, and
//! variables that earlier lines have set. Anything else is another program, and said to be one.

use std::collections::BTreeMap;

/// A script that is more than assignments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

/// Applies the assignments of `script` to `variables`.
///
/// Understood are comments, `export NAME=WORD`, `NAME=WORD` and `export NAME`, where a word is made
/// of plain characters, quotes and `$NAME`, `${NAME}`, `${NAME:-WORD}` with a default that is quoted
/// or plain.
///
/// # Errors
///
/// [`Unknown`] for anything else; `variables` is then as before.
pub fn apply_script(
    script: &[u8],
    variables: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Unknown> {
    let mut after = variables.clone();
    let mut reader = Script {
        bytes: script,
        at: 0,
        variables: &mut after,
    };
    reader.lines()?;
    *variables = after;
    Ok(())
}

struct Script<'a> {
    bytes: &'a [u8],
    at: usize,
    variables: &'a mut BTreeMap<String, Vec<u8>>,
}

/// Where a word stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind an equals sign.
    Value,
    /// In `${NAME:-…}`.
    Default {
        /// Inside double quotes, so that blanks and such are plain.
        quoted: bool,
    },
}

impl Script<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, wanted: &[u8]) {
        while self.peek().is_some_and(|byte| wanted.contains(&byte)) {
            self.at += 1;
        }
    }

    fn lines(&mut self) -> Result<(), Unknown> {
        loop {
            self.skip(b" \t\r\n;");
            match self.peek() {
                None => return Ok(()),
                Some(b'#') => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                Some(_) => self.statement()?,
            }
        }
    }

    /// One `export` or assignment.
    fn statement(&mut self) -> Result<(), Unknown> {
        let mut name = self.name().ok_or(Unknown)?;
        let mut exported = false;
        if name == "export" && self.peek() != Some(b'=') {
            exported = true;
            self.skip(b" \t");
            name = self.name().ok_or(Unknown)?;
        }
        loop {
            match self.peek() {
                Some(b'=') => {
                    self.at += 1;
                    let value = self.word(Place::Value, 0)?;
                    self.variables.insert(name, value);
                }
                // A variable that is set already.
                None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';') if exported => {}
                _ => return Err(Unknown),
            }
            self.skip(b" \t");
            match self.peek() {
                None | Some(b'\r' | b'\n' | b';' | b'#') => return Ok(()),
                // `export A=1 B=2`; without `export`, a command follows.
                _ if exported => name = self.name().ok_or(Unknown)?,
                _ => return Err(Unknown),
            }
        }
    }

    fn name(&mut self) -> Option<String> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            self.at += 1;
        }
        let name = &self.bytes[start..self.at];
        let fits = name.first().is_some_and(|byte| !byte.is_ascii_digit());
        fits.then(|| String::from_utf8_lossy(name).into_owned())
    }

    fn word(&mut self, place: Place, depth: u8) -> Result<Vec<u8>, Unknown> {
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                return if place == Place::Value {
                    Ok(out)
                } else {
                    Err(Unknown)
                };
            };
            match byte {
                b'}' if place != Place::Value => return Ok(out),
                b' ' | b'\t' | b'\r' | b'\n' | b';' if place == Place::Value => return Ok(out),
                b'\'' if place != (Place::Default { quoted: true }) => {
                    self.at += 1;
                    loop {
                        match self.next() {
                            None => return Err(Unknown),
                            Some(b'\'') => break,
                            Some(byte) => out.push(byte),
                        }
                    }
                }
                b'"' => {
                    self.at += 1;
                    self.quoted(&mut out, depth)?;
                }
                b'$' => {
                    self.at += 1;
                    out.extend(self.variable(place == (Place::Default { quoted: true }), depth)?);
                }
                b'\\' => {
                    self.at += 1;
                    match self.next() {
                        Some(b'\n') => {}
                        Some(byte) => out.push(byte),
                        None => return Err(Unknown),
                    }
                }
                // Home folders, programs, patterns, and what ends a command.
                b'`' | b'(' | b')' | b'<' | b'>' | b'|' | b'&' => return Err(Unknown),
                b'~' if out.is_empty() => return Err(Unknown),
                byte => {
                    self.at += 1;
                    out.push(byte);
                }
            }
        }
    }

    fn quoted(&mut self, out: &mut Vec<u8>, depth: u8) -> Result<(), Unknown> {
        loop {
            match self.next().ok_or(Unknown)? {
                b'"' => return Ok(()),
                b'`' => return Err(Unknown),
                b'$' => out.extend(self.variable(true, depth)?),
                b'\\' => match self.next().ok_or(Unknown)? {
                    b'\n' => {}
                    byte @ (b'"' | b'\\' | b'$' | b'`') => out.push(byte),
                    byte => out.extend([b'\\', byte]),
                },
                byte => out.push(byte),
            }
        }
    }

    /// What stands for `$NAME`, `${NAME}`, `${NAME:-WORD}` or `${NAME-WORD}`, behind the dollar.
    fn variable(&mut self, quoted: bool, depth: u8) -> Result<Vec<u8>, Unknown> {
        let braces = self.peek() == Some(b'{');
        if braces {
            self.at += 1;
        }
        let Some(name) = self.name() else {
            // A dollar by itself is a dollar; `$(`, `$1`, `$?` and such are not.
            let plain = matches!(self.peek(), None | Some(b'"' | b' ' | b'\n' | b'/' | b':'));
            return if plain && !braces {
                Ok(b"$".to_vec())
            } else {
                Err(Unknown)
            };
        };
        let known = self.variables.get(&name).cloned();
        if !braces {
            // A variable of the host: unknown here, and unset in a clean environment.
            return Ok(known.unwrap_or_default());
        }
        match self.next() {
            Some(b'}') => Ok(known.unwrap_or_default()),
            Some(operator @ (b':' | b'-' | b'+')) => {
                let colon = operator == b':';
                let operator = if colon { self.next() } else { Some(operator) };
                // Defaults of defaults of defaults are nobody's build tool.
                if depth > 4 {
                    return Err(Unknown);
                }
                let word = self.word(Place::Default { quoted }, depth + 1)?;
                if self.next() != Some(b'}') {
                    return Err(Unknown);
                }
                let set = known.filter(|value| !(colon && value.is_empty()));
                match operator {
                    Some(b'-') => Ok(set.unwrap_or(word)),
                    Some(b'+') => Ok(if set.is_some() { word } else { Vec::new() }),
                    _ => Err(Unknown),
                }
            }
            _ => Err(Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Known forms, and that everything else is called unknown.

    use proptest::prelude::*;

    use super::*;

    fn read(script: &str) -> Option<BTreeMap<String, String>> {
        let mut out = BTreeMap::new();
        apply_script(script.as_bytes(), &mut out).ok()?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Some(
            out.into_iter()
                .map(|(name, value)| (name, text(value)))
                .collect(),
        )
    }

    #[test]
    fn reads_what_build_tools_write() {
        let script = "#!/bin/sh\nexport PATH=\"/opt/x/bin:/usr/bin\"\n\
            export DEPLOY_BINS=\"${DEPLOY_BINS:-\"a:b\"}\"\n\
            export A=\"${A:-\"\\$(touch x) \\`y\\` \\\"q\\\" \\\\ it's\"}\"\n\
            # Custom environment shell code should follow\n\
            export B='c d' C=e\\ f; D=$B\nPATH=\"/more:$PATH\"\nexport PATH\n";
        let found = read(script).unwrap();
        assert_eq!(found["PATH"], "/more:/opt/x/bin:/usr/bin");
        assert_eq!(found["DEPLOY_BINS"], "a:b");
        assert_eq!(found["A"], "$(touch x) `y` \"q\" \\ it's");
        assert_eq!(
            (&*found["B"], &*found["C"], &*found["D"]),
            ("c d", "e f", "c d")
        );
    }

    #[test]
    fn calls_everything_else_unknown() {
        for script in [
            "export A=$(id)",
            "export A=\"`id`\"",
            "if true; then A=1; fi",
            ". /etc/profile",
            "A=1 env",
            "export A=~/x",
            "A=1 && B=2",
            "export -n A",
            "A=${A%/*}",
            "A=\"open",
            "export A=\"${A:-\"open\"",
            "exec sh",
            "A=(1 2)",
        ] {
            assert_eq!(read(script), None, "{script}");
        }
    }

    proptest! {
        #[test]
        fn reads_back_what_runtimes_write(value in "\\PC*") {
            let mut escaped = String::new();
            for c in value.chars() {
                if matches!(c, '\\' | '"' | '$' | '`') {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            let script = format!("#!/bin/sh\nexport A=\"${{A:-\"{escaped}\"}}\"\nexport B=\"{escaped}\"\n");
            // In a default, an unquoted `}` or quote of the value ends it, and runtimes do not know.
            let found = read(&script);
            if let Some(found) = found {
                prop_assert_eq!(&found["B"], &value);
                prop_assert_eq!(&found["A"], &value);
            } else {
                prop_assert!(value.contains(['}', '\'']), "{}", script);
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = apply_script(&bytes, &mut BTreeMap::new());
        }
    }
}
