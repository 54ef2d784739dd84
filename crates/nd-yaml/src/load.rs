//! Events to nodes: limits, anchors, merges, keys.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use nd_report::{Code, Diagnostic, FileId, Severity, Sink, Span};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use crate::{
    codes,
    construct::{Unconstructible, construct_plain, construct_tagged},
    node::{Entry, Map, Node, Style, Value},
};

/// What a text may cost at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Collections inside one another; never more than 1000 whatever is asked.
    pub depth: usize,
    /// Values, keys and collections in all, those that aliases repeat included.
    pub nodes: usize,
    /// Bytes of text that aliases repeat.
    pub alias_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 2 << 20,
            depth: 100,
            nodes: 100_000,
            alias_bytes: 2 << 20,
        }
    }
}

/// Deepest tree that clones and drops safely on a small stack.
const SAFE_DEPTH: usize = 1000;

const YAML_TAG: &str = "tag:yaml.org,2002:";

/// Reads one document. Empty text is null.
///
/// Problems go to `sink`. With a syntax error, a second document or a limit passed there is no
/// node; other errors (duplicate keys, of which the last wins, unknown tags) leave one, so that
/// a run can go on to find more. `file` is what spans in the node and the diagnostics name.
///
/// ```
/// use nd_report::{FileId, Sink};
///
/// let mut sink = Sink::new();
/// let node = nd_yaml::parse(b"version: 1.10", FileId(0), &nd_yaml::Limits::default(), &mut sink);
/// let version = node.as_ref().and_then(|node| node.get("version"));
/// assert_eq!(version.map(|v| nd_yaml::python_str(&v.value)).as_deref(), Some("1.1"));
/// assert_eq!(version.and_then(|v| v.written()), Some("1.10"));
/// ```
pub fn parse(text: &[u8], file: FileId, limits: &Limits, sink: &mut Sink) -> Option<Node> {
    if text.len() > limits.bytes {
        sink.push(
            error(
                codes::LIMIT,
                format!(
                    "file has {} bytes, more than the {} that are read",
                    text.len(),
                    limits.bytes
                ),
            )
            .at(Span::new(file, 0..0), ""),
        );
        return None;
    }
    let text = decode(text, file, sink)?;
    Loader::new(text, file, *limits, sink).run()
}

fn error(code: Code, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(code, Severity::Error, message)
}

/// Checks the encoding and the characters; everything later may rely on both.
fn decode<'t>(bytes: &'t [u8], file: FileId, sink: &mut Sink) -> Option<&'t str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(problem) => {
            let at = problem.valid_up_to();
            sink.push(
                error(codes::ENCODING, "text is not valid UTF-8")
                    .at(Span::new(file, at..at + 1), "this byte begins no character"),
            );
            return None;
        }
    };
    let forbidden = bytes.iter().enumerate().find_map(|(at, byte)| match byte {
        b'\t' | b'\n' | b'\r' | 0x20..=0x7e => None,
        0..=0x1f | 0x7f => Some(at),
        // U+0080 to U+009F but for U+0085, U+FFFE and U+FFFF.
        0xc2 if (0x80..0xa0).contains(&bytes[at + 1]) && bytes[at + 1] != 0x85 => Some(at),
        0xef if bytes[at + 1..].starts_with(b"\xbf\xbe")
            || bytes[at + 1..].starts_with(b"\xbf\xbf") =>
        {
            Some(at)
        }
        _ => None,
    });
    if let Some(at) = forbidden {
        let c = text[at..].chars().next().unwrap_or_default();
        sink.push(
            error(
                codes::ENCODING,
                format!("character U+{:04X} is not allowed in YAML", u32::from(c)),
            )
            .at(Span::new(file, at..at + c.len_utf8()), "")
            .hint("in a double-quoted string write it as an escape, such as `\\x1b`"),
        );
        return None;
    }
    Some(text)
}

/// From character indexes, which the scanner counts in, to bytes.
struct Offsets {
    /// For each character of more than one byte: its index, and the bytes that it and those
    /// before it have beyond one each.
    wide: Vec<(usize, usize)>,
    /// Bytes before the text that the scanner sees.
    start: usize,
    end: usize,
}

impl Offsets {
    fn new(text: &str, start: usize) -> Self {
        let mut wide = Vec::new();
        if !text.is_ascii() {
            let mut extra = 0;
            for (index, c) in text.chars().enumerate() {
                if c.len_utf8() > 1 {
                    extra += c.len_utf8() - 1;
                    wide.push((index, extra));
                }
            }
        }
        Self {
            wide,
            start,
            end: start + text.len(),
        }
    }

