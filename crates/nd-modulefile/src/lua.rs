//! Module files as Lmod reads them.

use std::fmt::Write as _;

use crate::{Dialect, Module, text::clean_help};

/// Before the lines that let `module spider COMMAND` find the module; upstream's reconciler looks
/// for it.
pub(crate) const EXTENSIONS_MARK: &str = "neurodesk-exposed-commands";
/// Before the site's own lines.
pub(crate) const ADDITIONS_MARK: &str = "neurodesk-site-additions";

impl Module {
    /// The module as a Lua file for Lmod.
    pub fn to_lua(&self) -> String {
        let mut out = String::from("-- -*- lua -*-\nhelp([===[\n");
        let help = clean_help(&self.help);
        if !help.is_empty() {
            out.push_str(&help);
            out.push('\n');
        }
        out.push_str("]===])\n");
        let mut call = |function: &str, arguments: &[&str]| {
            let quoted: Vec<String> = arguments.iter().map(|text| quote(text)).collect();
            let _ = writeln!(out, "{function}({})", quoted.join(", "));
        };
        for line in self.whatis() {
            call("whatis", &[&line]);
        }
        for name in self.conflict_names() {
            call("conflict", &[&name]);
        }
        out.push_str(&self.extensions_block(Dialect::Lua));
        let mut call = |function: &str, first: &str, second: &str| {
            let _ = writeln!(out, "{function}({}, {})", quote(first), quote(second));
        };
        call("prepend_path", "PATH", self.folder.as_str());
        let image = self.image_path();
        for variable in &self.variables {
            call("setenv", variable.name(), &variable.value_for(&image));
        }
        if let Some(lines) = &self.additions.lua {
            let _ = writeln!(out, "-- {ADDITIONS_MARK}");
            out.push_str(&with_version(lines, self.image.version.as_str()));
        }
        out
    }
}

/// Site lines for one version, ending with a line break.
pub(crate) fn with_version(lines: &str, version: &str) -> String {
    let mut lines = lines.replace("toolVersion", version);
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    lines
}

/// A Lua string of exactly this text.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\{:03}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The strings between the brackets of a call, with escapes undone; `None` when it is something
/// else than strings.
pub(crate) fn strings(text: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let mut value = Vec::new();
        let bytes = rest.as_bytes();
        let mut at = 1;
        loop {
            match *bytes.get(at)? {
                b if b == quote as u8 => break,
                b'\\' => {
                    at += 1;
                    let digits = bytes[at..]
                        .iter()
                        .take(3)
                        .take_while(|b| b.is_ascii_digit())
                        .count();
                    if digits > 0 {
                        let number: u16 = rest[at..at + digits].parse().ok()?;
                        value.push(u8::try_from(number).ok()?);
                        at += digits;
                        continue;
                    }
                    value.push(match *bytes.get(at)? {
                        b'n' => b'\n',
                        b't' => b'\t',
                        other => other,
                    });
                }
                b => value.push(b),
            }
            at += 1;
        }
        found.push(String::from_utf8(value).ok()?);
        rest = rest.get(at + 1..)?.trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None => return rest.starts_with(')').then_some(found),
        }
    }
}

#[cfg(test)]
mod tests {
    //! What is written, and that strings come back.

    use crate::{Additions, Module, Variable};

    #[test]
    fn writes_what_upstream_writes_and_more() {
        let mut module = Module::new(
            "abc_1.0_20240131".parse().unwrap(),
            "/sw/abc_1.0_20240131".parse().unwrap(),
        );
        module.help = "Abc 1.0. Try: mk --help\n".into();
        module.commands = vec!["show".into(), "mk".into()];
        module.variables = vec![Variable::from_line("DEPLOY_ENV_ABCDIR=BASEPATH/opt/abc").unwrap()];
        module.about.description = Some("says \"a\"".into());
        module.additions = Additions {
            lua: Some("setenv(\"V\", \"toolVersion\")".into()),
            tcl: None,
        };
        assert_eq!(
            module.to_lua(),
            r#"-- -*- lua -*-
help([===[
Abc 1.0. Try: mk --help
]===])
whatis("abc_1.0_20240131.simg")
whatis("Name: abc")
whatis("Version: 1.0")
whatis("Description: says \"a\"")
conflict("abc")
-- neurodesk-exposed-commands
if type(extensions) == "function" then
    extensions("mk/1.0, show/1.0")
end
prepend_path("PATH", "/sw/abc_1.0_20240131")
setenv("ABCDIR", "/sw/abc_1.0_20240131/abc_1.0_20240131.simg/opt/abc")
-- neurodesk-site-additions
setenv("V", "1.0")
"#
        );
    }

    proptest::proptest! {
        #[test]
        fn quoted_strings_read_back(a: String, b: String) {
            let call = format!("{}, {})", super::quote(&a), super::quote(&b));
            proptest::prop_assert_eq!(super::strings(&call), Some(vec![a, b]));
        }
    }
}
