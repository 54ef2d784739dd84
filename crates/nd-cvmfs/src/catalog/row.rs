//! One row of a catalogue.

use nd_rootfs::Xattrs;

use crate::hash::{Algorithm, ObjectHash, ObjectKind};

/// Bits of a row's flags.
pub mod flag {
    /// A directory.
    pub const DIR: u32 = 1;
    /// A directory at which a nested catalogue begins; the row of the catalogue above.
    pub const MOUNT_POINT: u32 = 2;
    /// Anything but a directory.
    pub const FILE: u32 = 4;
    /// A symbolic link.
    pub const SYMLINK: u32 = 8;
    /// A pipe, socket or device.
    pub const SPECIAL: u32 = 16;
    /// The first row of a nested catalogue.
    pub const NESTED_ROOT: u32 = 32;
    /// A file in chunks.
    pub const CHUNKED: u32 = 64;
    /// A file whose bytes are on other servers.
    pub const EXTERNAL: u32 = 128;
    /// The algorithm of the content's hash.
    pub const HASH: u32 = 0x700;
    /// How the content is compressed.
    pub const COMPRESSION: u32 = 0x3800;
    /// A directory at which the root catalogue of another revision begins.
    pub const BIND_MOUNT: u32 = 0x4000;
    /// Not listed.
    pub const HIDDEN: u32 = 0x8000;
    /// Read past the kernel's cache.
    pub const DIRECT_IO: u32 = 0x1_0000;
}

/// What a row describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A pipe, socket or device.
    Special,
}

/// One chunk of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its first byte's place in the file.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// The object.
    pub hash: ObjectHash,
}

/// One row: the attributes of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Last part of the path; empty for the root of the repository.
    pub name: Vec<u8>,
    /// `st_mode` with the bits of the type.
    pub mode: u32,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Bytes; 4096 for directories, the device's number for devices.
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds beside them, where kept.
    pub mtime_ns: Option<i64>,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count, at least 1.
    pub links: u32,
    /// Names of one file in one directory share a number; 0 for none.
    pub link_group: u32,
    /// The object with the whole content.
    pub hash: Option<ObjectHash>,
    /// Target of a symbolic link, empty otherwise.
    pub symlink: Vec<u8>,
    /// Extended attributes, packed.
    pub xattrs: Option<Vec<u8>>,
    /// Chunks, by offset.
    pub chunks: Vec<Chunk>,
}

impl Row {
    /// Whether all of these bits are set.
    pub fn has(&self, bits: u32) -> bool {
        self.flags & bits == bits
    }

    /// What it describes, by its flags.
    pub fn kind(&self) -> RowKind {
        if self.has(flag::DIR) {
            RowKind::Dir
        } else if self.has(flag::SYMLINK) {
            RowKind::Symlink
        } else if self.has(flag::SPECIAL) {
            RowKind::Special
        } else {
            RowKind::File
        }
    }

    /// Whether flags and type bits of the mode say the same.
    pub fn is_consistent(&self) -> bool {
        let kind = self.flags & (flag::DIR | flag::FILE | flag::SYMLINK | flag::SPECIAL);
        match self.mode & 0o170_000 {
            0o040_000 => kind == flag::DIR,
            0o100_000 => kind == flag::FILE,
            0o120_000 => kind == flag::FILE | flag::SYMLINK,
            0o010_000 | 0o140_000 | 0o020_000 | 0o060_000 => kind == flag::FILE | flag::SPECIAL,
            _ => false,
        }
    }

    /// The algorithm of the content's hash.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::of_bits((self.flags & flag::HASH) >> 8)
    }

    /// Whether the content is stored as it is, without zlib; `None` for an unknown way.
    pub fn is_plain(&self) -> Option<bool> {
        match (self.flags & flag::COMPRESSION) >> 11 {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// The objects that hold the content, with the number of plain bytes in each.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectHash, ObjectKind, u64)> + '_ {
        let external = self.has(flag::EXTERNAL);
        let whole = self.hash.map(|hash| (hash, ObjectKind::File, self.size));
        let chunks = self.chunks.iter();
        let chunks = chunks.map(|chunk| (chunk.hash, ObjectKind::Chunk, chunk.size));
        whole.into_iter().chain(chunks).filter(move |_| !external)
    }

    /// Whether another row says the same but for the two flags of a transition.
    pub(crate) fn agrees_at_transition(&self, other: &Self) -> bool {
        let plain = |row: &Self| Self {
            flags: row.flags & !(flag::MOUNT_POINT | flag::NESTED_ROOT),
            ..row.clone()
        };
        plain(self) == plain(other)
    }
}

/// As long as a name or a value of a packed attribute may be.
const MAX_XATTR: usize = 255;

/// Packs extended attributes. Gives the names of those that do not fit: names or values of more than
/// 255 bytes, and all behind the first 255.
pub fn pack_xattrs(xattrs: &Xattrs) -> (Option<Vec<u8>>, Vec<Vec<u8>>) {
    let mut lost = Vec::new();
    let (mut count, mut body) = (0u8, Vec::new());
    for (name, value) in xattrs.iter() {
        let fits = (1..=MAX_XATTR).contains(&name.len()) && value.len() <= MAX_XATTR;
        if !fits || name.contains(&0) || count == u8::MAX {
            lost.push(name.to_vec());
            continue;
        }
        count += 1;
        body.extend([name.len() as u8, value.len() as u8]);
        body.extend_from_slice(name);
        body.extend_from_slice(value);
    }
    let packed = (count > 0).then(|| [&[1, count], &body[..]].concat());
    (packed, lost)
}

/// Reads packed extended attributes; `None` when they are malformed.
pub fn unpack_xattrs(mut packed: &[u8]) -> Option<Xattrs> {
    fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (head, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(head)
    }
    let head = take(&mut packed, 2)?;
    if head[0] != 1 {
        return None;
    }
    let mut out = Xattrs::default();
    for _ in 0..head[1] {
        let lengths = take(&mut packed, 2)?;
        let name = take(&mut packed, lengths[0].into())?;
        let value = take(&mut packed, lengths[1].into())?;
        if name.is_empty() || name.contains(&0) || out.get(name).is_some() {
            return None;
        }
        out.insert(name, value);
    }
    packed.is_empty().then_some(out)
}

#[cfg(test)]
mod tests {
    //! Packed attributes.

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn attributes_that_fit_come_back(
            given in prop::collection::btree_map(
                prop::collection::vec(1u8.., 1..300),
                prop::collection::vec(any::<u8>(), 0..300),
                0..8,
            ),
        ) {
            let all: Xattrs = given.clone().into_iter().collect();
            let (packed, lost) = pack_xattrs(&all);
            let back = packed.map_or_else(Xattrs::default, |packed| unpack_xattrs(&packed).unwrap());
            for (name, value) in given {
                let fits = name.len() <= 255 && value.len() <= 255;
                prop_assert_eq!(back.get(&name), fits.then_some(&value[..]));
                prop_assert_eq!(lost.contains(&name), !fits);
            }
        }

        #[test]
        fn rubbish_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = unpack_xattrs(&bytes);
        }
    }
}
