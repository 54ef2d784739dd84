//! Input that nobody should write.

use std::fmt::Write as _;

use nd_report::{FileId, Sink};
use nd_testkit::{cpu_since, cpu_time};
use nd_yaml::Limits;
use proptest::prelude::*;

use crate::read_all;

/// Reads, and holds that it ends within a second with nothing but this complaint.
fn refused(text: &[u8], code: &str) {
    let begun = cpu_time();
    let (node, codes) = read_all(text);
    assert!(cpu_since(begun) < 1.0, "{:?}", cpu_since(begun));
    assert_eq!(codes, [code]);
    assert!(node.is_none());
}

#[test]
fn refuses_a_hundred_megabytes() {
    refused(&vec![b'a'; 100 << 20], "yaml-limit");
}

#[test]
fn refuses_depth() {
    refused("[".repeat(10_000).as_bytes(), "yaml-limit");
    refused("- ".repeat(10_000).as_bytes(), "yaml-limit");
    refused("{a: ".repeat(10_000).as_bytes(), "yaml-limit");
    refused("? ".repeat(10_000).as_bytes(), "yaml-limit");
    let mut text = String::new();
    for depth in 0..3_000 {
        writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
    }
    let text = &text.as_bytes()[..text.len().min(1 << 20)];
    refused(text, "yaml-limit");
}

#[test]
fn reads_many_brackets_that_end_early() {
    let begun = cpu_time();
    let (node, codes) = read_all("a: [\n]\n".repeat(100).as_bytes());
    assert!(node.is_some());
    assert!(codes.iter().all(|code| *code == "yaml-duplicate-key"));
    let (node, _) = read_all("a: [\n]\n".repeat(100_000).as_bytes());
    assert!(node.is_none());
    assert!(cpu_since(begun) < 2.0, "{:?}", cpu_since(begun));
}

#[test]
fn refuses_many_values() {
    refused(
        format!("[{}]", "a,".repeat(1 << 18)).as_bytes(),
        "yaml-limit",
    );
    refused("a: b\n".repeat(1 << 18).as_bytes(), "yaml-limit");
}

#[test]
fn reads_large_text_in_time() {
    for text in [
        "a: ".to_owned() + &"x ".repeat(1 << 19),
        "a: |\n".to_owned() + &"  line\n".repeat(1 << 17),
        "#".repeat(1 << 20),
        "a: '".to_owned() + &"''".repeat(1 << 19) + "'",
        "[".to_owned() + &"é, ".repeat(50_000) + "]",
        "[".to_owned() + &"'a': b, ".repeat(20_000) + "]",
        (0..30_000).fold("a: &a b\n".to_owned(), |mut text, n| {
            writeln!(text, "k{n}: *a").unwrap();
            text
        }),
    ] {
        let begun = cpu_time();
        let (node, codes) = read_all(text.as_bytes());
        assert!(codes.is_empty(), "{codes:?}");
        assert!(node.is_some());
        assert!(cpu_since(begun) < 2.0, "{:?}", cpu_since(begun));
    }
}

#[test]
fn refuses_alias_bombs() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = n - 1;
        let list = vec![format!("*a{before}"); 9].join(", ");
        writeln!(text, "a{n}: &a{n} [{list}]").unwrap();
    }
    refused(text.as_bytes(), "yaml-alias");
    let mut text = format!("a: &a {}\n", "x".repeat(1 << 16));
    for n in 0..1000 {
        writeln!(text, "b{n}: *a").unwrap();
    }
    refused(text.as_bytes(), "yaml-alias");
    let mut text = "a0: &a0 x\n".to_owned();
    for n in 1..300 {
        writeln!(text, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
    }
    refused(text.as_bytes(), "yaml-limit");
    let mut text = "m0: &m0 {a: 1, b: 2, c: 3}\n".to_owned();
    for n in 1..40 {
        writeln!(
            text,
            "m{n}: &m{n} {{<<: [*m{0}, *m{0}, *m{0}], k{n}: [*m{0}, *m{0}]}}",
            n - 1
        )
        .unwrap();
    }
    refused(text.as_bytes(), "yaml-alias");
}

#[test]
fn refuses_aliases_to_themselves_and_to_nothing() {
    refused(b"a: &a [*a]", "yaml-alias");
    refused(b"a: &a {b: *a}", "yaml-alias");
    refused(b"a: &a\n  <<: *a", "yaml-alias");
}

#[test]
fn refuses_bytes_that_are_no_text() {
    refused(b"a: \xff", "yaml-encoding");
    refused(b"a: b\0", "yaml-encoding");
    refused(b"a: \x1b[1m", "yaml-encoding");
    refused("a: \u{84}".as_bytes(), "yaml-encoding");
    refused("a: \u{fffe}".as_bytes(), "yaml-encoding");
    refused(b"\xff\xfea\0:\0", "yaml-encoding");
}

#[test]
fn refuses_a_second_document() {
    refused(b"a: b\n---\nc: d\n", "yaml-documents");
}

#[test]
fn tells_every_problem_that_leaves_a_value() {
    let (node, codes) =
        read_all(b"a: 1\na: 2\nb: !nope x\nc: 2024-99-99\n? [x]\n: y\nd: !!map [x]\n<<: 3\ne: =\n");
    assert!(node.is_some());
    assert_eq!(
        codes,
        [
            "yaml-tag",
            "yaml-value",
            "yaml-tag",
            "yaml-value",
            "yaml-merge",
            "yaml-duplicate-key",
            "yaml-unusable-key",
        ]
    );
}

#[test]
fn limits_are_the_callers() {
    let limits = Limits {
        bytes: 10,
        ..Limits::default()
    };
    let mut sink = Sink::new();
    assert!(nd_yaml::parse(b"a: bbbbbbbbbb", FileId(3), &limits, &mut sink).is_none());
    assert_eq!(sink.diagnostics()[0].labels[0].span.file, FileId(3));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(text in "[ab:\\-?|>!&*<\\[\\]{},'\"#%\r\n\t é\u{feff}0-9.~=]{0,60}") {
        let (node, _) = read_all(text.as_bytes());
        if let Some(node) = node {
            let end = node.span.range().end;
            prop_assert!(end <= text.len());
            prop_assert!(text.is_char_boundary(end));
            nd_yaml::dump(&node);
        }
    }
}
