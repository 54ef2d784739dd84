//! Documents that are made from code: pages of codes, the reference of the command line.

use std::fmt::Write as _;

use crate::{codes::EXPLANATIONS, deployment::KEYS};

/// First line of generated pages.
const MARK: &str = "<!-- made by `cargo xtask codegen`; edit what it is made from -->\n";

/// All documents: path below `docs`, and text. `command` is the command line to describe.
pub fn documents(command: clap::Command) -> Vec<(String, String)> {
    let mut all = vec![
        (
            "book/src/reference/neurocommand.md".to_owned(),
            format!("{MARK}{}", nd_terminal::reference(command)),
        ),
        ("book/src/reference/deployment.md".to_owned(), deployment()),
    ];
    // Rows of a list that other programs begin.
    let mut rows = String::new();
    for words in EXPLANATIONS {
        let code = words.code;
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "| [{code}](nd{:04}.md) | {} |",
            code.number, words.summary
        );
        let mut letters = words.summary.chars();
        let summary: String = letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default();
        let text = format!(
            "{MARK}# {}\n\n{summary}.\n\n{}\n",
            words.code, words.details
        );
        all.push((format!("book/src/{}", words.code.page()), text));
    }
    all.push(("book/src/reference/diagnostics/index.md".to_owned(), rows));
    all
}

/// The keys of deployment files.
fn deployment() -> String {
    let mut text = format!(
        "{MARK}# Deployment files\n\nA deployment file is TOML. These are laid one over the other, the last on top: \
         what the program brings, `/etc/neurodesk/deployment.toml`, `$XDG_CONFIG_HOME/neurodesk/deployment.toml`, \
         `neurodesk.toml` where the program is started, and the file that `--deployment` names. A file that sets \
         `brand` is another project and begins from nothing. `neurocommand config show` says where each value comes \
         from.\n\n| Key | What it says |\n| --- | --- |\n"
    );
    for key in KEYS {
        let _ = writeln!(text, "| `{}` | {} |", key.name, key.about);
    }
    text
}
