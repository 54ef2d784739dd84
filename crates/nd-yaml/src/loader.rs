//! Events to nodes: anchors, merges, keys.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use nd_report::{FileId, Sink, Span};
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use crate::{
    codes,
    construct::{Unconstructible, construct_plain, construct_tagged},
    cuts::Cuts,
    keys::{Key, equal_keys, is_hashable, is_merge},
    load::{Limits, error},
    node::{Entry, Map, Node, Style, Value},
    offsets::Offsets,
    size::Size,
    tag::{Kind, kind_of},
};

/// Deepest tree that clones and drops safely on a small stack.
const SAFE_DEPTH: usize = 1000;

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

pub(crate) struct Loader<'t, 's> {
    text: &'t str,
    file: FileId,
    limits: Limits,
    offsets: Offsets,
    cuts: &'t Cuts,
    next_cut: usize,
    sink: &'s mut Sink,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    open_anchors: HashSet<usize>,
    root: Option<Node>,
    nodes: usize,
    alias_bytes: usize,
    identity: u64,
}

/// Why there is no node; the diagnostic is in the sink.
pub(crate) enum Stop {
    /// A problem that stays.
    Told,
    /// A line inside brackets or quotes is not indented enough for the scanner.
    Indentation {
        /// A byte of the line, or the first one of the quoted text.
        at: usize,
        /// Whether it is in quotes.
        quoted: bool,
    },
}

impl<'t, 's> Loader<'t, 's> {
    pub(crate) fn new(
        text: &'t str,
        (offsets, cuts): (Offsets, &'t Cuts),
        file: FileId,
        limits: Limits,
        sink: &'s mut Sink,
    ) -> Self {
        // Blocks of identities, so that nodes of several files never look like copies.
        static TEXTS: AtomicU64 = AtomicU64::new(1);
        Self {
            text,
            file,
            limits,
            offsets,
            cuts,
            next_cut: 0,
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

    pub(crate) fn run(mut self, scanned: &str) -> Result<Node, Stop> {
        let mut parser = Parser::new(StrInput::new(scanned));
        let mut documents = 0;
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok(event) => event,
                Err(problem) => return Err(self.syntax_error(&problem)),
            };
            let range = self.offsets.byte(span.start.index())..self.offsets.byte(span.end.index());
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let problem = error(codes::DOCUMENTS, "there is a second document")
                            .at(self.span(range), "a document begins here")
                            .hint("keep one document in the file");
                        self.sink.push(problem);
                        return Err(Stop::Told);
                    }
                }
                Event::Alias(anchor) => self.alias(anchor, range)?,
                Event::Scalar(text, style, anchor, tag) => {
                    self.scalar(text, style, anchor, tag, range)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.open(Content::Seq(Vec::new()), anchor, tag, range)?;
                }
                Event::MappingStart(anchor, tag) => {
                    let content = Content::Map {
                        entries: Vec::new(),
                        key: None,
                    };
                    self.open(content, anchor, tag, range)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(range.end)?,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        let nothing = Node::new(Value::Null, self.span(0..0));
        Ok(self.root.unwrap_or(nothing))
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.file, range)
    }

    fn syntax_error(&mut self, problem: &saphyr_parser::ScanError) -> Stop {
        let at = self.offsets.byte(problem.marker().index());
        let line = self.text[..at - self.offsets.start]
            .rsplit('\n')
            .next()
            .unwrap_or_default();
        if problem.info() == "recursion limit exceeded" {
            let diagnostic = error(codes::LIMIT, "brackets are nested too deep");
            self.sink.push(diagnostic.at(self.span(at..at), ""));
            return Stop::Told;
        }
        let mut diagnostic = error(codes::SYNTAX, problem.info()).at(self.span(at..at), "");
        if line.starts_with('\t') {
            diagnostic = diagnostic.hint("indent with spaces, YAML forbids tabs there");
        } else if line.contains(": {{") {
            diagnostic = diagnostic.hint("put quotes round a value that begins with `{{`");
        }
        self.sink.push(diagnostic);
        match problem.info() {
            "invalid indentation" | "invalid indentation in flow construct" => {
                Stop::Indentation { at, quoted: false }
            }
            "invalid indentation in quoted scalar" => Stop::Indentation { at, quoted: true },
            _ => Stop::Told,
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > self.limits.nodes {
            let message = format!("more than {} values", self.limits.nodes);
            self.sink.push(error(codes::LIMIT, message).at(span, ""));
            return Err(Stop::Told);
        }
        Ok(())
    }

    fn check_depth(&mut self, below: usize, span: Span) -> Result<(), Stop> {
        let most = self.limits.depth.min(SAFE_DEPTH);
        if self.stack.len() + below > most {
            let message = format!("values are nested deeper than {most} levels");
            self.sink.push(error(codes::LIMIT, message).at(span, ""));
            return Err(Stop::Told);
        }
        Ok(())
    }

    fn next_identity(&mut self) -> u64 {
        self.identity += 1;
        self.identity
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
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
        let start = self.offsets.start;
        let place = range.start - start..range.end - start;
        let whole = self
            .cuts
            .restore(self.text, &place, &text, &mut self.next_cut);
        let mut text = whole.map_or(text, Cow::Owned);
        // PyYAML gives the last line of a block no newline that the file does not have.
        if style == Style::Block && range.end >= self.offsets.end {
            let last = self.text.rsplit('\n').next().unwrap_or_default();
            let words = last.trim_start_matches(' ');
            if let Some(without) = text.strip_suffix('\n')
                && !last.is_empty()
                && (words.is_empty() || without.ends_with(words))
            {
                text = Cow::Owned(without.to_owned());
            }
        }
        let span = self.span(range);
        self.count(1, span)?;
        let kind = kind_of(tag);
        let constructed = match &kind {
            Kind::Default if style == Style::Plain => construct_plain(&text),
            Kind::Default => Ok(Value::Str(std::mem::take(&mut text).into_owned())),
            // `!` alone asks for the resolution of plain text, even of quoted text.
            Kind::Foreign(tag) if tag == "!" => construct_plain(&text),
            Kind::Foreign(_) => Err(Unconstructible::UnknownTag),
            Kind::Named(name) => construct_tagged(name, &text),
        };
        let value = match constructed {
            Ok(value) => value,
            // Keys: `<<` is taken out by the mapping, `=` is a string there.
            Err(Unconstructible::Special) if self.at_key() => Value::Str(text.as_ref().to_owned()),
            Err(problem) => {
                self.unconstructible(problem, &kind, &text, span);
                Value::Str(text.as_ref().to_owned())
            }
        };
        let written = match value {
            Value::Str(_) => None,
            _ => Some(text.as_ref().into()),
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
            Kind::Foreign(tag) if tag == "!" => Value::Seq(items),
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
            Kind::Foreign(tag) if tag == "!" => Value::Map(map),
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
            return Err(Stop::Told);
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
            return Err(Stop::Told);
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