    fn byte(&self, index: usize) -> usize {
        let before = self.wide.partition_point(|(wide, _)| *wide < index);
        let extra = before.checked_sub(1).map_or(0, |at| self.wide[at].1);
        (self.start + index + extra).min(self.end)
    }
}

/// What becomes of a tag.
enum Kind {
    Default,
    Named(String),
    Foreign(String),
}

struct Frame {
    start: usize,
    anchor: usize,
    tag: Kind,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<Node>,
    },
}

/// What an anchor stands for.
struct Anchored {
    node: Node,
    nodes: usize,
    bytes: usize,
    height: usize,
}

struct Loader<'t, 's> {
    text: &'t str,
    file: FileId,
    limits: Limits,
    offsets: Offsets,
    sink: &'s mut Sink,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    open_anchors: HashSet<usize>,
    root: Option<Node>,
    nodes: usize,
    alias_bytes: usize,
    identity: u64,
}

/// A problem after which there is no node; its diagnostic is in the sink.
struct Stop;

impl<'t, 's> Loader<'t, 's> {
    fn new(text: &'t str, file: FileId, limits: Limits, sink: &'s mut Sink) -> Self {
        // Blocks of identities, so that nodes of several files never look like copies.
        static TEXTS: AtomicU64 = AtomicU64::new(1);
        let (text, start) = match text.strip_prefix('\u{feff}') {
            Some(rest) => (rest, 3),
            None => (text, 0),
        };
        Self {
            text,
            file,
            limits,
            offsets: Offsets::new(text, start),
            sink,
            stack: Vec::new(),
            anchors: HashMap::new(),
            open_anchors: HashSet::new(),
            root: None,
            nodes: 0,
            alias_bytes: 0,
            identity: TEXTS.fetch_add(1, Ordering::Relaxed) << 32,
        }
    }

