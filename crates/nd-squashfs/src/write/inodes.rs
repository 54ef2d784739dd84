//! Inodes and directory listings.

use std::{collections::HashMap, io};

use nd_rootfs::{Attr, DeviceClass, Entry, Kind};

use super::{
    data::Data,
    error::WriteError,
    metadata::{Metadata, Place},
    tables::{Ids, XattrSets},
    tree::{Node, Tree},
};
use crate::{
    compression::Packer,
    format::{DIRECTORY_EXTRA, DIRECTORY_RUN, METADATA, NONE, encode_device, inode},
};

/// No reference of an inode.
const UNPLACED: u64 = u64::MAX;

/// Where a listing is.
#[derive(Debug, Clone)]
struct Listing {
    place: Place,
    length: u64,
    /// For long listings: offset in the listing, block, first name there.
    index: Vec<(u32, u32, Vec<u8>)>,
}

/// Writes the inode and directory tables.
pub(super) struct Inodes<'a> {
    tree: &'a Tree<'a>,
    data: &'a Data,
    block_size: u64,
    root: &'a Attr,
    epoch: Option<i64>,
    packer: &'a mut Packer,
    pub(super) table: Metadata,
    pub(super) directories: Metadata,
    pub(super) ids: Ids,
    pub(super) xattrs: XattrSets,
    /// References of inodes by node; [`UNPLACED`] for those not written yet.
    places: Vec<u64>,
    /// Listings of directories whose inodes are not written yet.
    listings: HashMap<Node, Listing>,
    /// The latest time written.
    pub(super) latest: u32,
    dropped: Vec<(Vec<u8>, String, u64)>,
    odd_times: Option<(String, u64)>,
}

impl<'a> Inodes<'a> {
    pub(super) fn new(
        tree: &'a Tree<'a>,
        data: &'a Data,
        options: &'a super::WriteOptions<'_>,
        packer: &'a mut Packer,
        nodes: usize,
    ) -> Self {
        Self {
            tree,
            data,
            block_size: options.block_size.into(),
            root: &options.root,
            epoch: options.epoch,
            packer,
            table: Metadata::default(),
            directories: Metadata::default(),
            ids: Ids::default(),
            xattrs: XattrSets::default(),
            places: vec![UNPLACED; nodes],
            listings: HashMap::new(),
            latest: 0,
            dropped: Vec::new(),
            odd_times: None,
        }
    }

    /// Writes everything; gives the place of the root's inode. Names of one directory have their
    /// inodes next to each other, so that reading a directory touches few blocks.
    pub(super) fn write(&mut self) -> Result<Place, WriteError> {
        for dir in self.tree.directories() {
            for &child in self.tree.children(dir) {
                let owner = self.tree.owner(child as Node);
                if self.places[owner] == UNPLACED {
                    self.places[owner] = self.inode(owner)?.reference();
                }
            }
            let listing = self.listing(dir)?;
            self.listings.insert(dir, listing);
        }
        let root = self.inode(0)?;
        self.table
            .flush(self.packer)
            .map_err(WriteError::Compress)?;
        self.directories
            .flush(self.packer)
            .map_err(WriteError::Compress)?;
        Ok(root)
    }

    /// The places of all inodes by number, as the export table has them.
    pub(super) fn by_number(&self, root: Place) -> Vec<u8> {
        let mut all = vec![0_u64; self.tree.inodes as usize];
        for (node, place) in self.places.iter().enumerate() {
            if *place != UNPLACED {
                all[self.tree.number(node) as usize - 1] = *place;
            }
        }
        all[self.tree.number(0) as usize - 1] = root.reference();
        all.iter().flat_map(|place| place.to_le_bytes()).collect()
    }

