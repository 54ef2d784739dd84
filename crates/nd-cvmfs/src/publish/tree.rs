//! A whole tree becomes rows and catalogues.

use std::collections::{BTreeMap, HashMap};

use nd_names::Sha256;
use nd_rootfs::{Attr, DeviceClass, Entry, Index, Kind, LinkGroup, show};

use super::{
    cut::{CutOptions, cuts},
    edit::{Editor, directory, stamp},
    error::PublishError,
};
use crate::{
    MARKER,
    catalog::{Catalog, Counters, Nested, Row, flag, key, pack_xattrs},
    hash::{Algorithm, ObjectHash, ObjectKind},
    known::Stored,
    repository::shown,
};

/// Whether the tree gets a catalogue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NestedAt {
    /// When it has 1,000 entries or more.
    #[default]
    Auto,
    /// Always, as for a container.
    Always,
    /// Never, as for single small files.
    Never,
}

/// From how many entries on [`NestedAt::Auto`] makes a catalogue.
const AUTO: usize = 1000;

/// How a tree is put.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Whether it gets a catalogue of its own.
    pub nested: NestedAt,
    /// How large catalogues become.
    pub cuts: CutOptions,
    /// Attributes of its root, which no index has.
    pub root: Option<Attr>,
}

/// What could not be kept as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Notes(pub(crate) Vec<String>);

/// As many notes as are kept.
const MAX_NOTES: usize = 200;

impl Notes {
    pub(crate) fn add(&mut self, text: String) {
        if self.0.len() < MAX_NOTES {
            self.0.push(text);
        }
    }
}

const AUTO_MARKER: &[u8] = b".cvmfsautocatalog";

/// Puts `index` at `path` (absolute, normal), in place of what is there.
pub(crate) fn put_tree(
    editor: &mut Editor<'_>,
    path: &[u8],
    index: &Index,
    stored: &HashMap<Sha256, Stored>,
    options: &PutOptions,
    notes: &mut Notes,
) -> Result<(), PublishError> {
    check(index)?;
    let links = Links::of(index, notes);
    let above = &path[..path.iter().rposition(|&b| b == b'/').unwrap_or(0)];
    editor.make_dirs(above)?;
    editor.remove(path)?;
    let name = path[above.len() + 1..].to_vec();
    let mut root = directory(name, editor.now.as_second());
    if let Some(attr) = &options.root {
        set_attr(&mut root, attr, path, notes);
    }
    root.links = 2 + links.subdirs(b"");
    let empty = editor.put_document(b"", ObjectKind::File)?;
    let nested = match options.nested {
        NestedAt::Always => true,
        NestedAt::Never => false,
        NestedAt::Auto => index.len() >= AUTO,
    };
    let mut builder = Builder {
        editor,
        empty,
        open: Vec::new(),
        notes,
    };
    let marks = if nested {
        cuts(index, options.cuts)
    } else {
        cuts(
            index,
            CutOptions {
                max_bytes: u64::MAX,
            },
        )
    };
    let begin = Beginning {
        nested,
        marked: has_marker(index, b""),
        cut: false,
    };
    builder.begin(path, &root, begin);
    let mut marks = marks.into_iter().peekable();
    for (at, entry) in index.entries().iter().enumerate() {
        let place = [path, b"/", entry.path.as_bytes()].concat();
        builder.leave(&place)?;
        let row = builder.row(entry, &place, stored, &links)?;
        if marks.next_if_eq(&at).is_some() {
            let marked = has_marker(index, entry.path.as_bytes());
            let begin = Beginning {
                nested: true,
                marked,
                cut: true,
            };
            builder.begin(&place, &row, begin);
        } else {
            builder.add(&place, row);
        }
    }
    builder.finish(path, root)
}

fn has_marker(index: &Index, dir: &[u8]) -> bool {
    let path = if dir.is_empty() {
        MARKER.to_vec()
    } else {
        [dir, b"/", MARKER].concat()
    };
    index.get(path).is_some()
}

fn check(index: &Index) -> Result<(), PublishError> {
    for entry in index {
        // What is no plain file of that name would break every reader of the catalogue.
        let marker = [MARKER, AUTO_MARKER].contains(&entry.path.name());
        if marker && !matches!(entry.kind, Kind::File { .. }) {
            return Err(PublishError::Marker(entry.path.to_string()));
        }
    }
    Ok(())
}

/// Catalogues of the tree that are being filled, outermost first.
struct Builder<'e, 's> {
    editor: &'e mut Editor<'s>,
    empty: ObjectHash,
    open: Vec<Part>,
    notes: &'e mut Notes,
}

/// What begins at a directory.
#[derive(Clone, Copy)]
struct Beginning {
    /// A catalogue; otherwise only a list of rows.
    nested: bool,
    /// The tree itself has the marker.
    marked: bool,
    /// It was chosen by size.
    cut: bool,
}

struct Part {
    catalog: Catalog,
    mount: Row,
    /// The outermost part may be rows of an existing catalogue.
    loose: bool,
}

