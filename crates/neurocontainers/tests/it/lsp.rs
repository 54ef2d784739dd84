//! The language server, by a client that follows a script.

use std::io::Write as _;

use nd_testkit::TestEnv;
use serde_json::{Value, json};

const TEXT: &str =
    "name: demo\nversion: 1.10\narchitectures: [x86_64]\n# \u{1f9e0}\ndescripton: views images\n";

/// The message with its header.
fn message(value: &Value) -> Vec<u8> {
    let text = value.to_string();
    format!("Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn request(id: u32, method: &str, params: &Value) -> Vec<u8> {
    message(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

fn notification(method: &str, params: &Value) -> Vec<u8> {
    message(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// All messages of a stream.
fn messages(mut bytes: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let header = std::str::from_utf8(&bytes[..end]).unwrap();
        let length: usize = header
            .strip_prefix("Content-Length: ")
            .unwrap()
            .parse()
            .unwrap();
        let (text, rest) = bytes[end + 4..].split_at(length);
        found.push(serde_json::from_slice(text).unwrap());
        bytes = rest;
    }
    found
}

#[test]
fn an_editor_gets_diagnostics_explanations_and_repairs() {
    let env = TestEnv::new().unwrap();
    let folder = env.work().join("my recipes/demo");
    fs_err::create_dir_all(&folder).unwrap();
    let uri = format!("file://{}/build.yaml", folder.display()).replace(' ', "%20");
    let document = json!({"uri": uri, "languageId": "yaml", "version": 1, "text": TEXT});
    let typo = json!({"start": {"line": 4, "character": 2}, "end": {"line": 4, "character": 2}});
    let mut input = Vec::new();
    for part in [
        request(1, "initialize", &json!({"capabilities": {}})),
        notification("initialized", &json!({})),
        notification("textDocument/didOpen", &json!({"textDocument": document})),
        request(
            2,
            "textDocument/hover",
            &json!({"textDocument": {"uri": uri}, "position": {"line": 1, "character": 3}}),
        ),
        request(
            3,
            "textDocument/codeAction",
            &json!({"textDocument": {"uri": uri}, "range": typo, "context": {"diagnostics": []}}),
        ),
        request(
            4,
            "textDocument/hover",
            &json!({"textDocument": {"uri": uri}, "position": {"line": 3, "character": 0}}),
        ),
        notification(
            "textDocument/didChange",
            &json!({
                "textDocument": {"uri": uri, "version": 2},
                "contentChanges": [{"text": TEXT.replace("descripton", "description")}],
            }),
        ),
        b"Content-Length: 5\r\n\r\nnoise".to_vec(),
        request(5, "textDocument/definition", &json!({})),
        notification(
            "textDocument/didClose",
            &json!({"textDocument": {"uri": uri}}),
        ),
        request(6, "shutdown", &Value::Null),
        notification("exit", &Value::Null),
    ] {
        input.write_all(&part).unwrap();
    }
    let output = env
        .command(env!("CARGO_BIN_EXE_neurocontainers"))
        .arg("lsp")
        .write_stdin(input)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = messages(&output.stdout);
    let answer = |id: u32| said.iter().find(|said| said["id"] == id).unwrap();
    assert_eq!(answer(1)["result"]["capabilities"]["hoverProvider"], true);
    let hover = &answer(2)["result"];
    assert!(
        hover["contents"]["value"]
            .as_str()
            .unwrap()
            .starts_with("`version` (required)"),
        "{hover}"
    );
    assert_eq!(hover["range"]["end"], json!({"line": 1, "character": 7}));
    assert_eq!(answer(4)["result"], Value::Null);
    assert_eq!(answer(5)["error"]["code"], -32601);
    assert_eq!(answer(6)["result"], Value::Null);
    assert!(said.iter().any(|said| said["error"]["code"] == -32700));

    let action = &answer(3)["result"][0];
    assert_eq!(action["kind"], "quickfix");
    assert_eq!(action["isPreferred"], true);
    let edit = &action["edit"]["changes"][&uri][0];
    assert_eq!(edit["newText"], "description");
    assert_eq!(
        edit["range"],
        json!({"start": {"line": 4, "character": 0}, "end": {"line": 4, "character": 10}})
    );

    let published: Vec<&Value> = said
        .iter()
        .filter(|said| said["method"] == "textDocument/publishDiagnostics")
        .map(|said| &said["params"])
        .collect();
    assert_eq!(published.len(), 3, "{published:?}");
    assert!(published.iter().all(|params| params["uri"] == uri));
    let codes = |params: &Value| -> Vec<String> {
        let found = params["diagnostics"].as_array().unwrap();
        found
            .iter()
            .map(|found| found["code"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(codes(published[0]).contains(&"ND0102".to_owned()));
    assert!(codes(published[0]).contains(&"ND0110".to_owned()));
    assert!(!codes(published[1]).contains(&"ND0102".to_owned()));
    assert!(codes(published[2]).is_empty());
    // Nothing was written beside what the editor holds.
    assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn a_client_that_goes_away_ends_the_server() {
    let env = TestEnv::new().unwrap();
    let run = |input: &[u8]| {
        let mut command = env.command(env!("CARGO_BIN_EXE_neurocontainers"));
        command
            .arg("lsp")
            .write_stdin(input)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(run(b""), Some(1));
    assert_eq!(run(b"Content-Length: 9\r\n\r\n{}"), Some(1));
    assert_eq!(run(&notification("exit", &Value::Null)), Some(1));
}
