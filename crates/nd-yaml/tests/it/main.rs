//! Tests of reading and writing YAML, judged by recorded tables and by PyYAML itself.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "helpers of tests unwrap and say what they skip, as the tests do"
)]

mod corpus;
mod hostile;
mod nodes;
mod peer;

use nd_report::{FileId, Sink};
use nd_yaml::{Limits, Node};

/// Reads text that must be faultless.
fn read(text: &str) -> Node {
    let (node, codes) = read_all(text.as_bytes());
    assert!(codes.is_empty(), "{codes:?} in {text:?}");
    node.unwrap()
}

/// Reads anything; gives the node and the names of the codes.
fn read_all(text: &[u8]) -> (Option<Node>, Vec<&'static str>) {
    let mut sink = Sink::new();
    let node = nd_yaml::parse(text, FileId(0), &Limits::default(), &mut sink);
    let codes = sink.diagnostics().iter().map(|d| d.code.name).collect();
    (node, codes)
}
