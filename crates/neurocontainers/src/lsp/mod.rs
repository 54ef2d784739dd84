//! A language server: the diagnostics of a check, explanations of keys, and repairs, in an editor.
//!
//! One client over one pair of streams, one message after the other; a recipe is checked in
//! milliseconds, so nothing has to run in the background.

mod convert;
mod hover;
mod protocol;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use nd_host::Environment;
use nd_names::Architecture;
use neurocontainers_recipe::Compat;
use serde_json::{Value, json};

use crate::{
    diagnose::{Buffers, CheckOptions, Outcome, TOOL, check_folder},
    recipes::{Places, RecipeFolder},
};

use convert::{path_of_uri, position, range, uri_of_path};
use protocol::Problem;

/// Files that are checked when an editor has them open.
const NAMES: [&str; 3] = ["build.yaml", "fulltest.yaml", "README.md"];

/// Answers a client until it says `exit`, or goes away. Returns whether it ended as the protocol
/// asks for: `shutdown` before `exit`.
///
/// # Errors
///
/// When a stream breaks, or the client does not speak the protocol.
pub fn serve(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<bool> {
    let mut server = Server::default();
    while let Some(text) = protocol::read(input)? {
        let Ok(message) = serde_json::from_slice::<Value>(&text) else {
            protocol::answer(output, &Value::Null, Err(Problem::Syntax))?;
            continue;
        };
        let method = message["method"].as_str().unwrap_or_default();
        if method == "exit" {
            return Ok(server.shut_down);
        }
        let id = message.get("id").filter(|id| !id.is_null());
        match id {
            Some(id) => {
                let result = server.request(method, &message["params"]);
                protocol::answer(output, id, result)?;
            }
            None => server.notification(method, &message["params"], output)?,
        }
    }
    Ok(false)
}

/// A text that the editor has open.
#[derive(Debug)]
struct Document {
    uri: String,
    text: String,
}

#[derive(Debug, Default)]
struct Server {
    documents: BTreeMap<PathBuf, Document>,
    /// What was last found in each folder.
    outcomes: BTreeMap<PathBuf, Outcome>,
    /// Files whose diagnostics the client shows.
    shown: BTreeSet<PathBuf>,
    shut_down: bool,
}

impl Server {
    fn request(&mut self, method: &str, params: &Value) -> Result<Value, Problem> {
        match method {
            "initialize" => Ok(json!({
                "capabilities": {
                    "positionEncoding": "utf-16",
                    "textDocumentSync": {"openClose": true, "change": 1, "save": true},
                    "hoverProvider": true,
                    "codeActionProvider": {"codeActionKinds": ["quickfix"]},
                },
                "serverInfo": {"name": TOOL.name, "version": TOOL.version},
            })),
            "shutdown" => {
                self.shut_down = true;
                Ok(Value::Null)
            }
            "textDocument/hover" => Ok(self.hover(params)),
            "textDocument/codeAction" => Ok(self.actions(params)),
            _ => Err(Problem::Method),
        }
    }

    fn notification(
        &mut self,
        method: &str,
        params: &Value,
        output: &mut impl Write,
    ) -> io::Result<()> {
        let document = &params["textDocument"];
        let uri = document["uri"].as_str().unwrap_or_default();
        let Some(path) = path_of_uri(uri).filter(|path| is_ours(path)) else {
            return Ok(());
        };
        let text = match method {
            "textDocument/didOpen" => document["text"].as_str(),
            // The whole text: that is what was announced.
            "textDocument/didChange" => params["contentChanges"]
                .as_array()
                .and_then(|changes| changes.last())
                .and_then(|change| change["text"].as_str()),
            "textDocument/didClose" => {
                self.documents.remove(&path);
                None
            }
            "textDocument/didSave" => None,
            _ => return Ok(()),
        };
        if let Some(text) = text {
            let document = Document {
                uri: uri.to_owned(),
                text: text.to_owned(),
            };
            self.documents.insert(path.clone(), document);
        }
        match path.parent() {
            Some(folder) => self.check(folder, output),
            None => Ok(()),
        }
    }

    /// Checks the recipe of a folder and tells the client.
    fn check(&mut self, folder: &Path, output: &mut impl Write) -> io::Result<()> {
        let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
        let open = self
            .documents
            .iter()
            .filter(|(path, _)| path.parent() == Some(folder));
        let buffers: Buffers = open
            .filter_map(|(path, document)| Some((name(path)?, document.text.clone())))
            .collect();
        let outcome = if buffers.is_empty() {
            Outcome::default()
        } else {
            let nothing: [(&str, &str); 0] = [];
            let root = Places::find(&Environment::new(nothing, folder), None, None)
                .map_or_else(|_| folder.to_path_buf(), |places| places.root);
            let recipe = RecipeFolder {
                path: folder.to_path_buf(),
                shown: name(folder).unwrap_or_default(),
                version: None,
            };
            let options = CheckOptions {
                compat: Compat::Improved,
                host: Architecture::X86_64,
                threads: 1,
            };
            check_folder(&recipe, &root, &buffers, &options, 0)
        };
        let mut by_file: BTreeMap<PathBuf, Vec<Value>> = BTreeMap::new();
        // Files without problems are told, too: what the client shows of them is over.
        for path in self.shown.iter().chain(self.documents.keys()) {
            if path.parent() == Some(folder) {
                by_file.entry(path.clone()).or_default();
            }
        }
        for found in &outcome.diagnostics {
            let file = found.labels.first().map(|label| label.span.file);
            // A problem without a place is one of the recipe.
            let path = match file {
                Some(file) => outcome.paths.get(&file).cloned(),
                None => Some(folder.join(NAMES[0])),
            };
            if let Some(path) = path {
                let value = convert::diagnostic(found, &outcome, |path| self.uri(path));
                by_file.entry(path).or_default().push(value);
            }
        }
        for (path, found) in by_file {
            let params = json!({"uri": self.uri(&path), "diagnostics": found});
            protocol::notify(output, "textDocument/publishDiagnostics", &params)?;
            if found.is_empty() {
                self.shown.remove(&path);
            } else {
                self.shown.insert(path);
            }
        }
        self.outcomes.insert(folder.to_path_buf(), outcome);
        Ok(())
    }

    /// The name that the client has for a file.
    fn uri(&self, path: &Path) -> String {
        match self.documents.get(path) {
            Some(document) => document.uri.clone(),
            None => uri_of_path(path),
        }
    }

    fn hover(&self, params: &Value) -> Value {
        let uri = params["textDocument"]["uri"].as_str().unwrap_or_default();
        let found = path_of_uri(uri).and_then(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            let document = self.documents.get(&path)?;
            let at = position(&params["position"], &document.text)?;
            hover::hover(&name, &document.text, at)
        });
        found.unwrap_or(Value::Null)
    }

    /// The repairs of what lies in a range.
    fn actions(&self, params: &Value) -> Value {
        let uri = params["textDocument"]["uri"].as_str().unwrap_or_default();
        let actions = path_of_uri(uri).and_then(|path| {
            let document = self.documents.get(&path)?;
            let outcome = self.outcomes.get(path.parent()?)?;
            let (file, _) = outcome.paths.iter().find(|(_, known)| **known == path)?;
            let start = position(&params["range"]["start"], &document.text)?;
            let end = position(&params["range"]["end"], &document.text)?;
            let mut actions = Vec::new();
            for found in &outcome.diagnostics {
                let Some(label) = found
                    .labels
                    .first()
                    .filter(|label| label.span.file == *file)
                else {
                    continue;
                };
                let place = label.span.range();
                if place.end < start || place.start > end {
                    continue;
                }
                for hint in &found.hints {
                    let Some(fix) = hint.fix.as_ref().filter(|fix| fix.span.file == *file) else {
                        continue;
                    };
                    actions.push(json!({
                        "title": hint.text,
                        "kind": "quickfix",
                        "isPreferred": fix.safe,
                        "diagnostics": [convert::diagnostic(found, outcome, |path| self.uri(path))],
                        "edit": {"changes": {uri: [{
                            "range": range(fix.span.range(), &document.text),
                            "newText": fix.replacement,
                        }]}},
                    }));
                }
            }
            Some(actions)
        });
        json!(actions.unwrap_or_default())
    }
}

fn is_ours(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| NAMES.iter().any(|known| name == *known))
}
