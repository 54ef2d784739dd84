//! Reading an image. Everything in it is hostile: places are checked before they are used, nothing
//! recurses, memory follows what is really there and ends at [`Limits`].

mod error;
mod file;
mod inode;
mod metadata;
mod source;
mod tree;
mod xattr;

use std::io::Read;

use nd_rootfs::{Attr, DeviceClass, Xattrs, show};

pub use self::{
    error::ReadError,
    source::{FileRange, ReadAt},
    tree::{Digests, ImageContents},
};
use self::{
    file::{FileBytes, Scratch},
    inode::{Body, Directory, Inode},
    metadata::{Blocks, Cursor},
    xattr::{XattrTable, list_entry},
};
use crate::{
    Compressor,
    format::{NO_TABLE, NONE, SUPERBLOCK, Superblock, decode_device, inode as class},
};

/// How much an image may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of paths, symlink targets and extended attributes together.
    pub names: u64,
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of all files.
    pub total: u64,
    /// Bytes of extended attributes of one entry.
    pub xattrs: u64,
}

impl Default for Limits {
    /// 4 million entries, 1 GiB of names, 256 GiB a file, 1 TiB in all, 1 MiB of attributes an
    /// entry.
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            names: 1 << 30,
            file: 1 << 38,
            total: 1 << 40,
            xattrs: 1 << 20,
        }
    }
}

/// An open image.
pub struct Reader<S> {
    source: S,
    superblock: Superblock,
    compressor: Compressor,
    limits: Limits,
    blocks: Blocks,
    ids: Vec<u32>,
    xattrs: Option<XattrTable>,
}

impl<S> std::fmt::Debug for Reader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("superblock", &self.superblock)
            .finish_non_exhaustive()
    }
}

/// Takes name, inode reference and type of one entry of a listing.
type EachName<'a> = &'a mut dyn FnMut(&[u8], u64, u16) -> Result<(), ReadError>;

