//! One module file brought up to the newest build: text to text, everything that people wrote stays.

use std::fmt::Write as _;

use nd_modulefile::{Dialect, Module};
use nd_names::ImageName;

/// The build that a module file should name.
pub(super) struct Build<'a> {
    /// Its name.
    pub(super) image: &'a ImageName,
    /// Its folder, as users see it.
    pub(super) folder: String,
    /// Its commands.
    pub(super) commands: &'a [String],
}

/// What our lines about commands begin with.
const MARK: &str = "neurodesk-exposed-commands";
/// How a help text of ours begins, and ends.
const HELP: (&str, &str) = ("help([===[", "]===])");

/// The text that a module file should have. Done twice, it is done once.
pub(super) fn updated(text: &str, dialect: Dialect, build: &Build<'_>) -> String {
    let text = clean_help(text);
    let text = repoint(&text, build);
    let text = rename(&text, build.image);
    expose(&text, dialect, build)
}

/// Divides `]]` inside of help, which ends a long string in the cache of older Lmod.
fn clean_help(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(HELP.0) {
        let (before, after) = rest.split_at(at + HELP.0.len());
        out.push_str(before);
        let Some(end) = after.find(HELP.1) else {
            rest = after;
            break;
        };
        for c in after[..end].chars() {
            if c == ']' && out.ends_with(']') {
                out.push(' ');
            }
            out.push(c);
        }
        out.push_str(HELP.1);
        rest = &after[end + HELP.1.len()..];
    }
    out.push_str(rest);
    out
}

/// What stands before the date in the names of all builds.
fn stem_start(image: &ImageName) -> String {
    format!("{}_{}_", image.app, image.version)
}

/// Whether `text` is `start` and digits.
fn is_build(text: &str, start: &str) -> bool {
    let date = text.strip_prefix(start);
    date.is_some_and(|date| !date.is_empty() && date.bytes().all(|b| b.is_ascii_digit()))
}

