//! How blocks are compressed: zstd and gzip both ways, other compressions by name only.

use std::io;

/// How a new image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard, level 1 to 22. Kernels since 4.14 read it.
    Zstd(u8),
    /// gzip (zlib streams), level 1 to 9. Everything reads it.
    Gzip(u8),
}

impl Compression {
    /// The number in the superblock.
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Gzip(_) => 1,
            Self::Zstd(_) => 6,
        }
    }

    /// Whether the level exists.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Zstd(level) => (1..=22).contains(&level),
            Self::Gzip(level) => (1..=9).contains(&level),
        }
    }

    /// What stands after the superblock so that tools can tell the level.
    pub(crate) fn options(self) -> Vec<u8> {
        match self {
            Self::Zstd(level) => u32::from(level).to_le_bytes().to_vec(),
            Self::Gzip(level) => {
                let mut out = u32::from(level).to_le_bytes().to_vec();
                // Window of 15 bits, no strategies.
                out.extend(15_u16.to_le_bytes());
                out.extend(0_u16.to_le_bytes());
                out
            }
        }
    }
}

/// How an image that is read is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compressor {
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compressor {
    /// By the number in the superblock; the name of the compression if we do not read it.
    pub(crate) fn of_number(number: u16) -> Result<Self, &'static str> {
        match number {
            1 => Ok(Self::Gzip),
            2 => Err("lzma"),
            3 => Err("lzo"),
            4 => Err("xz"),
            5 => Err("lz4"),
            6 => Ok(Self::Zstd),
            _ => Err("unknown"),
        }
    }
}

/// Compresses blocks one by one; each depends on nothing but its own bytes and the level.
pub(crate) enum Packer {
    Zstd(zstd::bulk::Compressor<'static>),
    Gzip(flate2::Compress),
}

impl Packer {
    pub(crate) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            // One context per thread and no workers inside it: a block's bytes depend on no timing.
            Compression::Zstd(level) => Self::Zstd(zstd::bulk::Compressor::new(i32::from(level))?),
            Compression::Gzip(level) => Self::Gzip(flate2::Compress::new(
                flate2::Compression::new(u32::from(level)),
                true,
            )),
        })
    }

    /// Compresses `block` into `out`, which is emptied before. Gives `false`, and nothing of use in
    /// `out`, if that would not make it smaller.
    pub(crate) fn pack(&mut self, block: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        out.clear();
        match self {
            Self::Zstd(packer) => {
                // With room for the worst case zstd need not check its bounds, and is faster.
                out.reserve(zstd::zstd_safe::compress_bound(block.len()));
                packer.compress_to_buffer(block, out)?;
            }
            Self::Gzip(packer) => {
                out.reserve(block.len());
                packer.reset();
                let status = packer
                    .compress_vec(block, out, flate2::FlushCompress::Finish)
                    .map_err(io::Error::other)?;
                if status != flate2::Status::StreamEnd {
                    return Ok(false);
                }
            }
        }
        Ok(out.len() < block.len())
    }
}

/// Unpacks blocks one by one into at most as many bytes as the caller allows.
pub(crate) enum Unpacker {
    Zstd(zstd::bulk::Decompressor<'static>),
    Gzip(flate2::Decompress),
}

impl Unpacker {
    pub(crate) fn new(compressor: Compressor) -> io::Result<Self> {
        Ok(match compressor {
            Compressor::Zstd => Self::Zstd(zstd::bulk::Decompressor::new()?),
            Compressor::Gzip => Self::Gzip(flate2::Decompress::new(true)),
        })
    }

    /// Unpacks `block` into `out`, which is emptied before; more than `most` bytes are an error.
    pub(crate) fn unpack(
        &mut self,
        block: &[u8],
        out: &mut Vec<u8>,
        most: usize,
    ) -> io::Result<()> {
        out.clear();
        if out.capacity() < most {
            out.reserve_exact(most);
        }
        match self {
            Self::Zstd(unpacker) => {
                unpacker.decompress_to_buffer(block, out)?;
            }
            Self::Gzip(unpacker) => {
                unpacker.reset(true);
                let status = unpacker
                    .decompress_vec(block, out, flate2::FlushDecompress::Finish)
                    .map_err(io::Error::other)?;
                if status != flate2::Status::StreamEnd {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        if out.len() > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }
}
