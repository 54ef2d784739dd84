//! Many layers, one tree: merged top-down over their indexes, without their bytes.
//!
//! A node of the trie holds, besides what it is in the result, the numbers of the layers that cut
//! off what lies under it in lower layers. Layers are read from the top one down, so the numbers
//! on a node descend.

mod state;

use crate::{Attr, Entry, Index, IndexError, Kind, LayerEntry, LayerIndex, Location, TreePath};
use state::{NodeId, Object, ObjectId, ROOT, Seen, State};

/// The result of a merge.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The tree; files of layer `n` lie at `Location::Layer { layer: n, .. }`.
    pub index: Index,
    /// Oddities that changed nothing, and cases engines disagree about.
    pub notes: Vec<String>,
}

/// What to do about two entries of one path in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// Refuse them, as the image specification does. Directories and identical entries may repeat.
    #[default]
    Refuse,
    /// The last one wins.
    LastWins,
}

/// Why layers make no tree. Layers are numbered from 0 at the bottom.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Two different entries of one path in one layer.
    #[error("layer {layer} holds `{path}` twice")]
    Duplicate {
        /// The layer.
        layer: u32,
        /// The path.
        path: TreePath,
    },
    /// An entry below what is no directory in the same layer.
    #[error("layer {layer} holds entries below `{path}`, which is no directory there")]
    NotADirectory {
        /// The layer.
        layer: u32,
        /// The path that is no directory.
        path: TreePath,
    },
    /// A hard link to a directory, to itself, or to something later in its layer.
    #[error("hard link `{path}` of layer {layer} cannot point to `{target}`")]
    BadLink {
        /// The layer.
        layer: u32,
        /// The link.
        path: TreePath,
        /// Its target.
        target: TreePath,
    },
    /// A hard link whose target does not exist.
    #[error("hard link `{path}` of layer {layer} points to `{target}`, which does not exist")]
    Dangling {
        /// The layer.
        layer: u32,
        /// The link.
        path: TreePath,
        /// Its target.
        target: TreePath,
    },
    /// A character device 0:0, which only an overlay's upper directory may hold.
    #[error("layer {layer} holds the overlay whiteout `{path}`")]
    OverlayWhiteout {
        /// The layer.
        layer: u32,
        /// The device.
        path: TreePath,
    },
    /// The result is no tree.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Merges layers, lowest first, into the tree a reader of the image sees.
pub fn merge(layers: &[&LayerIndex], duplicates: Duplicates) -> Result<Merged, MergeError> {
    let mut merge = Merge {
        state: State::default(),
        duplicates,
        notes: Vec::new(),
    };
    for (number, layer) in layers.iter().enumerate().rev() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        for entry in &layer.entries {
            merge.entry(number, entry)?;
        }
        merge.end_of_layer(number)?;
        merge.notes.extend(
            layer
                .notes
                .iter()
                .map(|note| format!("layer {number}: {note}")),
        );
    }
    merge.finish()
}

struct Merge<'a> {
    state: State<'a>,
    duplicates: Duplicates,
    notes: Vec<String>,
}

impl<'a> Merge<'a> {
    fn entry(&mut self, layer: u32, entry: &'a LayerEntry) -> Result<(), MergeError> {
        match entry {
            LayerEntry::Whiteout(path) => {
                let node = self.state.node(path);
                self.state.cut(node, layer);
            }
            LayerEntry::Opaque(dir) => {
                let node = dir.as_ref().map_or(ROOT, |dir| self.state.node(dir));
                self.state.cut_below(node, layer);
            }
            LayerEntry::Entry(entry) => {
                let node = self.place(layer, &entry.path, entry.kind.is_dir())?;
                if entry.kind.is_dir()
                    && let Some(Seen::Other(_)) = self.state.seen(node, layer)
                {
                    let path = entry.path.clone();
                    return Err(MergeError::Duplicate { layer, path });
                }
                match &entry.kind {
                    Kind::Dir { .. } => self.directory(layer, node, &entry.attr),
                    Kind::Device {
                        class: crate::DeviceClass::Char,
                        major: 0,
                        minor: 0,
                    } => {
                        let path = entry.path.clone();
                        return Err(MergeError::OverlayWhiteout { layer, path });
                    }
                    _ => {
                        let object = self.state.object(Object::Known { layer, entry });
                        self.other(layer, node, object, &entry.path)?;
                    }
                }
            }
            LayerEntry::Link { path, target } => {
                let node = self.place(layer, path, false)?;
                let bad = || MergeError::BadLink {
                    layer,
                    path: path.clone(),
                    target: target.clone(),
                };
                let to = self.state.node(target);
                if to == node {
                    return Err(bad());
                }
                let object = match self.state.seen(to, layer) {
                    Some(Seen::Dir) => return Err(bad()),
                    Some(Seen::Other(object)) => object,
                    None => self.state.wait(to, layer, path, target),
                };
                self.other(layer, node, object, path)?;
            }
        }
        Ok(())
    }

