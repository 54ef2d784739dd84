//! The shape of a tree as the format wants it: children of directories, numbers of inodes.

use std::collections::HashMap;

use nd_rootfs::{Entry, Index, LinkGroup};

/// A node of the tree: 0 is the root, `n + 1` the entry `n` of the index.
pub(super) type Node = usize;

/// Who is whose child, who shares an inode with whom, and how inodes are numbered.
pub(super) struct Tree<'a> {
    index: &'a Index,
    /// Children of all directories, one directory after the other, by name.
    children: Vec<u32>,
    /// Where the children of a node begin in `children`; one more at the end.
    begin: Vec<u32>,
    /// The node whose inode a node uses: its own, or the first of its hard links.
    owner: Vec<u32>,
    /// Inode numbers, from 1.
    numbers: Vec<u32>,
    /// The node a node lies in.
    parent: Vec<u32>,
    links: HashMap<u32, u32>,
    pub(super) inodes: u32,
}

impl<'a> Tree<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        let nodes = index.len() + 1;
        let mut parent = vec![0_u32; nodes];
        let mut begin = vec![0_u32; nodes + 1];
        let mut above: Vec<(Node, &[u8])> = Vec::new();
        for (node, entry) in (1..).zip(index) {
            while above
                .last()
                .is_some_and(|(_, dir)| !entry.path.is_below(dir))
            {
                above.pop();
            }
            parent[node] = above.last().map_or(0, |&(node, _)| node as u32);
            begin[parent[node] as usize + 1] += 1;
            if entry.kind.is_dir() {
                above.push((node, entry.path.as_bytes()));
            }
        }
        for node in 0..nodes {
            begin[node + 1] += begin[node];
        }
        let mut next = begin.clone();
        let mut children = vec![0_u32; index.len()];
        for (node, &parent) in parent.iter().enumerate().skip(1) {
            let slot = &mut next[parent as usize];
            children[*slot as usize] = node as u32;
            *slot += 1;
        }

        let mut owner: Vec<u32> = (0..nodes as u32).collect();
        let mut groups: HashMap<LinkGroup, u32> = HashMap::new();
        let mut links: HashMap<u32, u32> = HashMap::new();
        for (node, entry) in (1..).zip(index) {
            if let Some(group) = entry.group
                && !entry.kind.is_dir()
            {
                let first = *groups.entry(group).or_insert(node);
                owner[node as usize] = first;
                *links.entry(first).or_insert(0) += 1;
            }
        }

        // Numbers go by directory, so that names of one listing have numbers close to each other.
        let mut numbers = vec![0_u32; nodes];
        numbers[0] = 1;
        let mut inodes = 1;
        for node in 0..nodes {
            for &child in &children[begin[node] as usize..begin[node + 1] as usize] {
                let number = &mut numbers[owner[child as usize] as usize];
                if *number == 0 {
                    inodes += 1;
                    *number = inodes;
                }
            }
        }
        Self {
            index,
            children,
            begin,
            owner,
            numbers,
            parent,
            links,
            inodes,
        }
    }

    /// The entry of a node; the root has none.
    pub(super) fn entry(&self, node: Node) -> Option<&'a Entry> {
        self.index.entries().get(node.checked_sub(1)?)
    }

    /// The children of a directory, by name.
    pub(super) fn children(&self, node: Node) -> &[u32] {
        &self.children[self.begin[node] as usize..self.begin[node + 1] as usize]
    }

    /// Directories, each after all directories below it; the root comes last.
    pub(super) fn directories(&self) -> impl Iterator<Item = Node> {
        (0..self.begin.len() - 1)
            .rev()
            .filter(|&node| self.entry(node).is_none_or(|entry| entry.kind.is_dir()))
    }

    /// The node whose inode `node` uses.
    pub(super) fn owner(&self, node: Node) -> Node {
        self.owner[node] as Node
    }

    /// The number of the inode of `node`.
    pub(super) fn number(&self, node: Node) -> u32 {
        self.numbers[self.owner(node)]
    }

    /// The number that stands for the parent of a directory; the root's is one past the last.
    pub(super) fn parent_number(&self, node: Node) -> u32 {
        match node {
            0 => self.inodes + 1,
            _ => self.numbers[self.parent[node] as usize],
        }
    }

    /// How many names the inode of `node` has; for directories, with `.` and the `..` of others.
    pub(super) fn links(&self, node: Node) -> u32 {
        if self.entry(node).is_none_or(|entry| entry.kind.is_dir()) {
            let is_dir = |&&child: &&u32| {
                (self.entry(child as Node)).is_some_and(|entry| entry.kind.is_dir())
            };
            return 2 + self.children(node).iter().filter(is_dir).count() as u32;
        }
        self.links.get(&self.owner[node]).copied().unwrap_or(1)
    }
}