/// One entry of a directory, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name; empty for the root.
    pub name: Vec<u8>,
    /// Mode, owner, time, extended attributes.
    pub attr: Attr,
    /// What it is.
    pub kind: NodeKind,
    /// How many names it has; for a directory, what the image says.
    pub links: u32,
    /// Reference of its inode.
    inode: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A directory.
    Dir,
    /// A regular file of so many bytes.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// The target as written.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device node.
    Device {
        /// Character or block.
        class: DeviceClass,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl<S: ReadAt> Reader<S> {
    /// Reads the superblock and the table of owners.
    pub fn open(source: S, limits: Limits) -> Result<Self, ReadError> {
        let mut head = [0; SUPERBLOCK];
        if source.length() < head.len() as u64 {
            return Err(ReadError::NotSquashfs);
        }
        source
            .read_exact_at(&mut head, 0)
            .map_err(ReadError::io("the superblock"))?;
        let superblock = Superblock::decode(&head).ok_or(ReadError::NotSquashfs)?;
        let compressor =
            Compressor::of_number(superblock.compressor).map_err(ReadError::Compression)?;
        let end = superblock.bytes;
        if end > source.length() {
            return Err(ReadError::Damaged("it is cut off"));
        }
        let tables = [
            superblock.inode_table,
            superblock.directory_table,
            superblock.id_table,
        ];
        if !tables.is_sorted() || tables[0] < SUPERBLOCK as u64 || tables[2] > end {
            return Err(ReadError::Damaged("its tables lie outside"));
        }
        let blocks = Blocks::new(compressor);
        let mut ids = Vec::with_capacity(superblock.ids.into());
        for number in 0..u64::from(superblock.ids) {
            ids.push(list_entry(&blocks, &source, superblock.id_table, number * 4, end)?.u32()?);
        }
        let xattrs = match superblock.xattr_table {
            NO_TABLE => None,
            at => Some(XattrTable::read(&source, at, end)?),
        };
        Ok(Self {
            source,
            superblock,
            compressor,
            limits,
            blocks,
            ids,
            xattrs,
        })
    }

    /// How the image is compressed.
    pub fn compressor(&self) -> Compressor {
        self.compressor
    }

    /// Bytes of a data block before compression.
    pub fn block_size(&self) -> u32 {
        self.superblock.block_size
    }

    /// How many inodes the image says it has.
    pub fn inodes(&self) -> u32 {
        self.superblock.inodes
    }

    /// The time of the image, in seconds since 1970.
    pub fn time(&self) -> u32 {
        self.superblock.time
    }

    /// Length of the image without padding, in bytes.
    pub fn length(&self) -> u64 {
        self.superblock.bytes
    }

    /// The entry of exactly this path, no symlink followed; the empty path is the root.
    pub fn node(&self, path: &[u8]) -> Result<Node, ReadError> {
        let mut here = self.superblock.root;
        let mut name = &b""[..];
        let parts = path
            .split(|&b| b == b'/')
            .filter(|part| !matches!(*part, b"" | b"."));
        for part in parts {
            let Body::Directory(dir) = self.inode(here)?.body else {
                return Err(ReadError::NotFound(show(path)));
            };
            let mut found = None;
            self.names(&dir, &mut |entry, reference, _| {
                if entry == part {
                    found = Some(reference);
                }
                Ok(())
            })?;
            here = found.ok_or_else(|| ReadError::NotFound(show(path)))?;
            name = part;
        }
        let inode = self.inode(here)?;
        self.to_node(name, here, inode)
    }

    /// Lists one directory, by name; no symlink is followed, the empty path is the root. Reads no
    /// more than the directories on the way and the inodes of what is listed.
    pub fn list(&self, path: &[u8]) -> Result<Vec<Node>, ReadError> {
        let dir = self.node(path)?;
        let Body::Directory(dir) = self.inode(dir.inode)?.body else {
            return Err(ReadError::NotFound(show(path)));
        };
        let mut found = Vec::new();
        self.names(&dir, &mut |name, reference, class| {
            found.push((name.to_vec(), reference, class));
            Ok(())
        })?;
        let mut out = Vec::with_capacity(found.len());
        for (name, reference, class) in found {
            let inode = self.inode(reference)?;
            check_class(&inode, class)?;
            out.push(self.to_node(&name, reference, inode)?);
        }
        Ok(out)
    }

    /// The bytes of a file found before.
    pub fn read(&self, node: &Node) -> Result<impl Read + '_, ReadError> {
        let Body::File(file) = self.inode(node.inode)?.body else {
            return Err(ReadError::NotFound(show(&node.name)));
        };
        if file.size > self.limits.file {
            return Err(limit(&node.name, self.limits.file, "bytes in a file"));
        }
        Ok(FileBytes::new(self, file, Scratch::new(self)?))
    }

    fn cursor(&self, table: u64, block: u64, offset: u16) -> Result<Cursor<'_, S>, ReadError> {
        let at = table
            .checked_add(block)
            .ok_or(ReadError::Damaged("a place lies outside"))?;
        Ok(Cursor::new(
            &self.blocks,
            &self.source,
            at,
            offset,
            self.superblock.bytes,
        ))
    }

    fn inode(&self, reference: u64) -> Result<Inode, ReadError> {
        let table = self.superblock.inode_table;
        Inode::read(&mut self.cursor(table, reference >> 16, reference as u16)?)
    }

    /// Calls `each` with name, inode reference and type of everything in a directory.
    fn names(&self, dir: &Directory, each: EachName<'_>) -> Result<(), ReadError> {
        let table = self.superblock.directory_table;
        let mut cursor = self.cursor(table, dir.block.into(), dir.offset)?;
        let mut left = dir.length;
        let mut take = |bytes: u32| {
            left = left
                .checked_sub(bytes)
                .ok_or(ReadError::Damaged("a directory ends inside a name"))?;
            Ok::<_, ReadError>(left)
        };
        let mut seen = 0;
        while take(0)? > 0 {
            take(12)?;
            let (count, block, _number) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
            // The format says 256 at most; the length of the listing is the limit.
            for _ in 0..=count {
                take(8)?;
                let (offset, _distance) = (cursor.u16()?, cursor.u16()?);
                let (class, length) = (cursor.u16()?, cursor.u16()?);
                let length = u32::from(length) + 1;
                take(length)?;
                seen += 1;
                if seen > self.limits.entries {
                    return Err(limit(b"/", self.limits.entries, "entries of a directory"));
                }
                if length as usize > nd_rootfs::MAX_NAME {
                    return Err(ReadError::Damaged("a name has more than 255 bytes"));
                }
                let mut name = [0; nd_rootfs::MAX_NAME];
                let name = &mut name[..length as usize];
                cursor.read(name)?;
                each(name, u64::from(block) << 16 | u64::from(offset), class)?;
            }
        }
        Ok(())
    }

    fn attr(&self, inode: &Inode) -> Result<Attr, ReadError> {
        let id = |number: u16| {
            self.ids
                .get(usize::from(number))
                .copied()
                .ok_or(ReadError::Damaged("an owner does not exist"))
        };
        let xattrs = match (&self.xattrs, inode.xattrs) {
            (_, NONE) => Xattrs::default(),
            (None, _) => return Err(ReadError::Damaged("a set of attributes does not exist")),
            (Some(table), number) => table.set(
                number,
                &self.blocks,
                &self.source,
                self.superblock.bytes,
                self.limits.xattrs,
            )?,
        };
        Ok(Attr {
            mode: if inode.class == class::SYMLINK {
                0o777
            } else {
                inode.mode
            },
            uid: id(inode.owner)?,
            gid: id(inode.group)?,
            mtime: inode.time.into(),
            xattrs,
        })
    }

    fn to_node(&self, name: &[u8], reference: u64, inode: Inode) -> Result<Node, ReadError> {
        let attr = self.attr(&inode)?;
        let (links, class) = (inode.links, inode.class);
        let kind = match inode.body {
            Body::Directory(_) => NodeKind::Dir,
            Body::File(file) => NodeKind::File { size: file.size },
            Body::Symlink(target) => NodeKind::Symlink { target },
            Body::Nothing if class == class::FIFO => NodeKind::Fifo,
            Body::Nothing => NodeKind::Socket,
            Body::Device(number) => {
                let (major, minor) = decode_device(number);
                let class = device_class(class);
                NodeKind::Device {
                    class,
                    major,
                    minor,
                }
            }
        };
        Ok(Node {
            name: name.to_vec(),
            attr,
            kind,
            links,
            inode: reference,
        })
    }

    /// Start and size word of a fragment block.
    fn fragment(&self, number: u32) -> Result<(u64, u32), ReadError> {
        if number >= self.superblock.fragments {
            return Err(ReadError::Damaged("a fragment block does not exist"));
        }
        let list = self.superblock.fragment_table;
        let end = self.superblock.bytes;
        let byte = u64::from(number) * 16;
        let mut entry = list_entry(&self.blocks, &self.source, list, byte, end)?;
        Ok((entry.u64()?, entry.u32()?))
    }
}

fn limit(path: &[u8], limit: u64, what: &'static str) -> ReadError {
    ReadError::Limit {
        path: show(path),
        limit,
        what,
    }
}

fn device_class(number: u16) -> DeviceClass {
    if number == class::CHAR_DEVICE {
        DeviceClass::Char
    } else {
        DeviceClass::Block
    }
}

/// A listing says what its names are; the inode must be that.
fn check_class(inode: &Inode, class: u16) -> Result<(), ReadError> {
    if inode.class == class {
        Ok(())
    } else {
        Err(ReadError::Damaged(
            "a directory says that a name is what it is not",
        ))
    }
}
