//! `tidy`: the rules of the house that no compiler checks.

mod arrows;
mod packages;

use std::path::Path;

use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::machine::Machine;

/// Lines from which on a source file is too long.
const LINE_LIMIT: usize = 1000;

/// The command `tidy`; says each breach and returns how many there are.
pub(crate) fn run(machine: &Machine) -> Result<usize, Failure> {
    let shell = &machine.shell;
    let mut found = arrows::check(machine)?;
    found.extend(packages::check(machine)?);
    let files = cmd!(shell, "git ls-files --cached --others --exclude-standard")
        .quiet()
        .read()
        .or_fail(FailureKind::Tool)?;
    for file in files.lines() {
        let path = machine.root.join(file);
        // Deleted but not committed, a link, or not text: nothing to say about.
        if path.is_symlink() || !path.is_file() {
            continue;
        }
        if let Ok(text) = String::from_utf8(fs_err::read(&path)?) {
            found.extend(check_file(Path::new(file), &text));
        }
    }
    for breach in &found {
        machine.printer.error_line(&format!("tidy: {breach}"));
    }
    machine.printer.note(&if found.is_empty() {
        "tidy: ok".to_owned()
    } else {
        format!("tidy: {} breaches", found.len())
    });
    Ok(found.len())
}

fn check_file(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let name = file.display();
    let end = file.extension().unwrap_or_default();
    if end == "rs" {
        if !text.starts_with("//!") {
            found.push(format!("{name}: the first line is no `//!` comment"));
        }
        let lines = text.lines().count();
        if lines > LINE_LIMIT && !file.components().any(|part| part.as_os_str() == "tests") {
            found.push(format!("{name}: {lines} lines, more than {LINE_LIMIT}"));
        }
        found.extend(packages::taken_from_outside(file, text));
    }
    // Snapshots hold what programs print, Markdown gives two trailing spaces a meaning.
    if end != "snap" && end != "md" {
        for (at, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t']) {
                found.push(format!("{name}:{}: space at the end of the line", at + 1));
            }
        }
    }
    if file.starts_with(".github/workflows") {
        found.extend(check_workflow(file, text));
    }
    found
}

/// How a workflow becomes root and keeps the toolchain.
const AS_ROOT: &str = r#"sudo env "PATH=$PATH" "HOME=$HOME" "#;

/// Every `run:` of a workflow calls xtask, also as root, or sets the toolchain up, and every action is
/// pinned. A workflow that other repositories call has the programs alone, and no xtask.
fn check_workflow(file: &Path, text: &str) -> Vec<String> {
    let name = file.display();
    let own = !text.lines().any(|line| line.trim() == "workflow_call:");
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start().trim_start_matches("- ");
        if let Some(command) = line.strip_prefix("run:").map(str::trim).filter(|_| own) {
            let command = command.strip_prefix(AS_ROOT).unwrap_or(command);
            let allowed = ["cargo xtask ", "rustup ", "git "];
            if !allowed.iter().any(|start| command.starts_with(start)) {
                found.push(format!("{name}:{}: runs more than `cargo xtask`", at + 1));
            }
        }
        if let Some(action) = line.strip_prefix("uses:").map(str::trim) {
            let hash = action.split_once('@').map_or("", |(_, version)| version);
            let hash = hash.split_whitespace().next().unwrap_or("");
            if hash.len() != 40 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                found.push(format!("{name}:{}: action not pinned by a commit", at + 1));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    //! Each rule catches its breach.

    use super::*;

    #[test]
    fn names_each_breach_of_a_file() {
        let found = check_file(Path::new("src/a.rs"), "fn a() {} \n");
        assert_eq!(found.len(), 2, "{found:?}");
        let root = format!("on:\n  push:\nsteps:\n  - run: {AS_ROOT}cargo xtask ci\n");
        assert!(check_workflow(Path::new("x.yml"), &root).is_empty());
        let called = "on:\n  workflow_call:\nsteps:\n  - run: neurocontainers check\n";
        assert!(check_workflow(Path::new("x.yml"), called).is_empty());
        let workflow = "steps:\n  - run: cargo test\n  - uses: a/b@v4\n  - run: cargo xtask ci\n";
        let found = check_file(Path::new(".github/workflows/x.yml"), workflow);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