    /// Checks an entry against its own layer and makes its ancestors directories where nothing
    /// above hides them, also when the entry itself is hidden: a directory outlives its last file.
    fn place(&mut self, layer: u32, path: &'a TreePath, dir: bool) -> Result<NodeId, MergeError> {
        let node = self.state.node(path);
        let line = self.state.ancestors(node);
        let mut hidden = false;
        // From the root down, so that hiding is known from above.
        for &above in line.iter().rev() {
            if let Some(Seen::Other(_)) = self.state.seen(above, layer) {
                let path = self.state.path(above);
                return Err(MergeError::NotADirectory { layer, path });
            }
            self.state.mark_parent(above, layer);
            self.state.refuse_waiters(above);
            if above != ROOT {
                hidden = hidden || self.state.is_hidden(above, layer);
                if !hidden {
                    self.state.make_dir(above);
                }
            }
        }
        if !dir && self.state.was_parent(node, layer) {
            return Err(MergeError::NotADirectory {
                layer,
                path: path.clone(),
            });
        }
        Ok(node)
    }

    fn directory(&mut self, layer: u32, node: NodeId, attr: &'a Attr) {
        self.state.see(node, layer, Seen::Dir);
        self.state.refuse_waiters(node);
        if !self.state.is_hidden(node, layer) {
            self.state.make_dir(node);
            self.state.take_attr(node, layer, attr);
        }
    }

    fn other(
        &mut self,
        layer: u32,
        node: NodeId,
        object: ObjectId,
        path: &TreePath,
    ) -> Result<(), MergeError> {
        match self.state.seen(node, layer) {
            None => {}
            Some(Seen::Dir) => {
                return Err(MergeError::Duplicate {
                    layer,
                    path: path.clone(),
                });
            }
            Some(Seen::Other(first)) => {
                if self.state.equal(first, object) {
                    self.notes
                        .push(format!("layer {layer}: `{path}` stands twice, equal"));
                    return Ok(());
                }
                if self.duplicates == Duplicates::Refuse {
                    return Err(MergeError::Duplicate {
                        layer,
                        path: path.clone(),
                    });
                }
                self.state.replace(node, layer, object);
                return Ok(());
            }
        }
        self.state.see(node, layer, Seen::Other(object));
        if !self.state.is_hidden(node, layer) {
            if self.state.is_dir(node) {
                if self.state.is_unnamed(node) {
                    let note = "a directory no layer names covers a file below; engines disagree";
                    self.notes.push(format!("layer {layer}: `{path}`: {note}"));
                }
            } else {
                self.state.show(node, object);
            }
        }
        // Visible or not: it hides what lower layers have below it even when a higher layer made
        // it a directory again.
        self.state.cut(node, layer);
        self.state.serve(node, layer, object);
        Ok(())
    }

    /// A link that still waits must find its target in a lower layer, so its own layer must not
    /// have removed or replaced that.
    fn end_of_layer(&mut self, layer: u32) -> Result<(), MergeError> {
        match self.state.waiting_for_own_layer(layer) {
            None => Ok(()),
            Some((path, target)) => Err(MergeError::BadLink {
                layer,
                path,
                target,
            }),
        }
    }

    fn finish(mut self) -> Result<Merged, MergeError> {
        let mut entries: Vec<Entry> = Vec::new();
        let groups = self.state.groups();
        for node in self.state.nodes() {
            if self.state.is_dir(node) {
                let attr = self.state.attr(node);
                let implicit = attr.is_none();
                let attr = attr.cloned().unwrap_or_else(Attr::implicit);
                let kind = Kind::Dir { implicit };
                entries.push(Entry {
                    path: self.state.path(node),
                    attr,
                    kind,
                    group: None,
                });
            } else if let Some(object) = self.state.shown(node) {
                match self.state.resolve(object) {
                    Object::Known { layer, entry } => {
                        let mut kind = entry.kind.clone();
                        if let Kind::File {
                            at: Location::Layer { layer: number, .. },
                            ..
                        } = &mut kind
                        {
                            *number = layer;
                        }
                        let group = groups.get(&self.state.root_of(object)).copied();
                        let path = self.state.path(node);
                        entries.push(Entry {
                            path,
                            attr: entry.attr.clone(),
                            kind,
                            group,
                        });
                    }
                    Object::Waiting {
                        layer,
                        path,
                        target,
                    } => {
                        let (path, target) = (path.clone(), target.clone());
                        return Err(MergeError::Dangling {
                            layer,
                            path,
                            target,
                        });
                    }
                    Object::Same(_) => {}
                }
            }
        }
        self.notes.extend(self.state.hidden_dangling());
        Ok(Merged {
            index: Index::from_entries(entries)?,
            notes: self.notes,
        })
    }
}
