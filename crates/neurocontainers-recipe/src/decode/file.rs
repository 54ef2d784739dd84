//! Declared files.

use nd_names::Sha256;
use nd_report::{Diagnostic, Severity};
use nd_yaml::Node;

use crate::{
    codes,
    raw::{File, Spanned},
};

use super::{Decoder, Fields};

const KEYS: &[&str] = &[
    "name",
    "filename",
    "contents",
    "url",
    "executable",
    "insecure",
    "retry",
    "refresh",
    "condition",
    "sha256",
];

/// Decodes the top-level `files`.
pub(super) fn decode_files<'d>(fields: &Fields<'d>, out: &mut Decoder<'_>) -> Vec<File<'d>> {
    let Some(node) = fields.optional("files", out) else {
        return Vec::new();
    };
    let items = out.list(node, "`files`").unwrap_or_default();
    items
        .iter()
        .filter_map(|item| decode_file(item, out))
        .collect()
}

/// Decodes one file mapping.
pub(super) fn decode_file<'d>(node: &'d Node, out: &mut Decoder<'_>) -> Option<File<'d>> {
    let fields = out.mapping(node, "a file")?;
    let known = if out.upstream() {
        &KEYS[..KEYS.len() - 1]
    } else {
        KEYS
    };
    fields.deny_unknown(known, out);
    let name = fields
        .required("name", out)
        .filter(|name| out.words(name, "file name").is_some());
    let url = match fields.get("url") {
        None => None,
        Some(url) => out.url(url, "`url`"),
    };
    let text = |key: &'static str, out: &mut Decoder<'_>| {
        let node = fields.get(key)?;
        if out.improved() && node.as_str().is_none() {
            out.wrong_type(node, &format!("`{key}`"), "a string");
        }
        Some(node)
    };
    let filename = text("filename", out);
    let contents = text("contents", out);
    let switch = |key: &'static str, out: &mut Decoder<'_>| {
        fields
            .get(key)
            .and_then(|node| out.boolean(node, &format!("`{key}`")))
            .unwrap_or_default()
    };
    let executable = switch("executable", out);
    let insecure = switch("insecure", out);
    let refresh = switch("refresh", out);
    let retry = fields.get("retry").and_then(|node| {
        let count = node.as_int();
        if count.is_none() && out.improved() {
            out.wrong_type(node, "`retry`", "a whole number");
        }
        count
    });
    let sha256 = fields.get("sha256").and_then(|node| {
        let text = out.words(node, "`sha256`")?;
        if let Ok(value) = text.parse::<Sha256>() {
            Some(Spanned {
                value,
                span: node.span,
            })
        } else {
            let message = "`sha256` must be 64 lower-case hex digits";
            out.error(codes::WRONG_TYPE, node.span, message);
            None
        }
    });
    if out.improved() {
        check_sources(&fields, filename, contents, url, out);
    }
    Some(File {
        node,
        name: name?,
        filename,
        contents,
        url,
        sha256,
        executable,
        retry,
        insecure,
        refresh,
        condition: fields.raw("condition"),
    })
}

/// Reports a file that has not exactly one source, or one that cannot be read.
fn check_sources(
    fields: &Fields<'_>,
    filename: Option<&Node>,
    contents: Option<&Node>,
    url: Option<&Node>,
    out: &mut Decoder<'_>,
) {
    let named = [("contents", contents), ("filename", filename), ("url", url)];
    let given: Vec<_> = named
        .iter()
        .filter_map(|(key, node)| Some((*key, (*node)?)))
        .collect();
    match &given[..] {
        // An unusable `url` was reported.
        [] if fields.get("url").is_some() => {}
        [] => {
            let found = Diagnostic::new(
                codes::FILE_SOURCE,
                Severity::Error,
                "the file has no source",
            )
            .at(fields.place(), "");
            out.sink
                .push(found.hint("give one of `url`, `filename`, `contents`"));
            return;
        }
        [_] => {}
        several => {
            let keys: Vec<String> = several.iter().map(|(key, _)| format!("`{key}`")).collect();
            let message = format!("the file has several sources: {}", keys.join(", "));
            let mut found = Diagnostic::new(codes::FILE_SOURCE, Severity::Error, message);
            for (_, node) in several {
                found = found.at(node.span, "");
            }
            out.sink.push(found);
            return;
        }
    }
    if let Some(node) = filename
        && let Some(text) = node.as_str()
        && ["http://", "https://"]
            .iter()
            .any(|start| text.starts_with(start))
    {
        let found = Diagnostic::new(
            codes::FILENAME_URL,
            Severity::Error,
            "`filename` names a file of the recipe's folder, not a URL",
        )
        .at(node.span, "");
        out.sink
            .push(found.hint("write `url` in place of `filename`"));
    }
}
