//! The trie of a merge and the objects its names lead to.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{Attr, Entry, LinkGroup, TreePath};

/// A path part in the trie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(u32);

/// The root of the trie.
pub(super) const ROOT: NodeId = NodeId(0);

/// One occurrence of a non-directory in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ObjectId(u32);

/// What an occurrence is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object<'a> {
    /// A file, symlink, … with its bytes.
    Known { layer: u32, entry: &'a Entry },
    /// A hard link whose target must come from a lower layer.
    Waiting {
        layer: u32,
        path: &'a TreePath,
        target: &'a TreePath,
    },
    /// Another name of this object.
    Same(ObjectId),
}

/// What a node was in the layer being read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen {
    Dir,
    Other(ObjectId),
}

#[derive(Debug, Default)]
struct Node<'a> {
    parent: u32,
    name: &'a [u8],
    dir: bool,
    attr: Option<(u32, &'a Attr)>,
    shown: Option<ObjectId>,
    /// Layers that removed this and everything below, descending.
    cut: Vec<u32>,
    /// Layers that removed everything below, descending.
    cut_below: Vec<u32>,
    seen: Option<(u32, Seen)>,
    parent_in: Option<u32>,
}

#[derive(Debug)]
pub(super) struct State<'a> {
    nodes: Vec<Node<'a>>,
    children: HashMap<(u32, &'a [u8]), u32>,
    objects: Vec<Object<'a>>,
    waiting: HashMap<NodeId, Vec<(ObjectId, u32)>>,
    new_waiters: Vec<(NodeId, ObjectId)>,
}

impl Default for State<'_> {
    fn default() -> Self {
        Self {
            nodes: vec![Node {
                dir: true,
                ..Node::default()
            }],
            children: HashMap::new(),
            objects: Vec::new(),
            waiting: HashMap::new(),
            new_waiters: Vec::new(),
        }
    }
}

impl<'a> State<'a> {
    /// The node of a path, made if need be.
    pub(super) fn node(&mut self, path: &'a TreePath) -> NodeId {
        let mut at = 0;
        for name in path.as_bytes().split(|&b| b == b'/') {
            let next = self.nodes.len() as u32;
            let found = *self.children.entry((at, name)).or_insert(next);
            if found == next {
                self.nodes.push(Node {
                    parent: at,
                    name,
                    ..Node::default()
                });
            }
            at = found;
        }
        NodeId(at)
    }

