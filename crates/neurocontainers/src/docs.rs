//! Documents that are made from code: pages of codes, schemas, the reference of the command line.

use std::fmt::Write as _;

use nd_report::Explanation;
use neurocontainers_recipe::schema::{RECIPE, SUITE, json_schema};

use crate::diagnose::explanations;

/// Where published schemas are, for editors.
pub const SCHEMAS: &str =
    "https://raw.githubusercontent.com/neurodesk/neurodesk-rs/main/docs/schemas/";

/// First line of generated pages.
const MARK: &str = "<!-- made by `cargo xtask codegen`; edit what it is made from -->\n";

/// All documents: path below `docs`, and text. `command` is the command line to describe.
pub fn documents(command: clap::Command) -> Vec<(String, String)> {
    let words = explanations();
    let mut all = vec![
        (
            "book/src/reference/neurocontainers.md".to_owned(),
            format!("{MARK}{}", nd_terminal::reference(command)),
        ),
        (
            "book/src/reference/diagnostics/index.md".to_owned(),
            index(&words),
        ),
    ];
    for words in &words {
        all.push((format!("book/src/{}", words.code.page()), page(words)));
    }
    for (name, root, title) in [
        (
            "build.schema.json",
            &RECIPE,
            "NeuroContainers recipe, build.yaml",
        ),
        (
            "fulltest.schema.json",
            &SUITE,
            "NeuroContainers tests, fulltest.yaml",
        ),
    ] {
        let schema = json_schema(root, &format!("{SCHEMAS}{name}"), title);
        all.push((format!("schemas/{name}"), format!("{schema:#}\n")));
    }
    all
}

/// The page of a code.
fn page(words: &Explanation) -> String {
    let Explanation {
        code,
        summary,
        details,
        wrong,
        right,
    } = words;
    let mut text = format!("{MARK}# {code}\n\n{}\n\n", sentence(summary));
    text.push_str(&wrapped(details));
    if !wrong.is_empty() {
        let _ = write!(text, "\n## Wrong\n\n```yaml\n{wrong}```\n");
    }
    if !right.is_empty() {
        let _ = write!(text, "\n## Right\n\n```yaml\n{right}```\n");
    }
    text
}

/// A list of all codes.
fn index(words: &[Explanation]) -> String {
    let mut text = format!(
        "{MARK}# Diagnostics\n\n`neurocontainers check` and all commands that read recipes report problems with a code. \
         Numbers and names of codes do not change.\n\n| Code | What is wrong |\n| --- | --- |\n"
    );
    for words in words {
        let code = words.code;
        let _ = writeln!(
            text,
            "| [{code}](nd{:04}.md) | {} |",
            code.number,
            words.summary.replace('|', "\\|")
        );
    }
    text
}

/// A summary as a sentence.
fn sentence(summary: &str) -> String {
    let mut letters = summary.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}

/// Prose in lines of at most 96 characters.
fn wrapped(prose: &str) -> String {
    let mut text = String::new();
    let mut length = 0;
    for word in prose.split_whitespace() {
        let width = word.chars().count();
        if length > 0 && length + 1 + width > 96 {
            text.push('\n');
            length = 0;
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text.push_str(word);
        length += width;
    }
    text.push('\n');
    text
}
