//! `yaml.dump(value)` of PyYAML with its default options.
//!
//! Only what those options reach: block style, sorted keys, width 80, ASCII, indent 2; anchors
//! for collections and dates that occur more than once.

use std::collections::HashMap;

use crate::{
    node::{Entry, Node, Value},
    python::python_str,
    resolve::{Plain, plain},
};

const WIDTH: usize = 80;
const INDENT: usize = 2;

/// Keys from this length on stand after `?`: 128 less the tag (`!!str`) that is not written.
const LONGEST_KEY: usize = 123;

/// Writes the value as PyYAML would: with a final newline, text beyond ASCII escaped. Copies
/// that aliases made are written as aliases again.
pub fn dump(node: &Node) -> String {
    let mut emitter = Emitter {
        whitespace: true,
        indention: true,
        ..Emitter::default()
    };
    count_copies(node, &mut emitter.copies);
    emitter.copies.retain(|_, copies| copies.count > 1);
    emitter.node(node, None, Context::Root);
    if emitter.column > 0 {
        emitter.line_break();
    }
    if emitter.open_ended {
        // A plain scalar alone might go on.
        emitter.out.push_str("...\n");
    }
    emitter.out
}

#[derive(Debug, Default, Clone, Copy)]
struct Copies {
    count: u32,
    anchor: Option<u32>,
}

/// Whether PyYAML would write an alias for a second mention of the same object.
fn can_repeat(node: &Node) -> bool {
    node.identity != 0
        && matches!(
            node.value,
            Value::Seq(_)
                | Value::Map(_)
                | Value::Set(_)
                | Value::Pairs(_)
                | Value::Date(_)
                | Value::DateTime(_)
        )
}

fn count_copies(node: &Node, copies: &mut HashMap<u64, Copies>) {
    if can_repeat(node) {
        let known = copies.entry(node.identity).or_default();
        known.count += 1;
        if known.count > 1 {
            return;
        }
    }
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| count_copies(item, copies)),
        Value::Map(map) | Value::Set(map) => {
            for entry in sorted(&map.entries) {
                count_copies(&entry.key, copies);
                count_copies(&entry.value, copies);
            }
        }
        Value::Pairs(pairs) => {
            for entry in pairs {
                count_copies(&entry.key, copies);
                count_copies(&entry.value, copies);
            }
        }
        _ => {}
    }
}

/// Entries as Python's `sorted` orders them, or as they are when two keys do not compare.
fn sorted(entries: &[Entry]) -> Vec<&Entry> {
    let mut list: Vec<&Entry> = entries.iter().collect();
    let rank = |entry: &&Entry| match entry.key.value {
        Value::Str(_) => Some(0),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => Some(1),
        Value::Date(_) => Some(2),
        _ => None,
    };
    let first = list.first().and_then(rank);
    if first.is_none() || list.iter().any(|entry| rank(entry) != first) {
        return list;
    }
    let number = |value: &Value| match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        _ => 0.0,
    };
    list.sort_by(|one, other| match (&one.key.value, &other.key.value) {
        (Value::Str(one), Value::Str(other)) => one.cmp(other),
        (Value::Date(one), Value::Date(other)) => one.cmp(other),
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (one, other) => number(one).total_cmp(&number(other)),
    });
    list
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Item,
    Key,
    Value,
}

#[derive(Debug, Default)]
struct Emitter {
    out: String,
    column: usize,
    /// The last thing written was white space or an indicator that counts as such.
    whitespace: bool,
    /// Nothing but indentation and indicators in this line so far.
    indention: bool,
    open_ended: bool,
    copies: HashMap<u64, Copies>,
    anchors: u32,
}

