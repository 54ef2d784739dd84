//! Text of menu entries, folders and launchers.

use std::fmt::Write as _;

use camino::Utf8Path;

use crate::{
    catalogue::{App, quote},
    deployment::{Deployment, Desktop},
};

/// Prefix of the document types of office programs.
const OPEN: &str = "application/vnd.oasis.opendocument.";
const MICROSOFT: &str = "application/vnd.openxmlformats-officedocument.";

/// The document types that a command opens. Plain tables (`text/csv`) are left to editors on purpose.
fn mime_types(exec: &str) -> Vec<String> {
    let (open, microsoft, other): (&[&str], &[&str], &[&str]) = match exec {
        "lowriter" => (
            &["text", "text-template", "text-master"],
            &["wordprocessingml.document", "wordprocessingml.template"],
            &["application/msword", "application/rtf"],
        ),
        "localc" => (
            &["spreadsheet", "spreadsheet-template"],
            &["spreadsheetml.sheet", "spreadsheetml.template"],
            &["application/vnd.ms-excel"],
        ),
        "loimpress" => (
            &["presentation", "presentation-template"],
            &["presentationml.presentation", "presentationml.template"],
            &["application/vnd.ms-powerpoint"],
        ),
        "lodraw" => (
            &["graphics", "graphics-template"],
            &[],
            &["application/vnd.visio"],
        ),
        "lobase" => (&["database"], &[], &["application/vnd.sun.xml.base"]),
        "lomath" => (&["formula"], &[], &[]),
        _ => return Vec::new(),
    };
    // The first of `other` stands before what Microsoft defined later, the rest after it.
    let mut all: Vec<String> = open.iter().map(|name| format!("{OPEN}{name}")).collect();
    all.extend(other.first().map(|&name| name.to_owned()));
    all.extend(microsoft.iter().map(|name| format!("{MICROSOFT}{name}")));
    all.extend(other.iter().skip(1).map(|&name| name.to_owned()));
    all
}

/// A value of a desktop file: backslashes and line ends as the specification escapes them.
fn value(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('\n', r"\n")
        .replace('\r', r"\r")
        .replace('\t', r"\t")
}

/// An item of a list in a desktop file.
fn item(text: &str) -> String {
    value(text).replace(';', r"\;")
}

/// `word` as one argument of a key `Exec`: quoted by the rules of the desktop entry specification when
/// it holds anything special, field codes escaped. The escaping of values comes on top.
pub fn exec_word(word: &str) -> String {
    let word = word.replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        if matches!(c, '"' | '`' | '$' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// What the entry of an application says.
pub(super) struct Entry<'e> {
    pub(super) name: &'e str,
    pub(super) comment: &'e str,
    pub(super) command: Vec<String>,
    /// Document types that the command opens.
    pub(super) opens: Vec<String>,
    pub(super) icon: String,
    pub(super) category: String,
    pub(super) terminal: bool,
    pub(super) keywords: Vec<String>,
}

impl<'e> Entry<'e> {
    pub(super) fn of(
        app: &'e App,
        name: &'e str,
        launcher: String,
        icon: String,
        category: String,
        keywords: &[String],
    ) -> Self {
        Self {
            name,
            comment: &app.name,
            command: vec!["/bin/bash".to_owned(), launcher],
            opens: mime_types(&app.exec),
            icon,
            category,
            terminal: app.terminal,
            keywords: keywords.to_vec(),
        }
    }

    /// The text of the `.desktop` file.
    pub(super) fn text(&self, deployment: &Deployment) -> String {
        let words = |words: &[String]| -> Vec<String> {
            words.iter().map(|word| exec_word(word)).collect()
        };
        let mut exec = words(&self.command).join(" ");
        let is_mate = deployment.desktop == Desktop::Mate;
        if is_mate {
            let title = exec_word(self.comment);
            exec = format!("mate-terminal --window --title {title} -x {exec}");
        }
        if !self.opens.is_empty() && !is_mate {
            exec.push_str(" %F");
        }
        let mut text = format!(
            "[Desktop Entry]\nName={name}\nGenericName={name}\nComment={}\nExec={}\nIcon={}\nType=Application\nCategories={};\n",
            value(self.comment),
            value(&exec),
            value(&self.icon),
            item(&self.category),
            name = value(self.name),
        );
        if !is_mate {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "Terminal={}", self.terminal);
            if !self.opens.is_empty() {
                let _ = writeln!(text, "MimeType={};", self.opens.join(";"));
            }
        }
        if !self.keywords.is_empty() {
            let keywords: Vec<String> = self.keywords.iter().map(|word| item(word)).collect();
            let _ = writeln!(text, "Keywords={};", keywords.join(";"));
        }
        text.push('\n');
        text
    }
}

/// The text of a `.directory` file.
pub(super) fn directory(name: &str, icon: &Utf8Path) -> String {
    let name = value(name);
    format!(
        "[Desktop Entry]\nName={name}\nComment={name}\nIcon={}\nType=Directory\n\n",
        value(icon.as_str())
    )
}

/// The text of a launcher: runs `words` with whatever it is given.
pub(super) fn launcher(deployment: &Deployment, words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    format!(
        "#!/usr/bin/env bash\n{} {} \"$@\"\n",
        deployment.launch_prefix,
        words.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn office_programs_open_their_documents_and_no_tables() {
        let writer = mime_types("lowriter");
        assert_eq!(writer.len(), 7);
        assert_eq!(writer[6], "application/rtf");
        assert!(
            mime_types("localc")
                .iter()
                .all(|name| !name.contains("csv"))
        );
        assert!(mime_types("fsleyes").is_empty());
    }

    #[test]
    fn words_of_commands_are_quoted_by_the_specification() {
        assert_eq!(exec_word("/bin/bash"), "/bin/bash");
        assert_eq!(exec_word("a b"), "\"a b\"");
        assert_eq!(exec_word("50%"), "50%%");
        assert_eq!(exec_word(r#"a"$`\"#), r#""a\"\$\`\\""#);
        assert_eq!(exec_word(""), "\"\"");
    }
}
