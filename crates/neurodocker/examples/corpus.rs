//! Runs recorded command lines of upstream in the compatible mode and compares what they give.
//!
//! `cargo run --release -p neurodocker --example corpus -- DIR` where DIR holds `neurodocker/` with
//! `cases` and `templates`. The last line is `corpus: E of T equal, A allowed`; the exit code is 1
//! when E + A is less than T.

#![expect(
    clippy::print_stdout,
    reason = "a program for developers, which prints its result"
)]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use nd_report::{Diagnostic, FileId, Sink};
use neurodocker::{
    generate::{Host, Outcome, Refused, Settings, run},
    reproenv::Registry,
};
use serde_json::Value;

/// Nothing of the machine: the files of a case.
struct Recorded {
    files: BTreeMap<String, String>,
    input: String,
    told: String,
}

impl Host for Recorded {
    fn read(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let found = self.files.get(path).map(|text| text.clone().into_bytes());
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&mut self, folder: &str) -> io::Result<Vec<String>> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&folder))
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(names)
    }

    fn input(&mut self) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(&mut self.input).into_bytes())
    }

    fn ask(&mut self, question: &str) -> Option<String> {
        self.note(question);
        let rest = std::mem::take(&mut self.input);
        if rest.is_empty() {
            return None;
        }
        let (line, rest) = rest.split_once('\n').unwrap_or((&rest, ""));
        let answer = line.to_owned();
        self.input = rest.to_string();
        Some(answer)
    }

    fn alert(&mut self, text: &str) {
        self.note(text);
    }

    fn note(&mut self, text: &str) {
        _ = writeln!(self.told, "{text}");
    }

    fn template_problems(&mut self, path: &str, _: &[u8], problems: &[Diagnostic]) {
        for problem in problems {
            self.note(&format!("{path}: {}", problem.message));
        }
    }
}

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        println!("usage: corpus DIR");
        return ExitCode::from(2);
    };
    let root = directory.join("neurodocker");
    let registry = match templates(&root.join("templates")) {
        Ok(registry) => registry,
        Err(problem) => {
            println!("templates: {problem}");
            return ExitCode::from(2);
        }
    };
    let mut cases = files(&root.join("cases"));
    cases.sort();
    let (mut equal, mut identical, mut recipes) = (0, 0, 0);
    for path in &cases {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match compare(path, &registry) {
            Ok(exact) => {
                equal += 1;
                if let Some(exact) = exact {
                    recipes += 1;
                    identical += usize::from(exact);
                }
            }
            Err(problem) => println!("{name}: {problem}"),
        }
    }
    println!("recipes and specifications equal byte for byte: {identical} of {recipes}");
    println!("corpus: {equal} of {} equal, 0 allowed", cases.len());
    if equal == cases.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn templates(folder: &Path) -> Result<Registry, String> {
    let mut registry = Registry::empty();
    for path in files(folder) {
        let bytes = fs_err::read(&path).map_err(|problem| problem.to_string())?;
        let mut sink = Sink::new();
        if registry.add(&bytes, FileId(0), true, &mut sink).is_none() {
            let problems: Vec<&str> = sink.diagnostics().iter().map(|d| &*d.message).collect();
            return Err(format!("{}: {}", path.display(), problems.join("; ")));
        }
    }
    Ok(registry)
}