/// What a text allows.
#[derive(Debug, Clone, Copy)]
struct Analysis {
    multiline: bool,
    plain: bool,
    single: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank_or_break(c: char) -> bool {
    is_break(c) || matches!(c, '\0' | ' ' | '\t' | '\r')
}

fn analyze(text: &[char]) -> Analysis {
    if text.is_empty() {
        return Analysis {
            multiline: false,
            plain: true,
            single: true,
        };
    }
    let follows = |index: usize| text.get(index + 1).is_none_or(|c| is_blank_or_break(*c));
    let mut indicators = text.starts_with(&['-', '-', '-']) || text.starts_with(&['.', '.', '.']);
    let (mut breaks, mut special) = (false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut after_space, mut after_break) = (false, false);
    for (index, &c) in text.iter().enumerate() {
        let preceded = index == 0 || is_blank_or_break(text[index - 1]);
        indicators |= if index == 0 {
            ",[]{}#&*!|>'\"%@`".contains(c) || ("?:-".contains(c) && follows(0))
        } else {
            (c == ':' && follows(index)) || (c == '#' && preceded)
        };
        breaks |= is_break(c);
        // Everything beyond ASCII is special, because the output is ASCII.
        special |= !(c == '\n' || (' '..='~').contains(&c));
        if c == ' ' {
            break_space |= after_break;
            (after_space, after_break) = (true, false);
        } else if is_break(c) {
            space_break |= after_space;
            (after_space, after_break) = (false, true);
        } else {
            (after_space, after_break) = (false, false);
        }
    }
    let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
    let edges = edge(text.first()) || edge(text.last());
    let quoted_only = space_break || special;
    Analysis {
        multiline: breaks,
        plain: !(edges || break_space || quoted_only || breaks || indicators),
        single: !(break_space || quoted_only),
    }
}

fn is_simple_key(key: &Node) -> bool {
    match &key.value {
        Value::Str(text) => {
            !text.is_empty() && !text.contains(is_break) && text.chars().count() < LONGEST_KEY
        }
        value => scalar_text(value).0.len() < LONGEST_KEY,
    }
}

impl Emitter {
    fn node(&mut self, node: &Node, indent: Option<usize>, context: Context) {
        if can_repeat(node)
            && let Some(copies) = self.copies.get_mut(&node.identity)
        {
            if let Some(anchor) = copies.anchor {
                self.indicator(&format!("*id{anchor:03}"), true, false, false);
                return;
            }
            self.anchors += 1;
            copies.anchor = Some(self.anchors);
            let anchor = format!("&id{:03}", self.anchors);
            self.indicator(&anchor, true, false, false);
        }
        match &node.value {
            Value::Seq(items) if items.is_empty() => self.empty("[]"),
            Value::Map(map) if map.is_empty() => self.empty("{}"),
            Value::Set(map) if map.is_empty() => {
                self.indicator("!!set", true, false, false);
                self.empty("{}");
            }
            Value::Pairs(pairs) if pairs.is_empty() => self.empty("[]"),
            Value::Seq(items) => {
                let inner = self.sequence_indent(indent, context);
                for item in items {
                    self.indent(inner);
                    self.indicator("-", true, false, true);
                    self.node(item, Some(inner), Context::Item);
                }
            }
            Value::Map(map) => self.mapping(&sorted(&map.entries), indent),
            Value::Set(map) => {
                self.indicator("!!set", true, false, false);
                self.mapping(&sorted(&map.entries), indent);
            }
            Value::Pairs(pairs) => {
                let inner = self.sequence_indent(indent, context);
                for entry in pairs {
                    self.indent(inner);
                    self.indicator("-", true, false, true);
                    self.indicator("!!python/tuple", true, false, false);
                    for node in [&entry.key, &entry.value] {
                        self.indent(inner + INDENT);
                        self.indicator("-", true, false, true);
                        self.node(node, Some(inner + INDENT), Context::Item);
                    }
                }
            }
            _ => self.scalar(&node.value, indent, context),
        }
    }

    /// Lists that are values of a mapping stand at its own indent.
    fn sequence_indent(&self, indent: Option<usize>, context: Context) -> usize {
        match indent {
            None => 0,
            Some(indent) if context == Context::Value && !self.indention => indent,
            Some(indent) => indent + INDENT,
        }
    }

    fn empty(&mut self, brackets: &str) {
        let (open, close) = brackets.split_at(1);
        self.indicator(open, true, true, false);
        self.indicator(close, false, false, false);
    }

    fn mapping(&mut self, entries: &[&Entry], indent: Option<usize>) {
        let inner = indent.map_or(0, |indent| indent + INDENT);
        for entry in entries {
            self.indent(inner);
            if is_simple_key(&entry.key) {
                self.node(&entry.key, Some(inner), Context::Key);
                self.indicator(":", false, false, false);
                self.node(&entry.value, Some(inner), Context::Value);
            } else {
                self.indicator("?", true, false, true);
                self.node(&entry.key, Some(inner), Context::Value);
                self.indent(inner);
                self.indicator(":", true, false, true);
                self.node(&entry.value, Some(inner), Context::Value);
            }
        }
    }

    fn scalar(&mut self, value: &Value, indent: Option<usize>, context: Context) {
        let indent = indent.map_or(INDENT, |indent| indent + INDENT);
        let (text, is_text) = scalar_text(value);
        if let Value::Bytes(_) = value {
            self.binary(&text, indent);
            return;
        }
        let chars: Vec<char> = text.chars().collect();
        let analysis = analyze(&chars);
        let split = context != Context::Key;
        let implicit = !is_text || plain(&text) == Plain::Str;
        if implicit
            && analysis.plain
            && !(context == Context::Key && (chars.is_empty() || analysis.multiline))
        {
            self.plain(&chars, indent, split);
            self.open_ended = context == Context::Root;
        } else if analysis.single && !(context == Context::Key && analysis.multiline) {
            self.single_quoted(&chars, indent, split);
        } else {
            self.double_quoted(&chars, indent, split);
        }
    }