    /// What could not be kept, for people.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = (self.dropped.iter())
            .map(|(name, path, count)| {
                let name = nd_rootfs::show(name);
                format!(
                    "squashfs has no attribute `{name}`; left out of {count} entries, first of `{path}`"
                )
            })
            .collect();
        if let Some((path, count)) = &self.odd_times {
            notes.push(format!(
                "{count} modification times before 1970 or after 2106 were moved there, first that of `{path}`"
            ));
        }
        notes
    }

    fn inode(&mut self, node: Node) -> Result<Place, WriteError> {
        let entry = self.tree.entry(node);
        let bytes = self.encode(node, entry)?;
        let place = self.table.place();
        self.table
            .write(&bytes, self.packer)
            .map_err(WriteError::Compress)?;
        Ok(place)
    }

    fn encode(&mut self, node: Node, entry: Option<&'a Entry>) -> Result<Vec<u8>, WriteError> {
        let tree = self.tree;
        let attr = entry.map_or(self.root, |entry| &entry.attr);
        let shown = || entry.map_or_else(|| "/".to_owned(), |entry| entry.path.to_string());
        let refuse = |problem| WriteError::Entry {
            path: shown(),
            problem,
        };
        let dropped = &mut self.dropped;
        let xattrs = self
            .xattrs
            .number(&attr.xattrs, self.packer, &mut |name| {
                if let Some((_, _, count)) = dropped.iter_mut().find(|(n, ..)| n == name) {
                    *count += 1;
                } else if dropped.len() < 16 {
                    // A handful of names is enough for people.
                    dropped.push((name.into(), shown(), 1));
                }
            })
            .map_err(WriteError::Compress)?;
        let links = tree.links(node);
        let extra = xattrs != NONE;
        let mut body = Body::default();
        let kind = match entry.map(|entry| &entry.kind) {
            None | Some(Kind::Dir { .. }) => {
                // Written by `write` before any directory above it.
                let listing = self.listings.remove(&node).ok_or_else(|| {
                    WriteError::Compress(io::Error::other("a directory before its listing"))
                })?;
                let length = listing.length + u64::from(DIRECTORY_EXTRA);
                let size = u32::try_from(length)
                    .map_err(|_| refuse("the directory has too many entries"))?;
                let block = u32::try_from(listing.place.block).map_err(|_| WriteError::TooLarge)?;
                let parent = tree.parent_number(node);
                if extra || size > u16::MAX.into() || !listing.index.is_empty() {
                    let entries = listing.index.len().min(u16::MAX.into());
                    body.words(&[links, size, block, parent]);
                    body.halves(&[entries as u16, listing.place.offset]);
                    body.words(&[xattrs]);
                    for (offset, block, name) in &listing.index[..entries] {
                        body.words(&[*offset, *block, name.len() as u32 - 1]);
                        body.0.extend_from_slice(name);
                    }
                    inode::DIRECTORY + inode::EXTENDED
                } else {
                    body.words(&[block, links]);
                    body.halves(&[size as u16, listing.place.offset]);
                    body.words(&[parent]);
                    inode::DIRECTORY
                }
            }
            Some(Kind::File { size, content, .. }) => {
                self.file(&mut body, *size, content, links, xattrs)
            }
            Some(Kind::Symlink { target }) => {
                body.words(&[links, target.len() as u32]);
                body.0.extend_from_slice(target);
                body.extended(inode::SYMLINK, xattrs)
            }
            Some(Kind::Device {
                class,
                major,
                minor,
            }) => {
                let number = encode_device(*major, *minor)
                    .ok_or_else(|| refuse("the device number is too large"))?;
                body.words(&[links, number]);
                body.extended(
                    match class {
                        DeviceClass::Char => inode::CHAR_DEVICE,
                        DeviceClass::Block => inode::BLOCK_DEVICE,
                    },
                    xattrs,
                )
            }
            Some(Kind::Fifo) => {
                body.words(&[links]);
                body.extended(inode::FIFO, xattrs)
            }
            Some(Kind::Socket) => {
                body.words(&[links]);
                body.extended(inode::SOCKET, xattrs)
            }
        };
        let mut id = |id| (self.ids.number(id)).ok_or_else(|| WriteError::TooManyIds(shown()));
        let (uid, gid) = (id(attr.uid)?, id(attr.gid)?);
        let time = self.epoch.map_or(attr.mtime, |epoch| attr.mtime.min(epoch));
        let seconds = time.clamp(0, u32::MAX.into()) as u32;
        if i64::from(seconds) != time {
            self.odd_times.get_or_insert_with(|| (shown(), 0)).1 += 1;
        }
        self.latest = self.latest.max(seconds);
        let mut head = Body::default();
        head.halves(&[kind, attr.mode & 0o7777, uid, gid]);
        head.words(&[seconds, tree.number(node)]);
        head.0.append(&mut body.0);
        Ok(head.0)
    }

    fn file(
        &self,
        body: &mut Body,
        size: u64,
        content: &nd_names::Sha256,
        links: u32,
        xattrs: u32,
    ) -> u16 {
        // Only empty files have no place.
        let placed = self.data.get(content).filter(|_| size > 0);
        let (fragment, offset) = placed.map_or((NONE, 0), |p| (p.fragment, p.offset));
        let sparse = placed.map_or(0, |p| p.sparse);
        let start = placed.map_or(0, |p| if p.start == u64::MAX { 0 } else { p.start });
        debug_assert!(placed.is_none_or(|p| {
            p.sizes.len() as u64
                == if p.fragment == NONE {
                    size.div_ceil(self.block_size)
                } else {
                    0
                }
        }));
        let small = u32::try_from(start).ok().zip(u32::try_from(size).ok());
        let kind = match small {
            Some((start, size)) if links == 1 && xattrs == NONE && sparse == 0 => {
                body.words(&[start, fragment, offset, size]);
                inode::FILE
            }
            _ => {
                body.longs(&[start, size, sparse]);
                body.words(&[links, fragment, offset, xattrs]);
                inode::FILE + inode::EXTENDED
            }
        };
        if let Some(placed) = placed {
            body.words(&placed.sizes);
        }
        kind
    }

    fn listing(&mut self, dir: Node) -> Result<Listing, WriteError> {
        let tree = self.tree;
        // The first name of a run always fits: numbers count from it.
        let mut out = Listing {
            place: self.directories.place(),
            length: 0,
            index: Vec::new(),
        };
        let mut indexed = out.place.block;
        let mut rest = tree.children(dir);
        while let Some(&first) = rest.first() {
            // A run has one block of inodes, close numbers, and starts in one block of listings, so
            // that the index of a long listing can point to every block.
            let here = self.directories.place();
            if here.block != indexed {
                indexed = here.block;
                let name = tree.entry(first as Node).map_or(&[][..], |e| e.path.name());
                let word = |n: u64| u32::try_from(n).map_err(|_| WriteError::TooLarge);
                out.index
                    .push((word(out.length)?, word(here.block)?, name.to_vec()));
            }
            let (block, base) = (self.place(first)?.block, tree.number(first as Node));
            let mut run = Body::default();
            let mut count = 0;
            for &child in rest.iter().take(DIRECTORY_RUN) {
                let place = self.place(child)?;
                let distance =
                    i16::try_from(i64::from(tree.number(child as Node)) - i64::from(base)).ok();
                let (Some(distance), Some(entry)) = (distance, tree.entry(child as Node)) else {
                    break;
                };
                let reached = usize::from(here.offset) + 12 + run.0.len();
                if place.block != block || (count > 0 && reached >= METADATA) {
                    break;
                }
                let name = entry.path.name();
                run.halves(&[
                    place.offset,
                    distance as u16,
                    basic_kind(&entry.kind),
                    name.len() as u16 - 1,
                ]);
                run.0.extend_from_slice(name);
                count += 1;
            }
            let block = u32::try_from(block).map_err(|_| WriteError::TooLarge)?;
            let mut head = Body::default();
            head.words(&[count as u32 - 1, block, base]);
            head.0.append(&mut run.0);
            out.length += head.0.len() as u64;
            self.directories
                .write(&head.0, self.packer)
                .map_err(WriteError::Compress)?;
            rest = &rest[count..];
        }
        if out.length <= METADATA as u64 {
            out.index.clear();
        }
        Ok(out)
    }

    fn place(&self, node: u32) -> Result<Place, WriteError> {
        match self.places[self.tree.owner(node as Node)] {
            UNPLACED => Err(WriteError::Compress(io::Error::other(
                "a name before its inode",
            ))),
            reference => Ok(Place::of(reference)),
        }
    }
}

fn basic_kind(kind: &Kind) -> u16 {
    match kind {
        Kind::Dir { .. } => inode::DIRECTORY,
        Kind::File { .. } => inode::FILE,
        Kind::Symlink { .. } => inode::SYMLINK,
        Kind::Fifo => inode::FIFO,
        Kind::Socket => inode::SOCKET,
        Kind::Device { class, .. } => match class {
            DeviceClass::Char => inode::CHAR_DEVICE,
            DeviceClass::Block => inode::BLOCK_DEVICE,
        },
    }
}

/// Bytes of one inode or run of names.
#[derive(Debug, Default)]
struct Body(Vec<u8>);

impl Body {
    fn halves(&mut self, numbers: &[u16]) {
        self.0.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    }

    fn words(&mut self, numbers: &[u32]) {
        self.0.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    }

    fn longs(&mut self, numbers: &[u64]) {
        self.0.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    }

    /// Appends the number of attributes, if there are any, and gives the type that says so.
    fn extended(&mut self, kind: u16, xattrs: u32) -> u16 {
        if xattrs == NONE {
            return kind;
        }
        self.words(&[xattrs]);
        kind + inode::EXTENDED
    }
}