    fn run(mut self) -> Option<Node> {
        let mut parser = Parser::new(StrInput::new(self.text));
        let mut documents = 0;
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok(event) => event,
                Err(problem) => {
                    self.syntax_error(&problem);
                    return None;
                }
            };
            let range = self.offsets.byte(span.start.index())..self.offsets.byte(span.end.index());
            let done = match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let problem = error(codes::DOCUMENTS, "there is a second document")
                            .at(self.span(range), "a document begins here")
                            .hint("keep one document in the file");
                        self.sink.push(problem);
                        return None;
                    }
                    Ok(())
                }
                Event::Alias(anchor) => self.alias(anchor, range),
                Event::Scalar(text, style, anchor, tag) => {
                    self.scalar(&text, style, anchor, tag, range)
                }
                Event::SequenceStart(anchor, tag) => {
                    self.open(Content::Seq(Vec::new()), anchor, tag, range)
                }
                Event::MappingStart(anchor, tag) => {
                    let content = Content::Map {
                        entries: Vec::new(),
                        key: None,
                    };
                    self.open(content, anchor, tag, range)
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(range.end),
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {
                    Ok(())
                }
            };
            if done.is_err() {
                return None;
            }
        }
        let nothing = Node::new(Value::Null, self.span(0..0));
        Some(self.root.unwrap_or(nothing))
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn syntax_error(&mut self, problem: &saphyr_parser::ScanError) {
        let at = self.offsets.byte(problem.marker().index());
        let line = self.text[..at - self.offsets.start]
            .rsplit('\n')
            .next()
            .unwrap_or_default();
        if problem.info() == "recursion limit exceeded" {
            let diagnostic = error(codes::LIMIT, "brackets are nested too deep");
            self.sink.push(diagnostic.at(self.span(at..at), ""));
            return;
        }
        let mut diagnostic = error(codes::SYNTAX, problem.info()).at(self.span(at..at), "");
        if line.starts_with('\t') {
            diagnostic = diagnostic.hint("indent with spaces, YAML forbids tabs there");
        } else if line.contains(": {{") {
            diagnostic = diagnostic.hint("put quotes round a value that begins with `{{`");
        }
        self.sink.push(diagnostic);
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > self.limits.nodes {
            let message = format!("more than {} values", self.limits.nodes);
            self.sink.push(error(codes::LIMIT, message).at(span, ""));
            return Err(Stop);
        }
        Ok(())
    }

    fn check_depth(&mut self, below: usize, span: Span) -> Result<(), Stop> {
        let most = self.limits.depth.min(SAFE_DEPTH);
        if self.stack.len() + below > most {
            let message = format!("values are nested deeper than {most} levels");
            self.sink.push(error(codes::LIMIT, message).at(span, ""));
            return Err(Stop);
        }
        Ok(())
    }

    fn next_identity(&mut self) -> u64 {
        self.identity += 1;
        self.identity
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        mut range: std::ops::Range<usize>,
    ) -> Result<(), Stop> {
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        if style == Style::Block {
            // The scanner counts from the first line; the block begins at its indicator.
            let before = &self.text[..range.start - self.offsets.start];
            if let Some(at) = before.rfind(['|', '>']) {
                range.start = at + self.offsets.start;
            }
        }
        let span = self.span(range);
        self.count(1, span)?;
        let kind = kind_of(tag);
        let constructed = match &kind {
            Kind::Default if style == Style::Plain => construct_plain(text),
            Kind::Default => Ok(Value::Str(text.to_owned())),
            // `!` alone asks for the resolution of plain text, even of quoted text.
            Kind::Foreign(tag) if tag == "!" => construct_plain(text),
            Kind::Foreign(_) => Err(Unconstructible::UnknownTag),
            Kind::Named(name) => construct_tagged(name, text),
        };
        let value = match constructed {
            Ok(value) => value,
            // Keys: `<<` is taken out by the mapping, `=` is a string there.
            Err(Unconstructible::Special) if self.at_key() => Value::Str(text.to_owned()),
            Err(problem) => {
                self.unconstructible(problem, &kind, text, span);
                Value::Str(text.to_owned())
            }
        };
        let written = match value {
            Value::Str(_) => None,
            _ => Some(text.into()),
        };
        let node = Node {
            span,
            value,
            style,
            text: written,
            identity: self.next_identity(),
        };
        self.complete(node, anchor)
    }

    /// Whether the next node is a key.
    fn at_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame {
                content: Content::Map { key: None, .. },
                ..
            })
        )
    }

    fn unconstructible(&mut self, problem: Unconstructible, kind: &Kind, text: &str, span: Span) {
        let diagnostic = match problem {
            Unconstructible::Special => error(codes::VALUE, format!("`{text}` is not a value"))
                .hint("put quotes round it to get text"),
            Unconstructible::Misfit(wanted) => {
                error(codes::VALUE, format!("`{text}` is not {wanted}"))
                    .hint("put quotes round it to get text")
            }
            Unconstructible::NotScalar => error(
                codes::TAG,
                format!("tag `{}` does not fit a scalar", kind.shown()),
            ),
            Unconstructible::UnknownTag => {
                error(codes::TAG, format!("tag `{}` is unknown", kind.shown()))
                    .hint("remove the tag")
            }
        };
        self.sink.push(diagnostic.at(span, ""));
    }

    fn open(
        &mut self,
        content: Content,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        range: std::ops::Range<usize>,
    ) -> Result<(), Stop> {
        let span = self.span(range.clone());
        self.count(1, span)?;
        self.check_depth(1, span)?;
        if anchor != 0 {
            self.open_anchors.insert(anchor);
        }
        self.stack.push(Frame {
            start: range.start,
            anchor,
            tag: kind_of(tag),
            content,
        });
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        // The end of a block collection is only seen at what follows it.
        let start = frame.start - self.offsets.start;
        let until = (end - self.offsets.start).max(start);
        let held = self.text[start..until].trim_end();
        let end = frame.start + held.len();
        let span = self.span(frame.start..end);
        let value = match frame.content {
            Content::Seq(items) => self.finish_seq(items, &frame.tag, span),
            Content::Map { entries, .. } => self.finish_map(entries, &frame.tag, span)?,
        };
        self.open_anchors.remove(&frame.anchor);
        let node = Node {
            span,
            value,
            style: Style::Collection,
            text: None,
            identity: self.next_identity(),
        };
        self.complete(node, frame.anchor)
    }

    fn finish_seq(&mut self, items: Vec<Node>, tag: &Kind, span: Span) -> Value {
        match tag {
            Kind::Default => Value::Seq(items),
            Kind::Named(name) if name == "seq" => Value::Seq(items),
            Kind::Named(name) if name == "omap" || name == "pairs" => {
                let mut pairs = Vec::with_capacity(items.len());
                for item in items {
                    let span = item.span;
                    match item.value {
                        Value::Map(map) if map.len() == 1 => pairs.extend(map.into_entries()),
                        _ => {
                            let message = format!("an item of `!!{name}` is a single pair");
                            self.sink.push(error(codes::TAG, message).at(span, ""));
                        }
                    }
                }
                Value::Pairs(pairs)
            }
            _ => {
                self.tag_misfit(tag, "a list", span);
                Value::Seq(items)
            }
        }
    }

    fn finish_map(&mut self, entries: Vec<Entry>, tag: &Kind, span: Span) -> Result<Value, Stop> {
        let map = self.unite(entries)?;
        Ok(match tag {
            Kind::Default => Value::Map(map),
            Kind::Named(name) if name == "map" => Value::Map(map),
            Kind::Named(name) if name == "set" => Value::Set(map),
            _ => {
                self.tag_misfit(tag, "a mapping", span);
                Value::Map(map)
            }
        })
    }

    fn tag_misfit(&mut self, tag: &Kind, what: &str, span: Span) {
        let known = matches!(tag, Kind::Named(name) if matches!(name.as_str(),
            "str" | "null" | "bool" | "int" | "float" | "timestamp" | "binary" | "seq" | "map"
            | "set" | "omap" | "pairs"));
        let message = if known {
            format!("tag `{}` does not fit {what}", tag.shown())
        } else {
            format!("tag `{}` is unknown", tag.shown())
        };
        self.sink.push(error(codes::TAG, message).at(span, ""));
    }

    /// Merges and keys of a mapping: what `<<` brings comes first, then the mapping's own
    /// entries; of equal keys the place of the first and the value of the last count.
    fn unite(&mut self, own: Vec<Entry>) -> Result<Map, Stop> {
        let mut merged = Vec::new();
        if own.iter().any(is_merge) {
            for entry in own.iter().filter(|entry| is_merge(entry)) {
                self.merge(&entry.value, &mut merged)?;
            }
        }
        let mut map = Map {
            entries: Vec::with_capacity(merged.len() + own.len()),
        };
        let mut known: HashMap<Key, usize> = HashMap::new();
        let large = merged.len() + own.len() > 12;
        let merged = merged.into_iter().map(|entry| (entry, false));
        let own = own
            .into_iter()
            .filter(|entry| !is_merge(entry))
            .map(|entry| (entry, true));
        // Spans of the keys that stand in this mapping itself, by position.
        let mut spans: Vec<Option<Span>> = Vec::new();
        for (entry, is_own) in merged.chain(own) {
            if !is_hashable(&entry.key.value) {
                self.unusable_key(&entry);
                continue;
            }
            let at = map.entries.len();
            let same = if large {
                *known.entry(Key::of(&entry.key.value)).or_insert(at)
            } else {
                map.entries
                    .iter()
                    .position(|other| equal_keys(&other.key.value, &entry.key.value))
                    .unwrap_or(at)
            };
            if same == at {
                spans.push(is_own.then_some(entry.key.span));
                map.entries.push(entry);
                continue;
            }
            if is_own {
                if let Some(first) = spans[same] {
                    self.duplicate(&entry.key, first);
                }
                spans[same] = Some(entry.key.span);
            }
            map.entries[same].value = entry.value;
        }
        Ok(map)
    }

    fn merge(&mut self, value: &Node, merged: &mut Vec<Entry>) -> Result<(), Stop> {
        match &value.value {
            Value::Map(map) => self.merge_entries(&map.entries, value.span, merged),
            Value::Seq(items) => {
                for item in items.iter().rev() {
                    if let Value::Map(map) = &item.value {
                        self.merge_entries(&map.entries, item.span, merged)?;
                    } else {
                        self.merge_misfit(item);
                    }
                }
                Ok(())
            }
            _ => {
                self.merge_misfit(value);
                Ok(())
            }
        }
    }

    fn merge_entries(
        &mut self,
        entries: &[Entry],
        span: Span,
        merged: &mut Vec<Entry>,
    ) -> Result<(), Stop> {
        // The alias was counted when it was copied; this is one copy more.
        let mut size = Size::default();
        for entry in entries {
            size.add(&entry.key);
            size.add(&entry.value);
        }
        self.charge(&size, span)?;
        merged.extend(entries.iter().cloned());
        Ok(())
    }

    fn merge_misfit(&mut self, node: &Node) {
        let message = format!("expected a mapping to merge, found {}", node.kind());
        self.sink
            .push(error(codes::MERGE, message).at(node.span, ""));
    }

    fn unusable_key(&mut self, entry: &Entry) {
        let mut diagnostic = error(
            codes::UNUSABLE_KEY,
            format!("{} cannot be a key", entry.key.kind()),
        )
        .at(entry.key.span, "");
        if matches!(entry.key.value, Value::Map(_)) {
            diagnostic = diagnostic.hint("put quotes round a value that begins with `{{`");
        }
        self.sink.push(diagnostic);
    }

    fn duplicate(&mut self, key: &Node, first: Span) {
        let name = key.written().unwrap_or_default();
        self.sink.push(
            error(
                codes::DUPLICATE_KEY,
                format!("key `{name}` stands twice in one mapping"),
            )
            .at(key.span, "the last one counts")
            .at(first, "first here")
            .hint("remove one of them"),
        );
    }

    fn alias(&mut self, anchor: usize, range: std::ops::Range<usize>) -> Result<(), Stop> {
        let span = self.span(range);
        let Some(anchored) = self.anchors.get(&anchor) else {
            let message = if self.open_anchors.contains(&anchor) {
                "alias stands inside what it repeats"
            } else {
                "alias names no anchor"
            };
            self.sink.push(error(codes::ALIAS, message).at(span, ""));
            return Err(Stop);
        };
        let size = Size {
            nodes: anchored.nodes,
            bytes: anchored.bytes,
            height: anchored.height,
        };
        self.check_depth(size.height, span)?;
        self.charge(&size, span)?;
        let mut node = self.anchors[&anchor].node.clone();
        node.span = span;
        self.complete(node, 0)
    }

    /// Pays for a copy before it is made.
    fn charge(&mut self, size: &Size, span: Span) -> Result<(), Stop> {
        self.alias_bytes = self.alias_bytes.saturating_add(size.bytes);
        self.nodes = self.nodes.saturating_add(size.nodes);
        if self.alias_bytes > self.limits.alias_bytes || self.nodes > self.limits.nodes {
            let message = "aliases repeat more than is read";
            self.sink.push(error(codes::ALIAS, message).at(span, ""));
            return Err(Stop);
        }
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor != 0 {
            let mut size = Size::default();
            size.add(&node);
            self.charge(&size, node.span)?;
            self.anchors.insert(
                anchor,
                Anchored {
                    node: node.clone(),
                    nodes: size.nodes,
                    bytes: size.bytes,
                    height: size.height,
                },
            );
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(frame) => match &mut frame.content {
                Content::Seq(items) => items.push(node),
                Content::Map { entries, key } => match key.take() {
                    None => *key = Some(node),
                    Some(key) => entries.push(Entry { key, value: node }),
                },
            },
        }
        Ok(())
    }
}