/// Whether the output is equal; of a recipe also whether it is equal byte for byte.
fn compare(path: &Path, registry: &Registry) -> Result<Option<bool>, String> {
    let text = fs_err::read_to_string(path).map_err(|problem| problem.to_string())?;
    let case: Value = serde_json::from_str(&text).map_err(|problem| problem.to_string())?;
    let arguments: Vec<String> = case["argv"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|word| word.as_str().unwrap_or_default().to_owned())
        .collect();
    let (outcome, told) = replay(&case, &arguments, registry);
    let wanted = case["exit_code"].as_u64().unwrap_or_default();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(refused) => {
            if wanted == 0 {
                return Err(format!("refused: {refused} {told}"));
            }
            if refused.to_string().trim().is_empty() || refused.to_string().contains('\n') {
                return Err(format!("not one clear message: {refused}"));
            }
            if u64::from(refused.status) != wanted {
                let status = refused.status;
                return Err(format!(
                    "exit status {status} in place of {wanted}: {refused}"
                ));
            }
            return Ok(None);
        }
    };
    if (wanted == 0) != (outcome.status == 0) {
        return Err(format!(
            "exit status {} in place of {wanted}",
            outcome.status
        ));
    }
    let stdout = case["stdout"].as_str().unwrap_or_default();
    match case["kind"].as_str().unwrap_or_default() {
        "docker" | "singularity" => {
            let docker = case["kind"] == "docker";
            let normal = |text: &str| {
                if docker {
                    dockerfile(text)
                } else {
                    definition(text)
                }
            };
            let found = normal(&outcome.stdout);
            if found != case["normalised"] {
                return Err(difference(&case["normalised"], &found));
            }
            let mut again = arguments.clone();
            if case["json_spec"].is_object() && again.first().is_some_and(|word| word == "generate")
            {
                again.push("--json".to_owned());
                let (outcome, _) = replay(&case, &again, registry);
                let found = outcome.map_err(|refused| refused.to_string())?.stdout;
                let found: Value =
                    serde_json::from_str(&found).map_err(|problem| problem.to_string())?;
                if found != case["json_spec"] {
                    return Err("the specification of `--json` differs".to_owned());
                }
            }
            Ok(Some(outcome.stdout == stdout))
        }
        "json" => {
            if outcome.stdout == stdout {
                Ok(Some(true))
            } else {
                Err(format!("found {} in place of {stdout}", outcome.stdout))
            }
        }
        // The wording of help is our own; that there is some is not.
        "text" if outcome.stdout.trim().is_empty() => Err("no text".to_owned()),
        "error" if outcome.stderr.trim().is_empty() => Err("no message".to_owned()),
        "text" | "error" => Ok(None),
        other => Err(format!("unknown kind `{other}`")),
    }
}

fn replay(
    case: &Value,
    arguments: &[String],
    registry: &Registry,
) -> (Result<Outcome, Refused>, String) {
    let texts = |key: &str| -> BTreeMap<String, String> {
        let map = case[key].as_object().into_iter().flatten();
        map.map(|(name, text)| (name.clone(), text.as_str().unwrap_or_default().to_owned()))
            .collect()
    };
    let mut host = Recorded {
        files: texts("files"),
        input: case["stdin"].as_str().unwrap_or_default().to_owned(),
        told: String::new(),
    };
    let settings = Settings {
        template_path: texts("env").remove("REPROENV_TEMPLATE_PATH"),
        registry: Some(registry.clone()),
        compat: true,
    };
    let outcome = run(arguments, &settings, &mut host);
    (outcome, host.told)
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}')
}

/// Steps 2 to 5 of the corpus: logical lines without comments and blanks.
fn logical(lines: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    let mut open: Option<String> = None;
    for line in lines {
        let text = line.trim_matches(blank);
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut whole = open.take().unwrap_or_default();
        if let Some(part) = line.trim_end_matches([' ', '\t']).strip_suffix('\\') {
            whole.push_str(part);
            open = Some(whole);
        } else {
            whole.push_str(line);
            out.push(whole);
        }
    }
    out.extend(open);
    out.iter()
        .map(|text| {
            let words: Vec<&str> = text
                .split(|c| blank(c) || c == '\n')
                .filter(|word| !word.is_empty())
                .collect();
            words.join(" ")
        })
        .filter(|text| !text.is_empty())
        .collect()
}

fn dockerfile(text: &str) -> Value {
    let lines: Vec<&str> = text.split('\n').collect();
    let end = lines
        .iter()
        .rposition(|line| *line == "# Save specification to JSON.");
    let lines = &lines[..end.unwrap_or(lines.len())];
    logical(lines)
        .iter()
        .map(|line| {
            let (op, value) = line.split_once(' ').unwrap_or((line, ""));
            serde_json::json!({ "op": op.to_uppercase(), "value": value })
        })
        .collect()
}

fn definition(text: &str) -> Value {
    let mut sections: Vec<(String, Vec<&str>)> = vec![("header".to_owned(), Vec::new())];
    let mut saving = false;
    for line in text.split('\n') {
        saving |= line == "# Save specification to JSON.";
        let word = line.strip_prefix('%').unwrap_or_default();
        if saving {
            saving = line != "# End saving to specification to JSON.";
        } else if !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()) {
            sections.push((line.to_owned(), Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    sections
        .iter()
        .map(|(name, lines)| serde_json::json!({ "section": name, "lines": logical(lines) }))
        .collect()
}

/// The first entry that differs.
fn difference(wanted: &Value, found: &Value) -> String {
    let empty = Vec::new();
    let (wanted, found) = (
        wanted.as_array().unwrap_or(&empty),
        found.as_array().unwrap_or(&empty),
    );
    for index in 0..wanted.len().max(found.len()) {
        if wanted.get(index) != found.get(index) {
            let shown = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
            return format!(
                "entry {index}\n  wanted {}\n  found  {}",
                shown(wanted.get(index)),
                shown(found.get(index))
            );
        }
    }
    "entries differ".to_owned()
}
