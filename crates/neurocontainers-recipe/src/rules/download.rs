//! What is fetched, and whether anybody checks it.

use nd_report::{Diagnostic, Fix, Severity, Sink, Span};
use nd_yaml::Node;

use super::{Recipe, Rule, codes, directives::Script, shell};

/// Declared files and commands that download.
pub(super) struct Downloads;

/// Programs that fetch a file.
const FETCHERS: [&str; 4] = ["curl", "wget", "aria2c", "axel"];

/// Further programs that fetch what a URL names.
const OTHERS: [&str; 6] = ["git", "svn", "hg", "pip", "pip3", "conda"];

/// Words of programs that check what was fetched.
const CHECKS: [&str; 9] = [
    "sha256sum",
    "sha512sum",
    "sha1sum",
    "md5sum",
    "shasum",
    "b2sum",
    "gpg",
    "apt-key",
    "openssl dgst",
];

/// Hosts that answer `http` with a redirect to the same path by `https`.
const SECURE_HOSTS: [&str; 8] = [
    "bitbucket.org",
    "files.pythonhosted.org",
    "github.com",
    "gitlab.com",
    "osf.io",
    "pypi.org",
    "raw.githubusercontent.com",
    "zenodo.org",
];

impl Rule for Downloads {
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink) {
        for file in recipe.files() {
            declared(recipe, file, out);
        }
        for scripts in &recipe.runs {
            run(recipe, scripts, out);
        }
    }
}

fn declared(recipe: &Recipe<'_>, file: &Node, out: &mut Sink) {
    let Some(node) = file.get("url") else {
        return;
    };
    let Some(url) = node.as_str() else {
        return;
    };
    let checked = file.get("sha256").is_some();
    let insecure = file.get("insecure").and_then(Node::as_bool) == Some(true);
    if !checked {
        out.push(
            Diagnostic::new(
                codes::NO_CHECKSUM,
                Severity::Note,
                "the file behind this URL is not checked",
            )
            .at(node.span, "")
            .hint("add `sha256` with the digest of the file"),
        );
    }
    if is_plain(url) && !(checked && insecure) {
        plain(out, recipe.place(node, "http://", 0), url);
    }
}

fn run(recipe: &Recipe<'_>, scripts: &[Script<'_>], out: &mut Sink) {
    let says = |script: &Script<'_>| CHECKS.iter().any(|check| script.text.contains(check));
    let fetches = scripts.iter().filter(|script| script.text.contains("://"));
    let mut fetches = fetches.peekable();
    let checked = fetches.peek().is_some() && scripts.iter().any(says);
    for script in fetches {
        let node = script.node;
        for command in &script.commands {
            let program = command.program();
            let fetches = FETCHERS.contains(&program);
            let installs = super::pip::Install::of(command).is_some();
            if !fetches && !installs && !OTHERS.contains(&program) {
                continue;
            }
            let mut urls = command.words.iter().filter_map(|word| {
                let at = word
                    .text
                    .find("http://")
                    .or_else(|| word.text.find("https://"))?;
                Some((word, &word.text[at..]))
            });
            let first = urls.clone().next();
            if let (true, false, Some((word, url))) = (fetches, checked, first) {
                out.push(
                    Diagnostic::new(
                        codes::UNCHECKED_DOWNLOAD,
                        Severity::Note,
                        format!("`{program}` fetches a file that is not checked"),
                    )
                    .at(place_of_url(recipe, node, script.text, word, url), "")
                    .hint("declare it under `files` with `url` and `sha256`, and use `get_file`"),
                );
            }
            if let Some((word, url)) = urls.find(|(_, url)| is_plain(url)) {
                let span = place_of_url(recipe, node, script.text, word, url);
                let start = span.range().start;
                let scheme = recipe.text.get(start..start + 7) == Some("http://");
                let span = if scheme {
                    Span::new(span.file, start..start + 7)
                } else {
                    span
                };
                plain(out, span, url);
            }
        }
    }
}

/// The place of a URL inside a word, which may have something before it.
fn place_of_url(
    recipe: &Recipe<'_>,
    node: &Node,
    script: &str,
    word: &shell::Word,
    url: &str,
) -> Span {
    let before = script[..word.range.start].matches(url).count();
    let span = recipe.place(node, url, before);
    if span == node.span {
        recipe.place_in(node, script, word.range.clone())
    } else {
        span
    }
}

fn is_plain(url: &str) -> bool {
    url.strip_prefix("http://").is_some_and(|rest| {
        !["localhost", "127.", "[::1]"]
            .iter()
            .any(|own| rest.starts_with(own))
    })
}

fn plain(out: &mut Sink, span: Span, url: &str) {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let host = rest
        .split(['/', ':', '?', '"', '\''])
        .next()
        .unwrap_or_default();
    let found = Diagnostic::new(
        codes::PLAIN_HTTP,
        Severity::Warning,
        format!("`{host}` is asked without encryption"),
    )
    .at(span, "");
    let exact = span.range().len() == "http://".len();
    out.push(if exact {
        found.fix(
            "use `https`",
            Fix {
                span,
                replacement: "https://".to_owned(),
                safe: SECURE_HOSTS.contains(&host),
            },
        )
    } else {
        found.hint("use `https`")
    });
}
