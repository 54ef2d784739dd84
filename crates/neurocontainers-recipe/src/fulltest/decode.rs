//! Nodes to a suite.

use indexmap::IndexMap;
use nd_report::{Diagnostic, FileId, Severity, Sink};
use nd_yaml::{Limits, Map, Node, Value, python_str};

use crate::{
    Folder, LoadOptions, Profile, ReadError, RecipeFiles, Source, Sources, codes,
    decode::{Decoder, Fields, truthy},
    load::FILE_LIMIT,
    text::nearest,
};

use super::{Check, ExpectedExit, RequiredFiles, Suite, Test, TestBody, validate::validate};

const SUITE_KEYS: &[&str] = &[
    "name",
    "version",
    "container",
    "pin_container",
    "required_files",
    "test_data",
    "env",
    "env_setup",
    "default_timeout",
    "script_runner",
    "script_ext",
    "matlab_runtime",
    "setup",
    "cleanup",
    "tests",
];

const TEST_KEYS: &[&str] = &[
    "name",
    "description",
    "command",
    "script",
    "env_setup",
    "timeout",
    "expected_exit_code",
    "expected_exit_code_not",
    "ignore_exit_code",
    "expected_output_contains",
    "validate",
    "depends_on",
];

/// Keys that suites have and that never did anything.
const IDLE_SUITE_KEYS: &[&str] = &["environment", "paths", "container_paths", "binaries"];

/// Keys that tests have and that never did anything.
const IDLE_TEST_KEYS: &[&str] = &["tags", "container_options", "setup_command"];

/// A suite and the text it was read from.
#[derive(Debug)]
pub struct SuiteFile {
    /// The suite.
    pub suite: Suite,
    /// Its text.
    pub sources: Sources,
}

/// Reads `fulltest.yaml` beside a recipe; `None` when there is none or it is no suite, the latter
/// with a report. `place` is how people call the recipe's folder.
pub fn load_suite(
    files: &dyn RecipeFiles,
    place: &str,
    options: &LoadOptions<'_>,
    sink: &mut Sink,
) -> Option<SuiteFile> {
    let shown = format!("{}/fulltest.yaml", place.trim_end_matches('/'));
    let bytes = match files.read(Folder::Recipe, "fulltest.yaml", FILE_LIMIT) {
        Ok(bytes) => bytes,
        Err(ReadError::Absent) => return None,
        Err(problem) => {
            let message = format!("cannot read `{shown}`: {problem}");
            sink.push(Diagnostic::new(codes::UNREADABLE, Severity::Error, message));
            return None;
        }
    };
    let mut sources = Sources::starting_at(options.first_file);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let file = sources.add(shown, text);
    let suite = decode(&bytes, sources.get(file)?, options, sink)?;
    Some(SuiteFile { suite, sources })
}

/// Reads a suite from its text. Problems go to `sink` with spans into `file`; there is a suite
/// whenever the text has the shape of one, so a caller that wants it free of errors asks the sink.
pub fn parse_suite(
    text: &str,
    file: FileId,
    options: &LoadOptions<'_>,
    sink: &mut Sink,
) -> Option<Suite> {
    let source = Source::new(file, "fulltest.yaml".into(), text.to_owned());
    decode(text.as_bytes(), &source, options, sink)
}

fn decode(
    bytes: &[u8],
    source: &Source,
    options: &LoadOptions<'_>,
    sink: &mut Sink,
) -> Option<Suite> {
    let limits = Limits {
        bytes: FILE_LIMIT,
        ..Limits::default()
    };
    let mut found = Sink::new();
    let root = nd_yaml::parse(bytes, source.file, &limits, &mut found);
    for mut diagnostic in found.into_diagnostics() {
        if options.compat.is_upstream() && diagnostic.code == nd_yaml::codes::DUPLICATE_KEY {
            diagnostic.severity = Severity::Warning;
        }
        sink.push(diagnostic);
    }
    let mut out = Decoder {
        compat: options.compat,
        profile: Profile::Strict,
        sink,
    };
    let suite = decode_suite(&root?, source, &mut out)?;
    validate(&suite, &mut out);
    Some(suite)
}