/// `prepend_path("PATH", "ANY/TOOL_VERSION_DATE")` with the folder of the newest build.
fn repoint(text: &str, build: &Build<'_>) -> String {
    const CALL: &str = "prepend_path(\"PATH\", \"";
    let start = stem_start(build.image);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(CALL) {
        let (before, after) = rest.split_at(at + CALL.len());
        out.push_str(before);
        rest = after;
        let Some(end) = after.find(['"', '\n']) else {
            continue;
        };
        let folder = &after[..end];
        let name = folder.rsplit_once('/').map(|(_, name)| name);
        if after[end..].starts_with("\")") && name.is_some_and(|name| is_build(name, &start)) {
            out.push_str(&build.folder);
            rest = &after[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Names of builds, wherever they stand as whole words; those of other tools end or begin with this
/// one's at most.
fn rename(text: &str, image: &ImageName) -> String {
    let start = stem_start(image);
    let new = image.stem();
    let before = |c: char| c.is_alphanumeric() || "_-+.".contains(c);
    let behind = |c: char| c.is_alphanumeric() || "_-+".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&start) {
        let digits = &rest[at + start.len()..];
        let length = digits.len()
            - digits
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .len();
        let end = at + start.len() + length;
        out.push_str(&rest[..at]);
        let whole = length > 0 && !out.ends_with(before) && !rest[end..].starts_with(behind);
        out.push_str(if whole { &new } else { &rest[at..end] });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The block that names commands, in place of those that are there; where there was none, behind the
/// last line that says what the module is. One that is right stays where it is.
fn expose(text: &str, dialect: Dialect, build: &Build<'_>) -> String {
    let block = block(dialect, build);
    let mut kept: Vec<&str> = text.split_inclusive('\n').collect();
    let mut removed = Vec::new();
    // Without a block between them, a marker and a line of somebody may be one.
    while let Some(old) = find_block(&kept) {
        removed.push(kept.drain(old).collect::<String>());
    }
    if removed == [block.as_str()] {
        return text.to_owned();
    }
    if block.is_empty() {
        return kept.concat();
    }
    let place = place(&kept, dialect);
    let mut out = kept[..place].concat();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    let _ = write!(out, "{block}{}", kept[place..].concat());
    out
}

fn block(dialect: Dialect, build: &Build<'_>) -> String {
    let Ok(folder) = build.folder.parse() else {
        return String::new();
    };
    let mut module = Module::new(build.image.clone(), folder);
    module.commands = build.commands.to_vec();
    module.extensions_block(dialect)
}

/// The first block among lines.
fn find_block(lines: &[&str]) -> Option<std::ops::Range<usize>> {
    let mut markers = lines.iter().enumerate().filter(|(_, line)| is_marker(line));
    markers.find_map(|(at, _)| Some(at..at + block_length(&lines[at..])?))
}

fn is_marker(line: &str) -> bool {
    let line = line.trim();
    let said = line.strip_prefix("--").or_else(|| line.strip_prefix('#'));
    said.is_some_and(|said| said.trim() == MARK)
}

/// How many lines a block has that begins with a marker; `None` when what follows is somebody's own.
fn block_length(lines: &[&str]) -> Option<usize> {
    let line = |at: usize| lines.get(at).map_or("", |line| line.trim());
    if line(1).starts_with("extensions") {
        return Some(2);
    }
    let lua = line(1) == "if type(extensions) == \"function\" then" && line(3) == "end";
    let tcl = line(1) == "if {[llength [info commands extensions]] > 0} {" && line(3) == "}";
    ((lua || tcl) && line(2).starts_with("extensions")).then_some(4)
}

/// The line before which the block goes.
fn place(lines: &[&str], dialect: Dialect) -> usize {
    let after_last = |begin: &str| {
        let is = |line: &&str| line.trim_start().starts_with(begin);
        lines.iter().rposition(is).map(|at| at + 1)
    };
    match dialect {
        Dialect::Lua => after_last("whatis(").unwrap_or(0),
        Dialect::Tcl => after_last("module-whatis")
            .or_else(|| after_last("#%Module"))
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    //! Files of people and of upstream.

    use super::*;

    fn build<'a>(image: &'a ImageName, commands: &'a [String]) -> Build<'a> {
        Build {
            image,
            folder: format!("/cvmfs/x/containers/{image}"),
            commands,
        }
    }

    #[test]
    fn other_tools_keep_their_names() {
        let image: ImageName = "abc_1.0_20250101".parse().unwrap();
        let text = "myabc_1.0_20240101 x-abc_1.0_20240101 abc_1.0_20240101_extra abc_1.0_x \
                    abc_1.0_20240101.simg \"abc_1.0_20240101\"";
        assert_eq!(
            rename(text, &image),
            "myabc_1.0_20240101 x-abc_1.0_20240101 abc_1.0_20240101_extra abc_1.0_x \
             abc_1.0_20250101.simg \"abc_1.0_20250101\""
        );
    }

    #[test]
    fn extensions_of_people_survive() {
        let image: ImageName = "abc_1.0_20250101".parse().unwrap();
        let commands = [
            "zeta",
            "alpha",
            "alpha",
            "bad/name",
            "bad command",
            "bad,command",
        ]
        .map(str::to_owned);
        let text = "whatis(\"abc\")\nextensions(\"python-package/2.0\")\n";
        let once = updated(text, Dialect::Lua, &build(&image, &commands));
        assert_eq!(
            once,
            "whatis(\"abc\")\n-- neurodesk-exposed-commands\nif type(extensions) == \"function\" then\n    \
             extensions(\"alpha/1.0, zeta/1.0\")\nend\nextensions(\"python-package/2.0\")\n"
        );
        assert_eq!(
            updated(&once, Dialect::Lua, &build(&image, &commands)),
            once
        );
        assert_eq!(updated(&once, Dialect::Lua, &build(&image, &[])), text);
        // However many there are.
        let thrice = format!("{once}-- neurodesk-exposed-commands\nextensions(\"x\")\n{once}");
        let twice = updated(&thrice, Dialect::Lua, &build(&image, &[]));
        assert_eq!(twice, [text, text].concat());
    }

    #[test]
    fn a_misplaced_block_moves_behind_what_a_tcl_module_is() {
        let image: ImageName = "abc_1.0_20250101".parse().unwrap();
        let text = "-- neurodesk-exposed-commands\nif type(extensions) == \"function\" then\n    \
                    extensions(\"mk/1.0\")\nend\n#%Module####\nmodule-whatis  abc_1.0_20240101.simg\n\
                    prepend-path PATH /cvmfs/x/containers/abc_1.0_20240101\n";
        let commands = ["mk".to_owned()];
        let once = updated(text, Dialect::Tcl, &build(&image, &commands));
        assert_eq!(
            once,
            "#%Module####\nmodule-whatis  abc_1.0_20250101.simg\n# neurodesk-exposed-commands\n\
             if {[llength [info commands extensions]] > 0} {\n    extensions \"mk/1.0\"\n}\n\
             prepend-path PATH /cvmfs/x/containers/abc_1.0_20250101\n"
        );
    }
}
