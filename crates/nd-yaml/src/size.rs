//! What copies cost.

use crate::node::{Map, Node, Value};

/// What a tree costs to copy.
#[derive(Default)]
pub(crate) struct Size {
    pub(crate) nodes: usize,
    pub(crate) bytes: usize,
    pub(crate) height: usize,
}

impl Size {
    /// Adds a tree, which is no deeper than the loader lets through.
    pub(crate) fn add(&mut self, node: &Node) {
        self.add_below(node, 0);
    }

    fn add_below(&mut self, node: &Node, depth: usize) {
        self.nodes += 1;
        self.bytes += node.text.as_deref().map_or(0, str::len);
        match &node.value {
            Value::Str(text) => self.bytes += text.len(),
            Value::Bytes(bytes) => self.bytes += bytes.len(),
            Value::BigInt(text) => self.bytes += text.len(),
            Value::Seq(items) => {
                self.height = self.height.max(depth + 1);
                for item in items {
                    self.add_below(item, depth + 1);
                }
            }
            Value::Map(Map { entries }) | Value::Set(Map { entries }) | Value::Pairs(entries) => {
                self.height = self.height.max(depth + 1);
                for entry in entries {
                    self.add_below(&entry.key, depth + 1);
                    self.add_below(&entry.value, depth + 1);
                }
            }
            _ => {}
        }
    }
}
