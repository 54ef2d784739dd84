//! Finding again what a module file says, ours or upstream's, without running it.

use crate::{Dialect, Folder, lua, tcl};

/// What a module file says in lines of the kind we and upstream write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleFacts {
    /// What is put before `PATH`.
    pub folder: Option<String>,
    /// The lines of `whatis`; the first names the image.
    pub whatis: Vec<String>,
    /// `COMMAND/VERSION`.
    pub extensions: Vec<String>,
    /// Variables and their values.
    pub variables: Vec<(String, String)>,
}

impl ModuleFacts {
    /// The image that the first line of `whatis` names, without `.simg`.
    pub fn stem(&self) -> Option<&str> {
        let first = self.whatis.first()?;
        Some(first.strip_suffix(".simg").unwrap_or(first))
    }
}

/// One line that says something, taken apart.
enum Line {
    Prepend(String, String),
    Whatis(String),
    Extensions(Vec<String>),
    Set(String, String),
}

/// Reads the lines that we and upstream write; everything else (help, conditions, a site's code) is
/// passed over.
pub fn read(text: &str, dialect: Dialect) -> ModuleFacts {
    let mut facts = ModuleFacts::default();
    each_line(text, dialect, |_, line| match line {
        Some(Line::Prepend(name, value)) if name == "PATH" && facts.folder.is_none() => {
            facts.folder = Some(value);
        }
        Some(Line::Whatis(line)) => facts.whatis.push(line),
        Some(Line::Extensions(words)) => facts.extensions.extend(words),
        Some(Line::Set(name, value)) => facts.variables.push((name, value)),
        _ => {}
    });
    facts
}

/// The file with `to` for the folder it points to now, in `PATH` and in the values of variables;
/// every other line stays as it is. `None` when it puts nothing before `PATH`.
pub fn repoint(text: &str, dialect: Dialect, to: &Folder) -> Option<String> {
    let from = read(text, dialect).folder?;
    let from = from.trim_end_matches('/');
    let moved = |value: &str| moved(value, from, to.as_str());
    let mut out = String::with_capacity(text.len());
    each_line(text, dialect, |raw, line| {
        let new = match (dialect, line) {
            (Dialect::Lua, Some(Line::Prepend(name, value))) if name == "PATH" => Some(format!(
                "prepend_path({}, {})",
                lua::quote(&name),
                lua::quote(&moved(&value))
            )),
            (Dialect::Lua, Some(Line::Set(name, value))) => Some(format!(
                "setenv({}, {})",
                lua::quote(&name),
                lua::quote(&moved(&value))
            )),
            (Dialect::Tcl, Some(Line::Prepend(name, value))) if name == "PATH" => Some(format!(
                "prepend-path {name} {}",
                tcl::quote(&moved(&value))
            )),
            (Dialect::Tcl, Some(Line::Set(name, value))) => {
                Some(format!("setenv {name} {}", tcl::quote(&moved(&value))))
            }
            _ => None,
        };
        out.push_str(new.as_deref().unwrap_or(raw));
        out.push('\n');
    });
    if !text.ends_with('\n') {
        out.pop();
    }
    Some(out)
}