    fn get(&self, node: NodeId) -> &Node<'a> {
        &self.nodes[node.0 as usize]
    }

    fn get_mut(&mut self, node: NodeId) -> &mut Node<'a> {
        &mut self.nodes[node.0 as usize]
    }

    /// All nodes but the root, in no order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..self.nodes.len() as u32).map(NodeId)
    }

    /// The nodes above, nearest first, ending with the root.
    pub(super) fn ancestors(&self, node: NodeId) -> Vec<NodeId> {
        let mut out = Vec::new();
        let mut at = node;
        while at != ROOT {
            at = NodeId(self.get(at).parent);
            out.push(at);
        }
        out
    }

    pub(super) fn path(&self, node: NodeId) -> TreePath {
        let mut line = self.ancestors(node);
        line.pop();
        line.reverse();
        line.push(node);
        let parts: Vec<&[u8]> = line.iter().map(|node| self.get(*node).name).collect();
        TreePath::from_parts(&parts)
    }

    pub(super) fn cut(&mut self, node: NodeId, layer: u32) {
        push(&mut self.get_mut(node).cut, layer);
    }

    pub(super) fn cut_below(&mut self, node: NodeId, layer: u32) {
        push(&mut self.get_mut(node).cut_below, layer);
    }

    /// Whether a higher layer removed what `layer` has here.
    pub(super) fn is_hidden(&self, node: NodeId, layer: u32) -> bool {
        // Numbers descend, so the first is the highest.
        let above = |cuts: &[u32]| cuts.first().is_some_and(|&cut| cut > layer);
        above(&self.get(node).cut)
            || self.ancestors(node).into_iter().any(|node| {
                let node = self.get(node);
                above(&node.cut) || above(&node.cut_below)
            })
    }

    /// Whether a layer above `low` and not above `high` removed what stood here.
    fn removed_between(&self, node: NodeId, low: u32, high: u32) -> bool {
        let within = |cuts: &[u32]| cuts.iter().any(|&cut| low < cut && cut <= high);
        within(&self.get(node).cut)
            || self.ancestors(node).into_iter().any(|node| {
                let node = self.get(node);
                within(&node.cut) || within(&node.cut_below)
            })
    }

    pub(super) fn make_dir(&mut self, node: NodeId) {
        self.get_mut(node).dir = true;
    }

    pub(super) fn is_dir(&self, node: NodeId) -> bool {
        self.get(node).dir
    }

    /// Whether no layer so far gave this directory attributes.
    pub(super) fn is_unnamed(&self, node: NodeId) -> bool {
        self.get(node).attr.is_none()
    }

    /// The highest layer that names a directory gives its attributes; its last mention wins.
    pub(super) fn take_attr(&mut self, node: NodeId, layer: u32, attr: &'a Attr) {
        let node = self.get_mut(node);
        if node.attr.is_none_or(|(from, _)| from == layer) {
            node.attr = Some((layer, attr));
        }
    }

    pub(super) fn seen(&self, node: NodeId, layer: u32) -> Option<Seen> {
        self.get(node)
            .seen
            .filter(|(from, _)| *from == layer)
            .map(|(_, seen)| seen)
    }

    pub(super) fn see(&mut self, node: NodeId, layer: u32, seen: Seen) {
        self.get_mut(node).seen = Some((layer, seen));
    }

    pub(super) fn mark_parent(&mut self, node: NodeId, layer: u32) {
        self.get_mut(node).parent_in = Some(layer);
    }

    pub(super) fn was_parent(&self, node: NodeId, layer: u32) -> bool {
        self.get(node).parent_in == Some(layer)
    }

    pub(super) fn object(&mut self, object: Object<'a>) -> ObjectId {
        self.objects.push(object);
        ObjectId(self.objects.len() as u32 - 1)
    }

    pub(super) fn show(&mut self, node: NodeId, object: ObjectId) {
        self.get_mut(node).shown = Some(object);
    }

    /// A later entry of the same path and layer takes the place of an earlier one. Links made to
    /// the earlier one keep it.
    pub(super) fn replace(&mut self, node: NodeId, layer: u32, object: ObjectId) {
        let at = self.get_mut(node);
        if let Some((from, Seen::Other(first))) = at.seen
            && from == layer
            && at.shown == Some(first)
        {
            at.shown = Some(object);
        }
        at.seen = Some((layer, Seen::Other(object)));
    }

    /// A link whose target did not come in its own layer.
    pub(super) fn wait(
        &mut self,
        to: NodeId,
        layer: u32,
        path: &'a TreePath,
        target: &'a TreePath,
    ) -> ObjectId {
        let object = self.object(Object::Waiting {
            layer,
            path,
            target,
        });
        self.new_waiters.push((to, object));
        object
    }

    /// Gives what `layer` has at `node` to the links that wait for it from above.
    pub(super) fn serve(&mut self, node: NodeId, layer: u32, object: ObjectId) {
        let Some(waiters) = self.waiting.get(&node).cloned() else {
            return;
        };
        for (waiter, from) in waiters {
            let waits = matches!(self.objects[waiter.0 as usize], Object::Waiting { .. });
            if waits && !self.removed_between(node, layer, from) {
                self.objects[waiter.0 as usize] = Object::Same(object);
            }
        }
    }

    /// A layer has a directory here: what still waits for a file from above can get none, however
    /// many lower layers have one.
    pub(super) fn refuse_waiters(&mut self, node: NodeId) {
        if !self.waiting.is_empty() {
            self.waiting.remove(&node);
        }
    }

    /// Ends a layer: its waiting links become visible to the layers below. Gives one whose target
    /// the same layer removed or re-created.
    pub(super) fn waiting_for_own_layer(&mut self, layer: u32) -> Option<(TreePath, TreePath)> {
        for (node, object) in std::mem::take(&mut self.new_waiters) {
            let Object::Waiting { path, target, .. } = self.objects[object.0 as usize] else {
                continue;
            };
            let line = self.ancestors(node);
            let removed = self.get(node).cut.contains(&layer)
                || line.iter().any(|above| {
                    let above = self.get(*above);
                    above.cut.contains(&layer) || above.cut_below.contains(&layer)
                });
            let made_dir =
                matches!(self.seen(node, layer), Some(Seen::Dir)) || self.was_parent(node, layer);
            if removed || made_dir {
                return Some((path.clone(), target.clone()));
            }
            self.waiting.entry(node).or_default().push((object, layer));
        }
        None
    }

    /// Follows `Same` to the object that stands for all names.
    pub(super) fn root_of(&self, object: ObjectId) -> ObjectId {
        let mut at = object;
        while let Object::Same(next) = self.objects[at.0 as usize] {
            at = next;
        }
        at
    }

    pub(super) fn resolve(&self, object: ObjectId) -> Object<'a> {
        self.objects[self.root_of(object).0 as usize]
    }

    pub(super) fn equal(&self, a: ObjectId, b: ObjectId) -> bool {
        match (self.resolve(a), self.resolve(b)) {
            (Object::Known { entry: a, .. }, Object::Known { entry: b, .. }) => {
                a.attr == b.attr && same_kind(a, b)
            }
            (Object::Waiting { target: a, .. }, Object::Waiting { target: b, .. }) => a == b,
            _ => false,
        }
    }

    /// The attributes of a directory, if a layer gave any.
    pub(super) fn attr(&self, node: NodeId) -> Option<&'a Attr> {
        self.get(node).attr.map(|(_, attr)| attr)
    }

    pub(super) fn shown(&self, node: NodeId) -> Option<ObjectId> {
        let node = self.get(node);
        node.shown.filter(|_| !node.dir)
    }

    /// Numbers of the groups, in tree order of their first visible names.
    pub(super) fn groups(&self) -> BTreeMap<ObjectId, LinkGroup> {
        let mut names: BTreeMap<ObjectId, Vec<TreePath>> = BTreeMap::new();
        let mut shared: HashMap<ObjectId, u32> = HashMap::new();
        for node in self.nodes() {
            if let Some(object) = self.shown(node) {
                *shared.entry(self.root_of(object)).or_default() += 1;
            }
        }
        for node in self.nodes() {
            if let Some(object) = self.shown(node) {
                let root = self.root_of(object);
                if shared.get(&root).is_some_and(|count| *count > 1) {
                    names.entry(root).or_default().push(self.path(node));
                }
            }
        }
        let mut firsts: Vec<(TreePath, ObjectId)> = names
            .into_iter()
            .filter_map(|(object, paths)| paths.into_iter().min().map(|first| (first, object)))
            .collect();
        firsts.sort();
        firsts
            .into_iter()
            .zip(0..)
            .map(|((_, object), number)| (object, LinkGroup(number)))
            .collect()
    }

    /// Notes about links that lead nowhere and that nobody sees.
    pub(super) fn hidden_dangling(&self) -> Vec<String> {
        let shown: HashSet<ObjectId> = self
            .nodes()
            .filter_map(|node| self.shown(node))
            .map(|object| self.root_of(object))
            .collect();
        let all = self.objects.iter().enumerate();
        all.filter(|(at, _)| !shown.contains(&ObjectId(*at as u32)))
            .filter_map(|(_, object)| match object {
                Object::Waiting { layer, path, target } => Some(format!(
                    "layer {layer}: hidden hard link `{path}` points to `{target}`, which does not exist"
                )),
                _ => None,
            })
            .collect()
    }
}

fn push(cuts: &mut Vec<u32>, layer: u32) {
    if cuts.last() != Some(&layer) {
        cuts.push(layer);
    }
}

/// Equal but for where the bytes are.
fn same_kind(a: &Entry, b: &Entry) -> bool {
    use crate::Kind::File;
    match (&a.kind, &b.kind) {
        (
            File {
                size: s,
                content: c,
                ..
            },
            File { size, content, .. },
        ) => (s, c) == (size, content),
        (a, b) => a == b,
    }
}
