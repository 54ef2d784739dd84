//! `codegen`: documents that are made from code, written or compared.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory as _};
use nd_terminal::{Failure, FailureKind, OrFail as _};
use xshell::cmd;

use crate::{
    Cli,
    machine::{Machine, run_tool},
};

/// Folders below `docs` in which everything is made from code.
const WHOLLY_MADE: [&str; 2] = ["book/src/reference/diagnostics", "schemas"];

/// The list of pages of the book, whose entries of diagnostics are made.
const SUMMARY: &str = "book/src/SUMMARY.md";

/// Arguments of `codegen`.
#[derive(Debug, Args)]
pub(crate) struct CodegenArgs {
    /// Write nothing; end with exit code 3 when something is not as the code makes it
    #[arg(long)]
    pub(crate) check: bool,
}

/// The command `codegen`.
pub(crate) fn run(machine: &Machine, args: &CodegenArgs) -> Result<(), Failure> {
    let docs = machine.root.join("docs");
    let stale = stale(&docs, &documents(machine)?)?;
    for (path, text) in &stale {
        machine.printer.note(&format!(
            "docs/{path}: {}",
            if text.is_some() {
                "not as the code makes it"
            } else {
                "nothing makes it"
            }
        ));
        let file = docs.join(path);
        match text {
            _ if args.check => {}
            Some(text) => {
                fs_err::create_dir_all(file.parent().unwrap_or(&docs))?;
                fs_err::write(&file, text)?;
            }
            None => fs_err::remove_file(&file)?,
        }
    }
    if stale.is_empty() {
        machine
            .printer
            .note("codegen: everything is as the code makes it");
    } else if args.check {
        return Err(Failure::new(
            FailureKind::Pending,
            format!("{} documents are out of date", stale.len()),
        )
        .hint("`cargo xtask codegen` writes them"));
    }
    Ok(())
}

/// All documents, by path below `docs`.
fn documents(machine: &Machine) -> Result<BTreeMap<String, String>, Failure> {
    let shell = &machine.shell;
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for name in [
        "neurocontainers",
        "neurocommand",
        "transparent-singularity",
        "cvmfs-sync",
    ] {
        run_tool(cmd!(
            shell,
            "cargo build --quiet --package {name} --bin {name}"
        ))?;
        let binary = machine.target().join("debug").join(name);
        let folder = shell.create_temp_dir().or_fail(FailureKind::Failed)?;
        let out = folder.path();
        let made = cmd!(shell, "{binary} docs --out {out}")
            .quiet()
            .read()
            .or_fail(FailureKind::Tool)?;
        for path in made.lines() {
            let text = fs_err::read_to_string(out.join(path))?;
            // The list of codes has rows from every program.
            all.entry(path.to_owned()).or_default().push_str(&text);
        }
    }
    all.extend(nd_terminal::Documents::of(Cli::command()).into_texts());
    let summary = fs_err::read_to_string(machine.root.join("docs").join(SUMMARY))?;
    let summary = summary_with(&summary, &all);
    all.insert(SUMMARY.to_owned(), summary);
    Ok(all)
}

/// The summary with an entry for each page of a diagnostic, below the entry of their index.
fn summary_with(summary: &str, documents: &BTreeMap<String, String>) -> String {
    let folder = "reference/diagnostics/";
    let mut text = String::new();
    for line in summary.lines() {
        let index = line.contains("(reference/diagnostics/index.md)");
        if line.contains(folder) && !index {
            continue;
        }
        text.push_str(line);
        text.push('\n');
        if !index {
            continue;
        }
        let indent = line.len() - line.trim_start().len() + 2;
        for (path, page) in documents {
            let Some(path) = path
                .strip_prefix("book/src/")
                .filter(|path| path.starts_with(folder))
            else {
                continue;
            };
            let title = page.lines().find_map(|line| line.strip_prefix("# "));
            if let Some(title) = title.filter(|_| !path.ends_with("index.md")) {
                let _ = writeln!(text, "{:indent$}- [{title}]({path})", "");
            }
        }
    }
    text
}

/// What is not as it should be: the right text, or nothing for what should not be there.
fn stale(
    docs: &Path,
    documents: &BTreeMap<String, String>,
) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut found = Vec::new();
    for (path, text) in documents {
        let there = fs_err::read_to_string(docs.join(path)).ok();
        if there.as_ref() != Some(text) {
            found.push((path.clone(), Some(text.clone())));
        }
    }
    for folder in WHOLLY_MADE {
        let Ok(entries) = fs_err::read_dir(docs.join(folder)) else {
            continue;
        };
        let mut names: Vec<PathBuf> = Vec::new();
        for entry in entries {
            names.push(entry?.path());
        }
        names.sort();
        for file in names {
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let path = format!("{folder}/{name}");
            if !documents.contains_key(&path) {
                found.push((path, None));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_old_and_what_nothing_makes() {
        let shell = xshell::Shell::new().unwrap();
        let docs = shell.create_temp_dir().unwrap();
        let write = |path: &str, text: &str| {
            let path = docs.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("schemas/a.json", "1");
        write("schemas/b.json", "old");
        write("schemas/gone.json", "1");
        let made = [
            ("schemas/a.json", "1"),
            ("schemas/b.json", "new"),
            ("c.md", "x"),
        ];
        let made = made
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .into();
        let found = stale(docs.path(), &made).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|(path, text)| (path.as_str(), text.is_some()))
            .collect();
        assert_eq!(
            names,
            [
                ("c.md", true),
                ("schemas/b.json", true),
                ("schemas/gone.json", false)
            ]
        );
    }

    #[test]
    fn the_summary_lists_the_pages_of_codes() {
        let made = [
            (
                "book/src/reference/diagnostics/nd0001.md",
                "<!-- -->\n# ND0001 a\n",
            ),
            ("book/src/reference/diagnostics/index.md", "# Diagnostics\n"),
        ];
        let made = made
            .map(|(path, text)| (path.to_owned(), text.to_owned()))
            .into();
        let before = "- [D](reference/diagnostics/index.md)\n  - [old](reference/diagnostics/nd0009.md)\n- [E](e.md)\n";
        let after = "- [D](reference/diagnostics/index.md)\n  - [ND0001 a](reference/diagnostics/nd0001.md)\n- [E](e.md)\n";
        assert_eq!(summary_with(before, &made), after);
        assert_eq!(summary_with(after, &made), after);
    }
}