    fn indicator(&mut self, text: &str, need_space: bool, whitespace: bool, indention: bool) {
        if need_space && !self.whitespace {
            self.write(" ");
        }
        self.write(text);
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
        self.open_ended = false;
    }

    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn write_chars(&mut self, chars: &[char]) {
        self.out.extend(chars);
        self.column += chars.len();
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.whitespace = true;
        self.indention = true;
        self.column = 0;
    }

    fn indent(&mut self, indent: usize) {
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        self.indention = true;
        self.whitespace = true;
        while self.column < indent {
            self.write(" ");
        }
    }

    fn plain(&mut self, text: &[char], indent: usize, split: bool) {
        if text.is_empty() {
            return;
        }
        if !self.whitespace {
            self.write(" ");
        }
        self.whitespace = false;
        self.indention = false;
        let mut spaces = false;
        let mut start = 0;
        for end in 0..=text.len() {
            let c = text.get(end).copied();
            if spaces {
                if c != Some(' ') {
                    if start + 1 == end && self.column > WIDTH && split {
                        self.indent(indent);
                        self.whitespace = false;
                        self.indention = false;
                    } else {
                        self.write_chars(&text[start..end]);
                    }
                    start = end;
                }
            } else if c.is_none() || c == Some(' ') {
                self.write_chars(&text[start..end]);
                start = end;
            }
            spaces = c == Some(' ');
        }
    }

    fn single_quoted(&mut self, text: &[char], indent: usize, split: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        let mut start = 0;
        for end in 0..=text.len() {
            let c = text.get(end).copied();
            if spaces {
                if c != Some(' ') {
                    if start + 1 == end
                        && self.column > WIDTH
                        && split
                        && start != 0
                        && end != text.len()
                    {
                        self.indent(indent);
                    } else {
                        self.write_chars(&text[start..end]);
                    }
                    start = end;
                }
            } else if breaks {
                if !c.is_some_and(is_break) {
                    self.line_break();
                    for _ in start..end {
                        self.line_break();
                    }
                    self.indent(indent);
                    start = end;
                }
            } else if c.is_none_or(|c| c == ' ' || is_break(c) || c == '\'') && start < end {
                self.write_chars(&text[start..end]);
                start = end;
            }
            if c == Some('\'') {
                self.write("''");
                start = end + 1;
            }
            spaces = c == Some(' ');
            breaks = c.is_some_and(is_break);
        }
        self.indicator("'", false, false, false);
    }

    fn double_quoted(&mut self, text: &[char], indent: usize, split: bool) {
        self.indicator("\"", true, false, false);
        let (mut start, mut end) = (0, 0);
        while end <= text.len() {
            let c = text.get(end).copied();
            let verbatim = c.is_some_and(|c| (' '..='~').contains(&c) && c != '"' && c != '\\');
            if !verbatim {
                if start < end {
                    self.write_chars(&text[start..end]);
                    start = end;
                }
                if let Some(c) = c {
                    let escape = escape(c);
                    self.write(&escape);
                    start = end + 1;
                }
            }
            if 0 < end
                && end + 1 < text.len()
                && (c == Some(' ') || start >= end)
                && self.column + end.saturating_sub(start) > WIDTH + usize::from(start > end)
                && split
            {
                if start < end {
                    self.write_chars(&text[start..end]);
                    start = end;
                }
                self.write("\\");
                self.indent(indent);
                self.whitespace = false;
                self.indention = false;
                if text[start] == ' ' {
                    self.write("\\");
                }
            }
            end += 1;
        }
        self.indicator("\"", false, false, false);
    }

    fn binary(&mut self, text: &str, indent: usize) {
        self.indicator("!!binary", true, false, false);
        self.indicator("|", true, false, false);
        self.line_break();
        for line in text.lines() {
            self.indent(indent);
            self.write(line);
            self.line_break();
        }
    }
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(c);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// Text of a scalar, and whether it is a string.
fn scalar_text(value: &Value) -> (String, bool) {
    let text = match value {
        Value::Str(text) => return (text.clone(), true),
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Float(value) if value.is_nan() => ".nan".into(),
        Value::Float(value) if value.is_infinite() => {
            if *value > 0.0 { ".inf" } else { "-.inf" }.into()
        }
        Value::Float(value) => {
            let text = nd_report::float_repr(*value);
            if text.contains('.') {
                text
            } else {
                text.replacen('e', ".0e", 1)
            }
        }
        Value::Bytes(bytes) => base64_lines(bytes),
        other => python_str(other),
    };
    (text, false)
}

/// Python's `base64.encodebytes`: lines of 76 characters.
fn base64_lines(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for line in bytes.chunks(57) {
        for group in line.chunks(3) {
            let bits = (0..3).fold(0_u32, |bits, index| {
                bits << 8 | u32::from(group.get(index).copied().unwrap_or(0))
            });
            for index in 0..4 {
                if index > group.len() {
                    out.push('=');
                } else {
                    let sextet = (bits >> (18 - 6 * index)) & 0x3f;
                    out.push(char::from(ALPHABET[sextet as usize]));
                }
            }
        }
        out.push('\n');
    }
    out
}