fn decode_suite(root: &Node, source: &Source, out: &mut Decoder<'_>) -> Option<Suite> {
    let fields = out.mapping(root, "the test suite")?;
    let scalar = |key: &str| fields.get(key).filter(|node| is_scalar(node));
    let setup = section(&fields, "setup", &["script", "host_script"], out);
    let cleanup = section(&fields, "cleanup", &["script"], out);
    let (script_runner, script_ext) = decode_runner(&fields, out);
    let mut suite = Suite {
        name: scalar("name").map_or_else(|| "fulltest".to_owned(), text),
        name_span: fields.get("name").map(|node| node.span),
        version: scalar("version").map(text),
        version_span: fields.get("version").map(|node| node.span),
        container: optional_text(&fields, "container", out),
        pin_container: fields
            .get("pin_container")
            .and_then(|node| out.boolean(node, "`pin_container`"))
            .unwrap_or_default(),
        required_files: decode_required(&fields, out),
        test_data: texts(&fields, "test_data", out),
        env: texts(&fields, "env", out),
        env_setup: optional_text(&fields, "env_setup", out),
        default_timeout: seconds(&fields, "default_timeout", out).unwrap_or(120),
        script_runner,
        script_ext,
        setup_script: setup.and_then(|setup| optional_text(&setup, "script", out)),
        host_script: setup.and_then(|setup| optional_text(&setup, "host_script", out)),
        cleanup_script: cleanup.and_then(|cleanup| optional_text(&cleanup, "script", out)),
        variables: IndexMap::new(),
        tests: Vec::new(),
    };
    for entry in fields.map {
        let key = entry.key.as_str().unwrap_or_default();
        if SUITE_KEYS.contains(&key) {
            continue;
        }
        if is_scalar(&entry.value) && !key.is_empty() {
            if let Some(meant) = nearest(key, SUITE_KEYS.iter().copied())
                && out.improved()
            {
                let message = format!("`{key}` is taken as a variable");
                let found = Diagnostic::new(codes::UNKNOWN_KEY, Severity::Warning, message)
                    .at(entry.key.span, "");
                out.sink
                    .push(found.hint(format!("did you mean the key `{meant}`?")));
            }
            suite.variables.insert(key.to_owned(), text(&entry.value));
        } else if IDLE_SUITE_KEYS.contains(&key) || out.upstream() {
            let message = format!("`{key}` has no effect in a test suite");
            let mut found = Diagnostic::new(codes::UNKNOWN_KEY, Severity::Warning, message)
                .at(entry.key.span, "");
            if key == "environment" {
                found = found.hint("the environment of tests is called `env`");
            }
            out.sink.push(found);
        } else {
            fields.unknown_key(entry, SUITE_KEYS, out);
        }
    }
    if let Some(node) = fields.get("tests")
        && let Some(items) = out.list(node, "`tests`")
    {
        suite.tests = items
            .iter()
            .filter_map(|item| decode_test(item, source, out))
            .collect();
    }
    Some(suite)
}

/// A mapping with scripts.
fn section<'d>(
    fields: &Fields<'d>,
    key: &'static str,
    known: &[&str],
    out: &mut Decoder<'_>,
) -> Option<Fields<'d>> {
    let node = fields.get(key)?;
    let section = out.mapping(node, key)?;
    deny_unknown(&section, known, &[], out);
    Some(section)
}

/// Reports keys that are not known; those that never did anything only as a warning.
fn deny_unknown(fields: &Fields<'_>, known: &[&str], idle: &[&str], out: &mut Decoder<'_>) {
    for entry in fields.map {
        let key = entry.key.as_str().unwrap_or_default();
        if known.contains(&key) {
            continue;
        }
        if idle.contains(&key) || out.upstream() {
            let message = format!("`{key}` has no effect in {}", fields.what);
            let found = Diagnostic::new(codes::UNKNOWN_KEY, Severity::Warning, message);
            out.sink.push(found.at(entry.key.span, ""));
        } else {
            fields.unknown_key(entry, known, out);
        }
    }
}

fn decode_runner(fields: &Fields<'_>, out: &mut Decoder<'_>) -> (Option<String>, String) {
    let runner = optional_text(fields, "script_runner", out);
    let extension = optional_text(fields, "script_ext", out);
    let matlab = fields.get("matlab_runtime").and_then(|node| {
        let matlab = out.mapping(node, "`matlab_runtime`")?;
        deny_unknown(&matlab, &["runner", "path"], &[], out);
        let part = |key: &str, out: &mut Decoder<'_>| {
            let node = matlab.required(key, out)?;
            out.template(node, key).map(text)
        };
        let runner = part("runner", out);
        let path = part("path", out);
        Some(format!("{} {}", runner?, path?))
    });
    match (runner, matlab) {
        (Some(runner), _) => (Some(runner), extension.unwrap_or_else(|| ".sh".to_owned())),
        (None, Some(matlab)) => (Some(matlab), ".m".to_owned()),
        (None, None) => (None, extension.unwrap_or_else(|| ".sh".to_owned())),
    }
}