/// What a tree costs to copy.
#[derive(Default)]
struct Size {
    nodes: usize,
    bytes: usize,
    height: usize,
}

impl Size {
    /// Adds a tree, which is at most [`SAFE_DEPTH`] deep.
    fn add(&mut self, node: &Node) {
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

/// A plain `<<` as key.
fn is_merge(entry: &Entry) -> bool {
    entry.key.style == Style::Plain && entry.key.as_str() == Some("<<")
}

/// A key as Python compares it: 1, 1.0 and true are one key.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Null,
    Number(i64),
    Float(u64),
    Text(String),
    Other(String),
}

impl Key {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Number(i64::from(*value)),
            Value::Int(value) => Self::Number(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Self::Number(*value as i64)
            }
            Value::Float(value) => Self::Float(value.to_bits()),
            Value::Str(text) => Self::Text(text.clone()),
            other => Self::Other(crate::python_repr(other)),
        }
    }
}

/// Whether Python takes the value as a key.
fn is_hashable(value: &Value) -> bool {
    !matches!(
        value,
        Value::Seq(_) | Value::Map(_) | Value::Set(_) | Value::Pairs(_)
    )
}

fn equal_keys(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Str(one), Value::Str(other)) => one == other,
        (Value::Str(_), _) | (_, Value::Str(_)) => false,
        _ => Key::of(one) == Key::of(other),
    }
}

fn kind_of(tag: Option<Cow<'_, Tag>>) -> Kind {
    let Some(tag) = tag else {
        return Kind::Default;
    };
    let full = format!("{}{}", tag.handle, tag.suffix);
    match full.strip_prefix(YAML_TAG) {
        Some(name) => Kind::Named(name.to_owned()),
        None => Kind::Foreign(full),
    }
}

impl Kind {
    fn shown(&self) -> String {
        match self {
            Self::Default => String::new(),
            Self::Named(name) => format!("!!{name}"),
            Self::Foreign(tag) => tag.clone(),
        }
    }
}
