//! What every crate has by itself: a README whose example is compiled and run, and every file that its
//! sources take in, so that its package is whole.

use std::path::{Component, Path, PathBuf};

use nd_terminal::Failure;

use crate::machine::Machine;

/// The lines of a `lib.rs` that make the examples of the README tests.
const README_IS_TESTED: &str = "#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]\n";

/// Every crate below `crates/` without an example that is run.
pub(super) fn check(machine: &Machine) -> Result<Vec<String>, Failure> {
    let mut folders: Vec<_> = fs_err::read_dir(machine.root.join("crates"))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        let shown = folder.strip_prefix(&machine.root).unwrap_or(&folder);
        let readme = fs_err::read_to_string(folder.join("README.md")).ok();
        let library = fs_err::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        let breaches = check_readme(readme.as_deref(), &library);
        found.extend(breaches.map(|breach| format!("{}: {breach}", shown.display())));
    }
    Ok(found)
}

fn check_readme(readme: Option<&str>, library: &str) -> impl Iterator<Item = &'static str> {
    let mut fences = readme
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("```"));
    // Every other fence ends a block.
    let mut shown = false;
    let mut unrun = false;
    while let Some(begin) = fences.next() {
        let mut words = begin.trim_start_matches('`').split(',').map(str::trim);
        if words.next() == Some("rust") {
            shown = true;
            unrun |= words.any(|word| word != "no_run");
        }
        fences.next();
    }
    [
        (readme.is_none(), "there is no README.md"),
        (
            readme.is_some() && !shown,
            "README.md has no example in Rust",
        ),
        (unrun, "README.md has an example that is not compiled"),
        (
            !library.contains(README_IS_TESTED),
            "src/lib.rs does not make the examples of README.md tests",
        ),
    ]
    .into_iter()
    .filter_map(|(is_breach, text)| is_breach.then_some(text))
}

/// The files that a source below `crates/NAME/src` takes in from outside of `crates/NAME`, where its
/// package does not have them.
pub(super) fn taken_from_outside(file: &Path, text: &str) -> Vec<String> {
    let mut parts = file.components();
    let (Some(Component::Normal(first)), Some(name)) = (parts.next(), parts.next()) else {
        return Vec::new();
    };
    if first != "crates" || parts.next() != Some(Component::Normal("src".as_ref())) {
        return Vec::new();
    }
    let package = Path::new(first).join(name);
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let taken = ["include_str!(", "include_bytes!(", "include!("]
            .into_iter()
            .find_map(|call| line.split_once(call))
            .and_then(|(_, rest)| rest.trim_start_matches("concat!(").strip_prefix('"'))
            .and_then(|rest| rest.split('"').next());
        let Some(taken) = taken else { continue };
        let folder = file.parent().unwrap_or(file);
        if !without_dots(&folder.join(taken)).starts_with(&package) {
            let shown = file.display();
            let breach = format!("{shown}:{}: takes `{taken}` into no package", at + 1);
            found.push(breach);
        }
    }
    found
}

fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    //! Each rule catches its breach.

    use super::*;

    #[test]
    fn a_crate_without_an_example_that_is_run_is_refused() {
        let library = "//! A crate.\n\n#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]\nstruct Readme;\n";
        let breaches = |readme, library| check_readme(readme, library).collect::<Vec<_>>();
        let good = "# a\n\n```console\n$ a\n```\n\n```rust,no_run\na::run();\n```\n";
        assert_eq!(breaches(Some(good), library), Vec::<&str>::new());
        assert_eq!(breaches(None, library), ["there is no README.md"]);
        let text = "# a\n\n```text\n```rust\n```\n";
        assert_eq!(
            breaches(Some(text), "//! A crate.\n"),
            [
                "README.md has no example in Rust",
                "src/lib.rs does not make the examples of README.md tests"
            ]
        );
        let ignored = "```rust,ignore\na::run();\n```\n";
        assert_eq!(
            breaches(Some(ignored), library),
            ["README.md has an example that is not compiled"]
        );
    }

    #[test]
    fn a_file_from_outside_of_the_package_is_refused() {
        let file = Path::new("crates/a/src/data/b.rs");
        let inside =
            "include_str!(\"../../data/x.toml\")\ninclude_str!(concat!(\"../../t/\", $x))\n";
        assert_eq!(taken_from_outside(file, inside), Vec::<String>::new());
        let outside = "let book = include_str!(\"../../../../docs/book.md\");\n";
        assert_eq!(
            taken_from_outside(file, outside),
            ["crates/a/src/data/b.rs:1: takes `../../../../docs/book.md` into no package"]
        );
        let test = Path::new("crates/a/tests/it/b.rs");
        assert_eq!(taken_from_outside(test, outside), Vec::<String>::new());
    }
}