fn decode_required(fields: &Fields<'_>, out: &mut Decoder<'_>) -> Vec<RequiredFiles> {
    let Some(node) = fields.get("required_files") else {
        return Vec::new();
    };
    let Some(items) = out.list(node, "`required_files`") else {
        return Vec::new();
    };
    let each = |item, out: &mut Decoder<'_>| {
        let entry = out.mapping(item, "an entry of `required_files`")?;
        deny_unknown(&entry, &["dataset", "files"], &[], out);
        let dataset = entry.required("dataset", out);
        let dataset = dataset.and_then(|node| out.words(node, "`dataset`"));
        let files = entry.required("files", out);
        let files = files.and_then(|node| out.list(node, "`files`"))?;
        let files = files
            .iter()
            .filter_map(|file| out.words(file, "a required file"));
        let files: Vec<String> = files.map(str::to_owned).collect();
        for file in &files {
            if !crate::is_confined(file) && out.improved() {
                let message = format!("required file `{file}` is not a path below its dataset");
                out.error(codes::UNSAFE_PATH, item.span, message);
            }
        }
        Some(RequiredFiles {
            dataset: dataset?.to_owned(),
            files,
        })
    };
    items.iter().filter_map(|item| each(item, out)).collect()
}

fn decode_test(node: &Node, source: &Source, out: &mut Decoder<'_>) -> Option<Test> {
    let fields = out.mapping(node, "a test")?;
    deny_unknown(&fields, TEST_KEYS, IDLE_TEST_KEYS, out);
    let name = fields.get("name");
    if name.is_none() && out.improved() {
        out.missing(fields.place(), fields.what, "name");
    }
    let name = name
        .and_then(|node| out.template(node, "the name of a test"))
        .map(text);
    let command = optional_text(&fields, "command", out);
    let script = optional_text(&fields, "script", out);
    if out.improved()
        && let (Some(_), Some(script)) = (&command, fields.get("script"))
    {
        let message = "`script` is ignored beside `command`";
        out.warn(codes::SEVERAL_ACTIONS, script.span, message);
    }
    let body = command
        .map(TestBody::Command)
        .or(script.map(TestBody::Script));
    if body.is_none() && out.improved() {
        let message = "a test needs a `command` or a `script`";
        out.error(codes::NO_COMMAND, fields.place(), message);
    }
    let span = fields.get("name").map_or(fields.place(), |node| node.span);
    Some(Test {
        name: name.unwrap_or_else(|| "Unnamed test".to_owned()),
        description: fields
            .get("description")
            .filter(|node| is_scalar(node))
            .map(text),
        body,
        env_setup: optional_text(&fields, "env_setup", out),
        timeout: seconds(&fields, "timeout", out),
        exit: decode_exit(&fields, out),
        expected_output: strings(&fields, "expected_output_contains", out),
        checks: decode_checks(&fields, out),
        depends_on: strings(&fields, "depends_on", out),
        span,
        line: source.line(span.start),
    })
}

fn decode_exit(fields: &Fields<'_>, out: &mut Decoder<'_>) -> ExpectedExit {
    let number = |key: &str, out: &mut Decoder<'_>| {
        let node = fields.get(key)?;
        let number = node.as_int();
        if number.is_none() {
            out.wrong_type(node, &format!("`{key}`"), "a whole number");
        }
        number
    };
    let ignored = fields
        .get("ignore_exit_code")
        .and_then(|node| out.boolean(node, "`ignore_exit_code`"))
        .unwrap_or_default();
    let expected = number("expected_exit_code", out);
    let unwanted = number("expected_exit_code_not", out);
    match (ignored, unwanted) {
        (true, _) => ExpectedExit::Any,
        (false, Some(code)) => ExpectedExit::Not(code),
        (false, None) => ExpectedExit::Code(expected.unwrap_or_default()),
    }
}

fn decode_checks(fields: &Fields<'_>, out: &mut Decoder<'_>) -> Vec<Check> {
    let Some(node) = fields.get("validate") else {
        return Vec::new();
    };
    let Some(items) = out.list(node, "`validate`") else {
        return Vec::new();
    };
    let mut checks = Vec::new();
    for item in items {
        let Some(map) = item.as_map() else {
            if out.improved() {
                out.wrong_type(item, "an entry of `validate`", "a mapping");
            }
            continue;
        };
        decode_check_map(map, &mut checks, out);
    }
    checks
}

