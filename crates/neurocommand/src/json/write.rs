//! From nodes to text, as Python's `json.dumps` with an indentation writes it.

use nd_report::write_ascii_json;

use super::{Node, Value};

/// How text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Blanks for each level.
    pub indent: usize,
}

/// The text of `node`: one member or item per line, ASCII only, no final newline.
///
/// Numbers are written as they were read.
pub fn to_text(node: &Node, style: Style) -> String {
    let mut text = String::new();
    write(node, style.indent, 0, &mut text);
    text
}

fn write(node: &Node, indent: usize, level: usize, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(number),
        Value::Text(text) => write_ascii_json(text, out),
        Value::List(items) => {
            if items.is_empty() {
                out.push_str("[]");
                return;
            }
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                line(at, indent * (level + 1), out);
                write(item, indent, level + 1, out);
            }
            end(']', indent * level, out);
        }
        Value::Object(members) => {
            if members.is_empty() {
                out.push_str("{}");
                return;
            }
            out.push('{');
            for (at, (key, member)) in members.iter().enumerate() {
                line(at, indent * (level + 1), out);
                write_ascii_json(key, out);
                out.push_str(": ");
                write(&member.node, indent, level + 1, out);
            }
            end('}', indent * level, out);
        }
    }
}

fn line(at: usize, blanks: usize, out: &mut String) {
    out.push_str(if at > 0 { ",\n" } else { "\n" });
    out.extend(std::iter::repeat_n(' ', blanks));
}

fn end(bracket: char, blanks: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', blanks));
    out.push(bracket);
}

#[cfg(test)]
mod tests {
    use nd_report::{FileId, Sink};
    use proptest::prelude::*;

    use super::*;
    use crate::json::{Limits, parse};

    #[test]
    fn writes_as_python_does() {
        let node = Node::object([
            ("a", Node::new(Value::List(vec![]))),
            (
                "b\u{7f}é🧠\u{1}",
                Node::new(Value::List(vec![Node::text("x\"\\\n")])),
            ),
            ("c", Node::object::<&str>([])),
        ]);
        assert_eq!(
            to_text(&node, Style { indent: 4 }),
            "{\n    \"a\": [],\n    \"b\\u007f\\u00e9\\ud83e\\udde0\\u0001\": [\n        \"x\\\"\\\\\\n\"\n    ],\n    \"c\": {}\n}"
        );
    }

    fn any_node() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Node::new(Value::Null)),
            any::<bool>().prop_map(|value| Node::new(Value::Bool(value))),
            any::<i64>().prop_map(|value| Node::new(Value::Number(value.to_string()))),
            any::<String>().prop_map(Node::text),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6)
                    .prop_map(|items| Node::new(Value::List(items))),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(Node::object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(node in any_node()) {
            let text = to_text(&node, Style { indent: 4 });
            let mut sink = Sink::new();
            let read = parse(&text, FileId(0), &Limits::default(), &mut sink).unwrap();
            prop_assert!(read.same(&node));
            prop_assert_eq!(to_text(&read, Style { indent: 4 }), text);
        }
    }
}
