//! One entry of a tree.

use nd_names::Sha256;

use crate::{Attr, TreePath};

/// One name in a tree with what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// Mode, owner, time, extended attributes.
    pub attr: Attr,
    /// What.
    pub kind: Kind,
    /// Entries of one group are hard links of each other: equal attributes and content. Advice for
    /// writers, never identity.
    pub group: Option<LinkGroup>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir {
        /// No packaging named it: it was assumed because something lies below it.
        implicit: bool,
    },
    /// A regular file.
    File {
        /// Logical length in bytes; holes count.
        size: u64,
        /// SHA-256 of the logical bytes.
        content: Sha256,
        /// Where the bytes are.
        at: Location,
    },
    /// A symbolic link.
    Symlink {
        /// The target, 1 to 4,095 bytes, as written.
        target: Box<[u8]>,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device node. A character device 0:0 is an overlay whiteout and never stands in an index.
    Device {
        /// Character or block.
        class: DeviceClass,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl Kind {
    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self, Self::Dir { .. })
    }
}

/// The two classes of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceClass {
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// Names entries that are hard links of each other. Meaningful within one index only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkGroup(pub u32);

/// Where the bytes of a file are. The order of values is the order of storage; what the numbers
/// mean is known to the [`crate::Contents`] that belongs to the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// In a layer.
    Layer {
        /// Number of the layer, 0 at the bottom.
        layer: u32,
        /// Offset of the entry's first data byte in the uncompressed tar.
        offset: u64,
    },
    /// A file of the host: number in the list of the reader.
    Host(u64),
    /// A file in a squashfs: position of the first data block, made unique by the reader.
    Squashfs(u64),
    /// A list of CVMFS objects: number in the list of the reader.
    Cvmfs(u64),
}
