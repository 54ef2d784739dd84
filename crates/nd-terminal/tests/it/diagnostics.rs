//! Diagnostics as people see them.

use nd_report::{Code, Diagnostic, FileId, Severity, Span};
use nd_terminal::{DiagnosticStyle, Sources, render_diagnostic};

const CODE: Code = Code {
    number: 102,
    name: "unknown-key",
};

#[test]
fn shows_the_line_and_the_hint() {
    let file = FileId(0);
    let sources = Sources::new().with(file, "build.yaml", "name: demo\nversoin: 1.0\n");
    let found = Diagnostic::new(CODE, Severity::Error, "unknown key `versoin`")
        .at(Span::new(file, 11..18), "not a key of a recipe")
        .hint("did you mean `version`?");
    insta::assert_snapshot!(render_diagnostic(&found, &sources, DiagnosticStyle::PLAIN), @"
    ND0102 unknown-key

      × unknown key `versoin`
       ╭─[build.yaml:2:1]
     1 │ name: demo
     2 │ versoin: 1.0
       · ───┬───
       ·    ╰── not a key of a recipe
       ╰────
      help: did you mean `version`?
    ");
}

#[test]
fn a_span_outside_its_file_does_not_hide_the_message() {
    let file = FileId(7);
    let sources = Sources::new().with(file, "build.yaml", "x");
    let found = Diagnostic::new(CODE, Severity::Error, "beyond the end")
        .at(Span::new(file, 400..500), "here")
        .at(Span::new(FileId(8), 0..3), "no such file");
    let text = render_diagnostic(&found, &sources, DiagnosticStyle::PLAIN);
    assert!(text.contains("beyond the end"), "{text}");
    let sources = Sources::new().with(file, "build.yaml", "a\u{fffd}\u{fffd}b");
    let found = Diagnostic::new(CODE, Severity::Error, "no text").at(Span::new(file, 2..3), "here");
    let text = render_diagnostic(&found, &sources, DiagnosticStyle::PLAIN);
    assert!(text.contains("no text"), "{text}");
}

/// Far-apart places, a place at the end of a line of kilobytes, one over many lines.
#[test]
fn long_lines_are_cut_and_places_stay_right() {
    let long = format!("{}NEEDLE{}", "é".repeat(2000), "x".repeat(3000));
    let text = format!("one\n{long}\nthree\n{}last: line", "more\n".repeat(20));
    let needle = text.find("NEEDLE").unwrap_or_default();
    let last = text.find("last").unwrap_or_default();
    let file = FileId(0);
    let sources = Sources::new().with(file, "build.yaml", text.clone());
    let found = Diagnostic::new(CODE, Severity::Warning, "two places")
        .at(Span::new(file, needle..needle + 6), "first")
        .at(Span::new(file, last..text.len()), "second");
    insta::assert_snapshot!(render_diagnostic(&found, &sources, DiagnosticStyle::PLAIN));
    let whole =
        Diagnostic::new(CODE, Severity::Note, "everything").at(Span::new(file, 0..text.len()), "");
    let text = render_diagnostic(&whole, &sources, DiagnosticStyle::PLAIN);
    assert!(text.len() < 4000 && text.contains("everything"), "{text}");
}