impl Builder<'_, '_> {
    /// Begins a catalogue at `path`, or a list of rows.
    fn begin(&mut self, path: &[u8], row: &Row, begin: Beginning) {
        let mut catalog = Catalog {
            prefix: path.to_vec(),
            ..Catalog::default()
        };
        let mut first = row.clone();
        if begin.nested {
            first.flags |= flag::NESTED_ROOT;
            let now = self.editor.now;
            stamp(&mut catalog, 1, ObjectHash::NONE, now);
            if !begin.marked {
                let names = [Some(MARKER), begin.cut.then_some(AUTO_MARKER)];
                for name in names.into_iter().flatten() {
                    let place = [path, b"/", name].concat();
                    catalog.rows.insert(key(&place), self.marker(name));
                }
            }
        }
        catalog.rows.insert(key(path), first);
        self.open.push(Part {
            catalog,
            mount: row.clone(),
            loose: !begin.nested,
        });
    }

    fn marker(&self, name: &[u8]) -> Row {
        Row {
            mode: 0o100_644,
            flags: flag::FILE | self.empty.algorithm.bits() << 8,
            size: 0,
            links: 1,
            hash: Some(self.empty),
            ..directory(name.to_vec(), self.editor.now.as_second())
        }
    }

    fn add(&mut self, place: &[u8], row: Row) {
        if let Some(part) = self.open.last_mut() {
            part.catalog.rows.insert(key(place), row);
        }
    }

    /// Writes the catalogues that `place` is no longer in.
    fn leave(&mut self, place: &[u8]) -> Result<(), PublishError> {
        while self.open.len() > 1 {
            let inside = self.open.last().is_some_and(|part| {
                let rest = place.strip_prefix(&part.catalog.prefix[..]);
                rest.is_some_and(|rest| rest.first() == Some(&b'/'))
            });
            if inside {
                break;
            }
            self.close()?;
        }
        Ok(())
    }

    /// Writes the innermost catalogue and mounts it in the one above.
    fn close(&mut self) -> Result<(), PublishError> {
        let Some(part) = self.open.pop() else {
            return Ok(());
        };
        let (nested, statistics) = self.editor.write(&part.catalog)?;
        if let Some(above) = self.open.last_mut() {
            let mut mount = part.mount;
            mount.flags |= flag::MOUNT_POINT;
            let path = part.catalog.prefix;
            above.catalog.rows.insert(key(&path), mount);
            above.catalog.nested.insert(path, nested);
            let subtree = &mut above.catalog.statistics.subtree;
            *subtree = subtree.plus(&statistics.total());
        }
        Ok(())
    }

    fn finish(mut self, path: &[u8], root: Row) -> Result<(), PublishError> {
        while self.open.len() > 1 {
            self.close()?;
        }
        let Some(mut part) = self.open.pop() else {
            return Ok(());
        };
        if !part.loose {
            let (nested, statistics) = self.editor.write(&part.catalog)?;
            let mut mount = root;
            mount.flags |= flag::MOUNT_POINT;
            return self.editor.mount(path, mount, nested, &statistics.total());
        }
        // Rows of an existing catalogue: link groups get numbers that are free there.
        let catalog = self
            .editor
            .lister(&path[..path.len() - root.name.len() - 1])?;
        let used = catalog
            .rows
            .values()
            .map(|row| row.link_group)
            .max()
            .unwrap_or(0);
        let subtree: Counters = part.catalog.statistics.subtree;
        catalog.statistics.subtree = catalog.statistics.subtree.plus(&subtree);
        let nested: BTreeMap<Vec<u8>, Nested> = std::mem::take(&mut part.catalog.nested);
        let rows = std::mem::take(&mut part.catalog.rows);
        let first = key(path);
        for (place, mut row) in rows {
            if row.link_group != 0 {
                row.link_group += used;
            }
            if place != first {
                catalog.rows.insert(place, row);
            }
        }
        catalog.nested.extend(nested);
        self.editor.insert(path, root)
    }

