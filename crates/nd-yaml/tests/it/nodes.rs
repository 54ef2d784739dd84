//! Places, text as written, order and copies.

use nd_yaml::{Style, Value, dump, python_str};

use crate::{read, read_all};

/// The bytes a span covers.
fn at(text: &str, span: nd_report::Span) -> &str {
    &text[span.range()]
}

#[test]
fn spans_cover_what_was_written() {
    let text = "\u{feff}# é comment\r\nname: é tool\r\nlist:\r\n  - 'a b'\r\n  - {x: 1.10}\r\n\r\nlast: |\r\n  é\r\n";
    let node = read(text);
    let map = node.as_map().unwrap();
    let name = map.entry("name").unwrap();
    assert_eq!(at(text, name.key.span), "name");
    assert_eq!(at(text, name.value.span), "é tool");
    let list = map.get("list").unwrap();
    assert_eq!(at(text, list.span), "- 'a b'\r\n  - {x: 1.10}");
    let items = list.as_seq().unwrap();
    assert_eq!(at(text, items[0].span), "'a b'");
    assert_eq!(at(text, items[1].span), "{x: 1.10}");
    assert_eq!(at(text, items[1].get("x").unwrap().span), "1.10");
    assert_eq!(map.get("last").unwrap().as_str(), Some("é\n"));
    assert!(at(text, map.get("last").unwrap().span).starts_with('|'));
}

#[test]
fn text_stays_as_written() {
    let node = read("a: 1.10\nb: '1.10'\nc: 0x1F\nd: |\n  1\ne: ~\nf:\n");
    let written = |key: &str| node.get(key).unwrap().written();
    assert_eq!(written("a"), Some("1.10"));
    assert_eq!(written("b"), Some("1.10"));
    assert_eq!(written("c"), Some("0x1F"));
    assert_eq!(written("e"), Some("~"));
    assert_eq!(written("f"), Some(""));
    let style = |key: &str| node.get(key).unwrap().style;
    assert_eq!(style("a"), Style::Plain);
    assert_eq!(style("b"), Style::Quoted);
    assert_eq!(style("d"), Style::Block);
    assert_eq!(python_str(&node.get("a").unwrap().value), "1.1");
}

#[test]
fn a_duplicate_names_both_places_and_the_last_counts() {
    let text = "a: 1\nb: 2\na: 3\na: 4\n";
    let mut sink = nd_report::Sink::new();
    let node = nd_yaml::parse(
        text.as_bytes(),
        nd_report::FileId(0),
        &nd_yaml::Limits::default(),
        &mut sink,
    )
    .unwrap();
    let places: Vec<Vec<usize>> = sink
        .diagnostics()
        .iter()
        .map(|d| d.labels.iter().map(|l| l.span.range().start).collect())
        .collect();
    assert_eq!(places, [[10, 0], [15, 10]]);
    assert_eq!(node.get("a").unwrap().as_int(), Some(4));
    let keys: Vec<_> = node
        .as_map()
        .unwrap()
        .iter()
        .map(|e| e.key.as_str())
        .collect();
    assert_eq!(keys, [Some("a"), Some("b")]);
}

#[test]
fn merged_keys_may_be_set_anew() {
    let (node, codes) = read_all(b"base: &b {x: 1, y: 2}\nown:\n  <<: *b\n  x: 3\n");
    assert!(codes.is_empty());
    let node = node.unwrap();
    let own = node.get("own").unwrap();
    assert_eq!(own.get("x").unwrap().as_int(), Some(3));
    assert_eq!(own.get("y").unwrap().as_int(), Some(2));
    assert_eq!(own.as_map().unwrap().len(), 2);
}

#[test]
fn nothing_is_null() {
    assert_eq!(read("").value, Value::Null);
    assert_eq!(read("# only a comment\n").value, Value::Null);
}

#[test]
fn copies_of_an_alias_are_written_as_aliases() {
    let node = read("b: &x\n- 1\na: *x\n");
    assert_eq!(dump(&node), "a: &id001\n- 1\nb: *id001\n");
    // Nodes of two texts are never taken for copies of one another.
    let one = read("[1]");
    let two = read("[1]");
    let both = nd_yaml::Node::new(Value::Seq(vec![one.clone(), two]), one.span);
    assert_eq!(dump(&both), "- - 1\n- - 1\n");
}

#[test]
fn an_unquoted_template_gets_the_right_advice() {
    let mut sink = nd_report::Sink::new();
    nd_yaml::parse(
        b"a: {{ context.version }}\n",
        nd_report::FileId(0),
        &nd_yaml::Limits::default(),
        &mut sink,
    );
    let hints: Vec<_> = sink.diagnostics().iter().flat_map(|d| &d.hints).collect();
    assert!(hints[0].text.contains("quotes"), "{hints:?}");
}

#[test]
fn brackets_and_quotes_may_end_where_their_key_begins() {
    let text = "é:\n  list: [\n  a,\n# ö\n    bü\n  ]\n  text: \"x\n  y \\\n  z\"\n  more: 'it''s\n\nü'\nlast: {\n}\n";
    let node = read(text);
    let inner = node.get("é").unwrap();
    let list = inner.get("list").unwrap();
    assert_eq!(at(text, list.span), "[\n  a,\n# ö\n    bü\n  ]");
    assert_eq!(at(text, list.as_seq().unwrap()[1].span), "bü");
    assert_eq!(inner.get("text").unwrap().as_str(), Some("x y z"));
    let more = inner.get("more").unwrap();
    assert_eq!(more.as_str(), Some("it's\nü"));
    assert_eq!(at(text, more.span), "'it''s\n\nü'");
    let last = node.as_map().unwrap().entry("last").unwrap();
    assert_eq!(at(text, last.key.span), "last");
    assert_eq!(at(text, last.value.span), "{\n}");
}

#[test]
fn a_block_has_no_newline_that_the_file_has_not() {
    let value = |text: &str| read(text).get("a").unwrap().as_str().unwrap().to_owned();
    assert_eq!(value("a: |\n  x\n  y"), "x\ny");
    assert_eq!(value("a: |\n  x\n  y\n"), "x\ny\n");
    assert_eq!(value("a: |+\n  x\n\n"), "x\n\n");
    assert_eq!(value("a: >\n  x\n  y"), "x y");
    assert_eq!(value("a: |-\n  x"), "x");
    assert_eq!(value("a: |\n  x\n  "), "x\n");
    assert_eq!(value("a: |\n  x\nb: x"), "x\n");
    assert_eq!(value("a: |\n  x\n# x"), "x\n");
}