fn decode_check_map(map: &Map, checks: &mut Vec<Check>, out: &mut Decoder<'_>) {
    for entry in map {
        let key = python_str(&entry.key.value);
        let value = &entry.value;
        let path = |out: &mut Decoder<'_>| out.template(value, &format!("`{key}`")).map(text);
        match key.as_str() {
            "output_exists" => checks.extend(path(out).map(Check::OutputExists)),
            "is_3d" => checks.extend(path(out).map(Check::Is3d)),
            "output_dir_not_empty" => checks.extend(path(out).map(Check::OutputDirNotEmpty)),
            "same_dimensions" => {
                if let Some([one, other]) = value.as_seq() {
                    checks.push(Check::SameDimensions(text(one), text(other)));
                } else {
                    let message = "`same_dimensions` compares two paths, given as a list";
                    out.error(codes::WRONG_TYPE, value.span, message);
                }
            }
            _ => {
                let severity = if out.upstream() {
                    Severity::Warning
                } else {
                    Severity::Error
                };
                let shown: String = key.chars().take(60).collect();
                let message = format!("unknown check `{shown}`");
                let mut found =
                    Diagnostic::new(codes::UNKNOWN_CHECK, severity, message).at(entry.key.span, "");
                if let Some(meant) = nearest(&key, Check::KEYS) {
                    found = found.hint(format!("did you mean `{meant}`?"));
                }
                let list: Vec<String> = Check::KEYS
                    .iter()
                    .map(|check| format!("`{check}`"))
                    .collect();
                out.sink
                    .push(found.hint(format!("checks: {}", list.join(", "))));
            }
        }
    }
}

fn is_scalar(node: &Node) -> bool {
    !matches!(
        node.value,
        Value::Seq(_) | Value::Map(_) | Value::Set(_) | Value::Pairs(_) | Value::Bytes(_)
    )
}

/// Text of a scalar, as written where that is known: `1.10` stays `1.10`.
fn text(node: &Node) -> String {
    match node.value {
        Value::Bool(_) | Value::Null => python_str(&node.value),
        _ => node
            .written()
            .map_or_else(|| python_str(&node.value), str::to_owned),
    }
}

fn optional_text(fields: &Fields<'_>, key: &str, out: &mut Decoder<'_>) -> Option<String> {
    let node = fields.get(key)?;
    if !is_scalar(node) {
        out.wrong_type(node, &format!("`{key}`"), "a string");
        return None;
    }
    let text = text(node);
    (!text.is_empty()).then_some(text)
}

fn seconds(fields: &Fields<'_>, key: &str, out: &mut Decoder<'_>) -> Option<u64> {
    let node = fields.get(key)?;
    let seconds = match node.value {
        Value::Int(seconds) => u64::try_from(seconds).ok().filter(|seconds| *seconds > 0),
        Value::Float(seconds) if (0.0..1e9).contains(&seconds) => Some(seconds.ceil() as u64),
        _ => None,
    };
    if seconds.is_none() {
        out.wrong_type(node, &format!("`{key}`"), "a number of seconds");
    }
    seconds
}

fn texts(
    fields: &Fields<'_>,
    key: &'static str,
    out: &mut Decoder<'_>,
) -> IndexMap<String, String> {
    let Some(node) = fields.get(key) else {
        return IndexMap::new();
    };
    if out.upstream() && !truthy(&node.value) {
        return IndexMap::new();
    }
    let Some(map) = out.mapping(node, key) else {
        return IndexMap::new();
    };
    let mut texts = IndexMap::new();
    for entry in map.map {
        if is_scalar(&entry.value) {
            texts.insert(python_str(&entry.key.value), text(&entry.value));
        } else {
            out.wrong_type(&entry.value, &format!("an entry of `{key}`"), "a string");
        }
    }
    texts
}

/// A string or a list of strings.
fn strings(fields: &Fields<'_>, key: &str, out: &mut Decoder<'_>) -> Vec<String> {
    let Some(node) = fields.get(key) else {
        return Vec::new();
    };
    let items = match node.as_seq() {
        Some(items) => items,
        None => std::slice::from_ref(node),
    };
    let mut strings = Vec::new();
    for item in items {
        if is_scalar(item) {
            strings.push(text(item));
        } else {
            out.wrong_type(item, &format!("an entry of `{key}`"), "a string");
        }
    }
    strings.retain(|string| !string.is_empty());
    strings
}
