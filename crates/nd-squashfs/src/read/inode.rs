//! Inodes as they stand in the image.

use super::{ReadAt, ReadError, metadata::Cursor};
use crate::format::{DIRECTORY_EXTRA, NONE, inode};

/// What every inode has, and what its kind adds.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) mode: u16,
    /// Positions in the table of owners.
    pub(super) owner: u16,
    pub(super) group: u16,
    pub(super) time: u32,
    pub(super) links: u32,
    /// Number of the set of extended attributes, or [`NONE`].
    pub(super) xattrs: u32,
    /// The basic type.
    pub(super) class: u16,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Directory(Directory),
    File(File),
    Symlink(Vec<u8>),
    /// Encoded device number.
    Device(u32),
    /// Fifo or socket.
    Nothing,
}

/// Where a listing is: block relative to the directory table, offset, length in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory {
    pub(super) block: u32,
    pub(super) offset: u16,
    pub(super) length: u32,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    pub(super) size: u64,
    pub(super) start: u64,
    pub(super) fragment: u32,
    pub(super) offset: u32,
    /// Where the list of block sizes begins: block of metadata, offset in it.
    pub(super) list: (u64, u16),
}

impl File {
    /// How many blocks the list has.
    pub(super) fn blocks(&self, block_size: u32) -> u64 {
        if self.fragment == NONE {
            self.size.div_ceil(block_size.into())
        } else {
            self.size / u64::from(block_size)
        }
    }
}

impl Inode {
    pub(super) fn read<S: ReadAt>(cursor: &mut Cursor<'_, S>) -> Result<Self, ReadError> {
        let kind = cursor.u16()?;
        let (mode, owner, group) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
        let (time, _number) = (cursor.u32()?, cursor.u32()?);
        let extended = kind > inode::EXTENDED;
        let class = if extended {
            kind - inode::EXTENDED
        } else {
            kind
        };
        let (mut links, mut xattrs) = (1, NONE);
        let body = match (class, extended) {
            (inode::DIRECTORY, false) => {
                let block = cursor.u32()?;
                links = cursor.u32()?;
                let size = u32::from(cursor.u16()?);
                let offset = cursor.u16()?;
                let _parent = cursor.u32()?;
                Body::Directory(Directory {
                    block,
                    offset,
                    length: size.saturating_sub(DIRECTORY_EXTRA),
                })
            }
            (inode::DIRECTORY, true) => {
                links = cursor.u32()?;
                let (size, block, _parent) = (cursor.u32()?, cursor.u32()?, cursor.u32()?);
                let (_indexes, offset) = (cursor.u16()?, cursor.u16()?);
                xattrs = cursor.u32()?;
                Body::Directory(Directory {
                    block,
                    offset,
                    length: size.saturating_sub(DIRECTORY_EXTRA),
                })
            }
            (inode::FILE, false) => {
                let start = cursor.u32()?.into();
                let (fragment, offset) = (cursor.u32()?, cursor.u32()?);
                let size = cursor.u32()?.into();
                Body::File(File {
                    size,
                    start,
                    fragment,
                    offset,
                    list: cursor.place(),
                })
            }
            (inode::FILE, true) => {
                let (start, size, _sparse) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
                links = cursor.u32()?;
                let (fragment, offset) = (cursor.u32()?, cursor.u32()?);
                xattrs = cursor.u32()?;
                Body::File(File {
                    size,
                    start,
                    fragment,
                    offset,
                    list: cursor.place(),
                })
            }
            (inode::SYMLINK, _) => {
                links = cursor.u32()?;
                let length = cursor.u32()? as usize;
                if length > nd_rootfs::MAX_TARGET {
                    return Err(ReadError::Damaged(
                        "a symlink has a target of over 4,095 bytes",
                    ));
                }
                let target = cursor.vec(length)?;
                if extended {
                    xattrs = cursor.u32()?;
                }
                Body::Symlink(target)
            }
            (inode::CHAR_DEVICE | inode::BLOCK_DEVICE, _) => {
                links = cursor.u32()?;
                let number = cursor.u32()?;
                if extended {
                    xattrs = cursor.u32()?;
                }
                Body::Device(number)
            }
            (inode::FIFO | inode::SOCKET, _) => {
                links = cursor.u32()?;
                if extended {
                    xattrs = cursor.u32()?;
                }
                Body::Nothing
            }
            _ => return Err(ReadError::Damaged("an inode has an unknown type")),
        };
        Ok(Self {
            mode: mode & 0o7777,
            owner,
            group,
            time,
            links,
            xattrs,
            class,
            body,
        })
    }
}