    fn row(
        &mut self,
        entry: &Entry,
        place: &[u8],
        stored: &HashMap<Sha256, Stored>,
        links: &Links,
    ) -> Result<Row, PublishError> {
        if place.len() > nd_rootfs::MAX_PATH {
            let text = format!(
                "`{}` has more than 4095 bytes in the repository",
                entry.path
            );
            self.notes.add(text);
        }
        let mut row = directory(entry.path.name().to_vec(), 0);
        set_attr(&mut row, &entry.attr, place, self.notes);
        let permissions = row.mode & 0o7777;
        let other = |row: &mut Row, kind: u32, flags: u32, size: u64| {
            row.mode = kind | permissions;
            row.flags = flag::FILE | flags;
            row.size = size;
            row.links = 1;
        };
        match &entry.kind {
            Kind::Dir { .. } => row.links = 2 + links.subdirs(entry.path.as_bytes()),
            Kind::File { size, content, .. } => {
                let found = stored.get(content).filter(|stored| stored.size == *size);
                let found = found.ok_or_else(|| PublishError::NotStored(entry.path.to_string()))?;
                other(&mut row, 0o100_000, 0, *size);
                set_content(&mut row, found, self.editor.algorithm());
            }
            Kind::Symlink { target } => {
                other(&mut row, 0o120_000, flag::SYMLINK, target.len() as u64);
                row.symlink = target.to_vec();
                if target.windows(2).any(|two| two == b"$(") {
                    self.notes.add(format!(
                        "`{}`: clients expand `$(` in the symlink's target `{}`",
                        entry.path,
                        show(target)
                    ));
                }
            }
            Kind::Fifo => other(&mut row, 0o010_000, flag::SPECIAL, 0),
            Kind::Socket => other(&mut row, 0o140_000, flag::SPECIAL, 0),
            Kind::Device {
                class,
                major,
                minor,
            } => {
                let kind = match class {
                    DeviceClass::Char => 0o020_000,
                    DeviceClass::Block => 0o060_000,
                };
                other(
                    &mut row,
                    kind,
                    flag::SPECIAL,
                    rustix::fs::makedev(*major, *minor),
                );
            }
        }
        if let Some((group, count)) = entry.group.and_then(|group| links.group(group)) {
            row.link_group = group;
            row.links = count;
        }
        Ok(row)
    }
}

fn set_content(row: &mut Row, stored: &Stored, algorithm: Algorithm) {
    row.flags |= algorithm.bits() << 8;
    if stored.pieces.iter().all(|piece| piece.plain) {
        row.flags |= 1 << 11;
    }
    match &stored.pieces[..] {
        [one] => row.hash = Some(one.hash),
        many => {
            row.flags |= flag::CHUNKED;
            let mut offset = 0;
            for piece in many {
                row.chunks.push(crate::catalog::Chunk {
                    offset,
                    size: piece.size,
                    hash: piece.hash,
                });
                offset += piece.size;
            }
        }
    }
}

fn set_attr(row: &mut Row, attr: &Attr, place: &[u8], notes: &mut Notes) {
    row.mode = row.mode & 0o170_000 | u32::from(attr.mode & 0o7777);
    row.uid = attr.uid;
    row.gid = attr.gid;
    row.mtime = attr.mtime;
    let (packed, lost) = pack_xattrs(&attr.xattrs);
    row.xattrs = packed;
    for name in lost {
        let name = show(&name[..name.len().min(80)]);
        notes.add(format!(
            "`{}`: the attribute `{name}` is too large for the format and left out",
            shown(place)
        ));
    }
}

/// Link counts of directories, and the groups of hard links that the format can keep.
struct Links {
    subdirs: HashMap<Vec<u8>, u32>,
    groups: HashMap<LinkGroup, (u32, u32)>,
}

impl Links {
    fn of(index: &Index, notes: &mut Notes) -> Self {
        let mut subdirs: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut members: BTreeMap<LinkGroup, (Vec<u8>, u32, bool)> = BTreeMap::new();
        for entry in index {
            let path = entry.path.as_bytes();
            let dir = &path[..path.iter().rposition(|&b| b == b'/').unwrap_or(0)];
            if entry.kind.is_dir() {
                *subdirs.entry(dir.to_vec()).or_default() += 1;
            }
            if let Some(group) = entry.group {
                let known = members.entry(group).or_insert((dir.to_vec(), 0, true));
                known.1 += 1;
                known.2 &= known.0 == dir;
            }
        }
        let broken = members
            .values()
            .filter(|(_, count, same)| *count > 1 && !same)
            .count();
        if broken > 0 {
            notes.add(format!(
                "{broken} groups of hard links cross directories; their names become files of their \
                 own that share their content"
            ));
        }
        let kept = members
            .into_iter()
            .filter(|(_, (_, count, same))| *count > 1 && *same);
        let groups = kept
            .zip(1..)
            .map(|((group, (_, count, _)), number)| (group, (number, count)));
        Self {
            subdirs,
            groups: groups.collect(),
        }
    }

    fn subdirs(&self, dir: &[u8]) -> u32 {
        self.subdirs.get(dir).copied().unwrap_or(0)
    }

    /// Number and link count of a group that is kept.
    fn group(&self, group: LinkGroup) -> Option<(u32, u32)> {
        self.groups.get(&group).copied()
    }
}

/// Puts one entry that is no directory at `path`, in place of what is there.
pub(crate) fn put_file(
    editor: &mut Editor<'_>,
    path: &[u8],
    entry: &Entry,
    stored: &HashMap<Sha256, Stored>,
    notes: &mut Notes,
) -> Result<(), PublishError> {
    let above = &path[..path.iter().rposition(|&b| b == b'/').unwrap_or(0)];
    editor.make_dirs(above)?;
    editor.remove(path)?;
    let links = Links {
        subdirs: HashMap::new(),
        groups: HashMap::new(),
    };
    let empty = ObjectHash::NONE;
    let mut builder = Builder {
        editor,
        empty,
        open: Vec::new(),
        notes,
    };
    let mut row = builder.row(entry, path, stored, &links)?;
    row.name = path[above.len() + 1..].to_vec();
    editor.insert(path, row)
}
