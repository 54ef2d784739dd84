//! Numbers of the format: squashfs 4.0, little-endian throughout.

/// First bytes of an image: `hsqs`.
pub(crate) const MAGIC: u32 = 0x7371_7368;
/// Length of the superblock.
pub(crate) const SUPERBLOCK: usize = 96;
/// Uncompressed length of a full metadata block.
pub(crate) const METADATA: usize = 8192;
/// In the length of a metadata block: stored uncompressed.
pub(crate) const METADATA_RAW: u16 = 0x8000;
/// In the length of a data block: stored uncompressed.
pub(crate) const BLOCK_RAW: u32 = 1 << 24;
/// No fragment, no extended attributes.
pub(crate) const NONE: u32 = u32::MAX;
/// A table that is not there.
pub(crate) const NO_TABLE: u64 = u64::MAX;
/// Images are padded to a multiple of this, which loop devices need.
pub(crate) const PADDING: u64 = 4096;
/// The smallest and the largest block size.
pub(crate) const BLOCK_SIZES: std::ops::RangeInclusive<u32> = 4096..=1 << 20;
/// Entries after one directory header.
pub(crate) const DIRECTORY_RUN: usize = 256;
/// What a directory's size says beyond the length of its listing.
pub(crate) const DIRECTORY_EXTRA: u32 = 3;

pub(crate) mod flags {
    //! Flags of the superblock.
    pub(crate) const NO_FRAGMENTS: u16 = 0x0010;
    pub(crate) const DUPLICATES: u16 = 0x0040;
    pub(crate) const EXPORTABLE: u16 = 0x0080;
    pub(crate) const NO_XATTRS: u16 = 0x0200;
    pub(crate) const COMPRESSOR_OPTIONS: u16 = 0x0400;
}

pub(crate) mod inode {
    //! Types of inodes; the extended form of type `n` is `n + EXTENDED`.
    pub(crate) const DIRECTORY: u16 = 1;
    pub(crate) const FILE: u16 = 2;
    pub(crate) const SYMLINK: u16 = 3;
    pub(crate) const BLOCK_DEVICE: u16 = 4;
    pub(crate) const CHAR_DEVICE: u16 = 5;
    pub(crate) const FIFO: u16 = 6;
    pub(crate) const SOCKET: u16 = 7;
    pub(crate) const EXTENDED: u16 = 7;
}

/// Prefixes of names of extended attributes; the position is the number in the image.
pub(crate) const XATTR_PREFIXES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
/// In the type of an extended attribute: the value stands elsewhere.
pub(crate) const XATTR_OUT_OF_LINE: u16 = 0x0100;

/// The fixed block at the start of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) inodes: u32,
    pub(crate) time: u32,
    pub(crate) block_size: u32,
    pub(crate) fragments: u32,
    pub(crate) compressor: u16,
    pub(crate) flags: u16,
    pub(crate) ids: u16,
    pub(crate) root: u64,
    pub(crate) bytes: u64,
    pub(crate) id_table: u64,
    pub(crate) xattr_table: u64,
    pub(crate) inode_table: u64,
    pub(crate) directory_table: u64,
    pub(crate) fragment_table: u64,
    pub(crate) export_table: u64,
}

impl Superblock {
    pub(crate) fn encode(&self) -> [u8; SUPERBLOCK] {
        let mut out = Vec::with_capacity(SUPERBLOCK);
        for word in [
            MAGIC,
            self.inodes,
            self.time,
            self.block_size,
            self.fragments,
        ] {
            out.extend(word.to_le_bytes());
        }
        let log = self.block_size.trailing_zeros() as u16;
        for half in [self.compressor, log, self.flags, self.ids, 4, 0] {
            out.extend(half.to_le_bytes());
        }
        for long in [
            self.root,
            self.bytes,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            out.extend(long.to_le_bytes());
        }
        let mut bytes = [0; SUPERBLOCK];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// Gives `None` for anything that is no superblock of version 4.0.
    pub(crate) fn decode(bytes: &[u8; SUPERBLOCK]) -> Option<Self> {
        let mut at = Bytes(bytes);
        if at.u32()? != MAGIC {
            return None;
        }
        let (inodes, time, block_size, fragments) = (at.u32()?, at.u32()?, at.u32()?, at.u32()?);
        let (compressor, log, flags, ids) = (at.u16()?, at.u16()?, at.u16()?, at.u16()?);
        if (at.u16()?, at.u16()?) != (4, 0)
            || !BLOCK_SIZES.contains(&block_size)
            || 1_u32.checked_shl(log.into()) != Some(block_size)
        {
            return None;
        }
        Some(Self {
            inodes,
            time,
            block_size,
            fragments,
            compressor,
            flags,
            ids,
            root: at.u64()?,
            bytes: at.u64()?,
            id_table: at.u64()?,
            xattr_table: at.u64()?,
            inode_table: at.u64()?,
            directory_table: at.u64()?,
            fragment_table: at.u64()?,
            export_table: at.u64()?,
        })
    }
}

/// Takes numbers off the front of bytes.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

/// A device number as inodes hold it.
pub(crate) fn encode_device(major: u32, minor: u32) -> Option<u32> {
    (major < 1 << 12 && minor < 1 << 20)
        .then_some((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}

/// Major and minor number of a device.
pub(crate) fn decode_device(number: u32) -> (u32, u32) {
    (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0x000f_ff00),
    )
}

#[cfg(test)]
mod tests {
    //! Encoding is decoding backwards.

    use super::*;

    #[test]
    fn device_numbers_and_superblocks_survive() {
        for (major, minor) in [(0, 6), (1, 3), (259, 70_000), (4095, (1 << 20) - 1)] {
            let number = encode_device(major, minor).unwrap();
            assert_eq!(decode_device(number), (major, minor));
        }
        assert_eq!(encode_device(4096, 0), None);
        assert_eq!(encode_device(0, 1 << 20), None);
        let one = Superblock {
            inodes: 1,
            time: 2,
            block_size: 1 << 17,
            fragments: 3,
            compressor: 6,
            flags: 4,
            ids: 5,
            root: 6,
            bytes: 7,
            id_table: 8,
            xattr_table: 9,
            inode_table: 10,
            directory_table: 11,
            fragment_table: 12,
            export_table: 13,
        };
        let bytes = one.encode();
        assert_eq!(Superblock::decode(&bytes), Some(one));
        for at in [0, 12, 22, 28, 30] {
            let mut bad = bytes;
            bad[at] ^= 0x40;
            assert_eq!(Superblock::decode(&bad), None, "byte {at}");
        }
    }
}
