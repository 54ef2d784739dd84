//! Diagnostics as documents, and repairs by their edits.

use nd_report::{Code, Diagnostic, Explanation, FileId, Fix, Severity, Span, apply_safe_fixes};
use nd_terminal::{
    Counts, Sources, ToolInfo, github_commands, json_report, sarif_report, short_lines,
};
use proptest::prelude::*;

const FILE: FileId = FileId(3);
const TEXT: &str = "# brain \u{1f9e0}, comma: 100%\nname: demo\nversion: 1.10\n";
const CODE: Code = Code {
    number: 102,
    name: "unknown-key",
};
const TOOL: ToolInfo<'_> = ToolInfo {
    name: "demo",
    version: "1.2.3",
    home: "https://example.org",
    pages: "https://example.org/book/",
};

fn found() -> Vec<Diagnostic> {
    let at = TEXT.find("1.10").unwrap_or_default();
    let brain = TEXT.find('\u{1f9e0}').unwrap_or_default();
    vec![
        Diagnostic::new(CODE, Severity::Warning, "100% of `1.10`,\nread: as `1.1`")
            .at(Span::new(FILE, at..at + 4), "here")
            .at(Span::new(FILE, brain..brain + 4), "because of this")
            .fix(
                "quote it",
                Fix {
                    span: Span::new(FILE, at..at + 4),
                    replacement: "\"1.10\"".to_owned(),
                    safe: true,
                },
            ),
        Diagnostic::new(CODE, Severity::Error, "there is no file").hint("write one"),
    ]
}

fn sources() -> Sources {
    Sources::new().with(FILE, "recipes/a, b/build.yaml", TEXT)
}

#[test]
fn github_commands_are_escaped() {
    insta::assert_snapshot!(github_commands(&found(), &sources()), @r"
    ::warning file=recipes/a%2C b/build.yaml,line=3,col=10,endLine=3,endColumn=13,title=ND0102 unknown-key::100%25 of `1.10`,%0Aread: as `1.1`%0Ahint: quote it
    ::error title=ND0102 unknown-key::there is no file%0Ahint: write one
    ");
}

#[test]
fn the_json_document_has_places_hints_and_edits() {
    insta::assert_json_snapshot!(json_report(&found(), &sources(), &TOOL));
}

#[test]
fn the_sarif_log_has_rules_places_and_edits() {
    let explanation = Explanation {
        code: CODE,
        summary: "a key is unknown",
        details: "Nothing reads it.",
        wrong: "",
        right: "",
    };
    insta::assert_json_snapshot!(sarif_report(&found(), &sources(), &TOOL, &[explanation]));
}

#[test]
fn one_line_says_where_and_what() {
    assert_eq!(
        short_lines(&found(), &sources()),
        "recipes/a, b/build.yaml:3:10: warning: 100% of `1.10`,\nread: as `1.1` [ND0102 unknown-key]\n\
         error: there is no file [ND0102 unknown-key]\n"
    );
    assert_eq!(
        Counts::of(&found()).to_string(),
        "1 error, 1 warning, 0 notes"
    );
}

#[test]
fn edits_that_overlap_or_do_not_fit_are_refused() {
    let edit = |start: usize, end: usize, replacement: &str, safe| {
        Diagnostic::new(CODE, Severity::Note, "").fix(
            "",
            Fix {
                span: Span::new(FILE, start..end),
                replacement: replacement.to_owned(),
                safe,
            },
        )
    };
    let found = [
        edit(4, 6, "Y", true),
        edit(0, 2, "X", true),
        edit(1, 3, "overlaps", true),
        edit(2, 4, "unsafe", false),
        edit(0, 2, "X", true),
        edit(6, 99, "outside", true),
    ];
    let fixed = apply_safe_fixes("abcdefg", FILE, &found);
    assert_eq!(fixed.text, "XcdYg");
    assert_eq!((fixed.applied, fixed.refused), (2, 2));
}

proptest! {
    /// What no edit names is there afterwards, in its order, byte for byte.
    #[test]
    fn other_bytes_stay(
        text in "[a-zé\\n# ]{0,60}",
        edits in proptest::collection::vec((0_usize..70, 0_usize..8), 0..6),
    ) {
        let found: Vec<Diagnostic> = edits
            .iter()
            .map(|(start, length)| {
                Diagnostic::new(CODE, Severity::Note, "").fix("", Fix {
                    span: Span::new(FILE, *start..start + length),
                    replacement: "\u{1}".to_owned(),
                    safe: true,
                })
            })
            .collect();
        let fixed = apply_safe_fixes(&text, FILE, &found);
        // Each piece between replacements is a piece of the text, in order; what is missing lies
        // inside ranges that were edited.
        let mut named = vec![false; text.len()];
        for (start, length) in &edits {
            let end = (start + length).min(text.len());
            named[(*start).min(end)..end].fill(true);
        }
        let untouched = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().zip(&named).filter(|(_, named)| !**named).map(|(byte, _)| *byte).collect()
        };
        let mut at = 0;
        for piece in fixed.text.split('\u{1}') {
            let found = text[at..].find(piece);
            prop_assert!(found.is_some(), "{piece:?} is not in {text:?} from {at}");
            at += found.unwrap_or(0) + piece.len();
        }
        let kept: Vec<u8> = fixed.text.bytes().filter(|byte| *byte != 1).collect();
        let mut rest = kept.as_slice();
        for byte in untouched(text.as_bytes()) {
            let found = rest.iter().position(|kept| *kept == byte);
            prop_assert!(found.is_some());
            rest = &rest[found.unwrap_or(0) + 1..];
        }
        prop_assert_eq!(fixed.text.matches('\u{1}').count(), fixed.applied);
    }
}