/// `value` with `to` wherever `from` stands as a whole path prefix.
fn moved(value: &str, from: &str, to: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        let starts = out.is_empty() && before.is_empty()
            || before.ends_with([' ', ':', ',', '=', ';', '"', '\'']);
        let ends = after.is_empty() || after.starts_with(['/', ' ', ':', ',', ';', '"', '\'']);
        out.push_str(before);
        out.push_str(if starts && ends { to } else { from });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Gives each line with what it says; lines of help and of procedures say nothing.
fn each_line(text: &str, dialect: Dialect, mut take: impl FnMut(&str, Option<Line>)) {
    // Inside the help: what ends it.
    let mut until: Option<String> = None;
    for raw in text.lines() {
        if let Some(end) = &until {
            let ends = match dialect {
                Dialect::Lua => raw.contains(end.as_str()),
                Dialect::Tcl => raw == end,
            };
            if ends {
                until = None;
            }
            take(raw, None);
            continue;
        }
        let line = raw.trim();
        let said = match dialect {
            Dialect::Lua => {
                until = long_bracket(line);
                lua_line(line)
            }
            Dialect::Tcl => {
                if line.starts_with("proc ") && line.ends_with('{') {
                    until = Some("}".to_owned());
                }
                tcl_line(line)
            }
        };
        take(raw, said);
    }
}

/// What closes a long bracket that this line opens and does not close.
fn long_bracket(line: &str) -> Option<String> {
    let after = line.strip_prefix("help(")?.trim_start().strip_prefix('[')?;
    let level = after.len() - after.trim_start_matches('=').len();
    let inside = after[level..].strip_prefix('[')?;
    let end = format!("]{}]", "=".repeat(level));
    (!inside.contains(&end)).then_some(end)
}

fn lua_line(line: &str) -> Option<Line> {
    let (function, rest) = line.split_once('(')?;
    let mut arguments = match function.trim() {
        "prepend_path" | "setenv" | "whatis" | "extensions" => lua::strings(rest)?.into_iter(),
        _ => return None,
    };
    let first = arguments.next()?;
    Some(match function.trim() {
        "prepend_path" => Line::Prepend(first, arguments.next()?),
        "setenv" => Line::Set(first, arguments.next()?),
        "whatis" => Line::Whatis(first),
        _ => Line::Extensions(
            first
                .split(',')
                .map(|word| word.trim().to_owned())
                .collect(),
        ),
    })
}

fn tcl_line(line: &str) -> Option<Line> {
    let command = line.split_whitespace().next()?;
    if !["prepend-path", "setenv", "module-whatis", "extensions"].contains(&command) {
        return None;
    }
    let mut words = tcl::words(line)?.into_iter();
    words.next();
    Some(match command {
        "extensions" => Line::Extensions(words.collect()),
        "module-whatis" => Line::Whatis(words.collect::<Vec<_>>().join(" ")),
        "prepend-path" => Line::Prepend(words.next()?, words.next()?),
        _ => Line::Set(words.next()?, words.next()?),
    })
}

#[cfg(test)]
mod tests {
    //! Our files, upstream's files, and files that are neither.

    use crate::{Dialect, Module, Variable, read, repoint};

    fn module() -> Module {
        let mut module = Module::new(
            "abc_1.0_20240131".parse().unwrap(),
            "/s w/abc_1.0_20240131".parse().unwrap(),
        );
        module.help = "prepend_path(\"PATH\", \"/evil\")\nprepend-path PATH /evil\n}\n{".into();
        module.commands = vec!["mk".into(), "a\"b".into()];
        module.variables = vec![
            Variable::new("A", "BASEPATH/opt:BASEPATH").unwrap(),
            Variable::new("B", "$x [y] \"z\" \\").unwrap(),
        ];
        module
    }

    #[test]
    fn finds_what_was_written() {
        for dialect in Dialect::ALL {
            let facts = read(&module().render(dialect), dialect);
            assert_eq!(facts.folder.as_deref(), Some("/s w/abc_1.0_20240131"));
            assert_eq!(facts.stem(), Some("abc_1.0_20240131"));
            let skip = usize::from(dialect == Dialect::Tcl);
            assert_eq!(facts.extensions, ["a\"b/1.0", "mk/1.0"][skip..]);
            let image = "/s w/abc_1.0_20240131/abc_1.0_20240131.simg";
            assert_eq!(
                facts.variables,
                [
                    ("A".to_owned(), format!("{image}/opt:{image}")),
                    ("B".to_owned(), "$x [y] \"z\" \\".to_owned())
                ]
            );
        }
    }

    #[test]
    fn moving_is_the_same_as_writing_for_the_new_folder() {
        for dialect in Dialect::ALL {
            let mut elsewhere = module();
            elsewhere.folder = "/new/abc".parse().unwrap();
            assert_eq!(
                repoint(&module().render(dialect), dialect, &elsewhere.folder),
                Some(elsewhere.render(dialect))
            );
        }
    }

    #[test]
    fn reads_the_files_of_upstream() {
        let tcl = "#%Module####\nmodule-whatis  abc_1.0_20240131.simg\nprepend-path PATH /sw/abc_1.0_20240131\nsetenv X \"/sw/abc_1.0_20240131/a b\"\n";
        let facts = read(tcl, Dialect::Tcl);
        assert_eq!(facts.stem(), Some("abc_1.0_20240131"));
        assert_eq!(facts.folder.as_deref(), Some("/sw/abc_1.0_20240131"));
        assert_eq!(
            facts.variables,
            [("X".into(), "/sw/abc_1.0_20240131/a b".into())]
        );
        let new = repoint(tcl, Dialect::Tcl, &"/n".parse().unwrap()).unwrap();
        assert!(new.contains("prepend-path PATH \"/n\"\nsetenv X \"/n/a b\""));
        assert_eq!(
            repoint("x = 1\n", Dialect::Lua, &"/n".parse().unwrap()),
            None
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(?s).{0,200}", lines in "(setenv|prepend_path|prepend-path|help|extensions)[(\"'\\\\ a\\[\\]={}$\n]{0,60}") {
            for dialect in Dialect::ALL {
                read(&text, dialect);
                read(&lines, dialect);
                repoint(&lines, dialect, &"/n".parse().unwrap());
            }
        }
    }
}
