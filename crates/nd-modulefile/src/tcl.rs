//! Module files as Environment Modules and old Lmod read them.

use std::fmt::Write as _;

use crate::{
    Dialect, Module,
    lua::{ADDITIONS_MARK, with_version},
    text::clean_help,
};

impl Module {
    /// The module as a Tcl file for Environment Modules.
    pub fn to_tcl(&self) -> String {
        let mut out = String::from("#%Module1.0\n");
        let help = clean_help(&self.help);
        out.push_str("proc ModulesHelp {} {\n");
        for line in help.lines() {
            let _ = writeln!(out, "    puts stderr {}", quote(line));
        }
        out.push_str("}\n");
        for line in self.whatis() {
            let _ = writeln!(out, "module-whatis {}", quote(&line));
        }
        out.push_str(&self.extensions_block(Dialect::Tcl));
        for name in self.conflict_names() {
            let _ = writeln!(out, "conflict {}", quote(&name));
        }
        let _ = writeln!(out, "prepend-path PATH {}", quote(self.folder.as_str()));
        let image = self.image_path();
        for variable in &self.variables {
            let value = variable.value_for(&image);
            let _ = writeln!(out, "setenv {} {}", variable.name(), quote(&value));
        }
        if let Some(lines) = &self.additions.tcl {
            let _ = writeln!(out, "# {ADDITIONS_MARK}");
            out.push_str(&with_version(lines, self.image.version.as_str()));
        }
        out
    }
}

/// Whether a character means nothing in Tcl, wherever it stands.
pub(crate) fn plain(c: char) -> bool {
    c.is_alphanumeric() || "._+@%:=~^/-".contains(c)
}

/// A Tcl word of exactly this text, inside braces too: brackets, braces, `$` and quotes have a
/// backslash, so that neither is anything substituted nor do braces around it lose their balance.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' | '[' | ']' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\{:03o}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The words of a line: bare, in quotes with escapes, or in braces; `None` when substitutions or
/// something else unreadable is in it.
pub(crate) fn words(line: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut characters = line.chars().peekable();
    loop {
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(&first) = characters.peek() else {
            return Some(found);
        };
        let mut word = String::new();
        if first == '{' {
            characters.next();
            let mut depth = 1;
            loop {
                let c = characters.next()?;
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                word.push(c);
            }
            found.push(word);
            continue;
        }
        let quoted = characters.next_if_eq(&'"').is_some();
        loop {
            match characters.peek().copied() {
                None if quoted => return None,
                None => break,
                Some('"') if quoted => {
                    characters.next();
                    break;
                }
                Some(c) if !quoted && c.is_whitespace() => break,
                Some('$' | '[') => return None,
                Some('\\') => {
                    characters.next();
                    let c = characters.next()?;
                    if let Some(first) = c.to_digit(8) {
                        let mut number = first;
                        for _ in 0..2 {
                            let Some(digit) = characters.peek().and_then(|c| c.to_digit(8)) else {
                                break;
                            };
                            characters.next();
                            number = number * 8 + digit;
                        }
                        word.push(char::from_u32(number)?);
                    } else {
                        word.push(match c {
                            'n' => '\n',
                            't' => '\t',
                            other => other,
                        });
                    }
                }
                Some(c) => {
                    characters.next();
                    word.push(c);
                }
            }
        }
        found.push(word);
    }
}

#[cfg(test)]
mod tests {
    //! What is written, and that words come back.

    use crate::{Module, Variable};

    #[test]
    fn writes_every_part() {
        let mut module = Module::new(
            "abc_1.0_20240131".parse().unwrap(),
            "/s w/abc".parse().unwrap(),
        );
        module.help = "Try {mk} [exec x] \"$y\"\n\nend".into();
        module.commands = vec!["mk".into(), "a$b".into()];
        module.variables = vec![Variable::from_line("DEPLOY_ENV_DIR=BASEPATH/o").unwrap()];
        assert_eq!(
            module.to_tcl(),
            r#"#%Module1.0
proc ModulesHelp {} {
    puts stderr "Try \{mk\} \[exec x\] \"\$y\""
    puts stderr ""
    puts stderr "end"
}
module-whatis "abc_1.0_20240131.simg"
module-whatis "Name: abc"
module-whatis "Version: 1.0"
# neurodesk-exposed-commands
if {[llength [info commands extensions]] > 0} {
    extensions "mk/1.0"
}
conflict "abc"
prepend-path PATH "/s w/abc"
setenv DIR "/s w/abc/abc_1.0_20240131.simg/o"
"#
        );
    }

    proptest::proptest! {
        #[test]
        fn quoted_words_read_back(a: String, b: String) {
            let line = format!("setenv {} {}", super::quote(&a), super::quote(&b));
            proptest::prop_assert_eq!(super::words(&line), Some(vec!["setenv".into(), a, b]));
        }
    }
}
