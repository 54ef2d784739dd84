//! One member: its header with the extra field, the packed bytes, checksum and length.

use std::io;

use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// Bytes of a member before compression; only the last one of a file has fewer.
pub(super) const MEMBER: usize = 1 << 20;
/// Bytes before the packed ones.
pub(super) const HEADER: usize = 20;
/// Bytes after the packed ones: CRC-32 and length.
const TRAILER: usize = 8;
/// More than any member of ours has after its header, since incompressible bytes are stored.
const MOST: usize = MEMBER + MEMBER / 8;
/// Magic, deflate, `FEXTRA`, no time, no hint, unknown system, and an extra field of eight bytes:
/// subfield `ND` with four bytes, the length of what follows the header.
const START: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, b'N', b'D', 4, 0];
/// Packs as small as level 6 of zlib, in half the time.
const LEVEL: i32 = 4;

/// Packs members.
pub(super) fn packer() -> impl FnMut(Vec<u8>) -> io::Result<Vec<u8>> + Send + 'static {
    let level = CompressionLvl::new(LEVEL).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    move |plain| {
        let mut out = vec![0; HEADER + compressor.deflate_compress_bound(plain.len()) + TRAILER];
        let packed = compressor
            .deflate_compress(&plain, &mut out[HEADER..])
            .map_err(io::Error::other)?;
        out.truncate(HEADER + packed);
        out.extend(libdeflater::crc32(&plain).to_le_bytes());
        out.extend((plain.len() as u32).to_le_bytes());
        out[..START.len()].copy_from_slice(&START);
        out[START.len()..HEADER].copy_from_slice(&((packed + TRAILER) as u32).to_le_bytes());
        Ok(out)
    }
}

/// How many bytes follow this header; `None` when it is not one of ours.
pub(super) fn length(header: &[u8]) -> Option<usize> {
    let length = header.strip_prefix(&START)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    (TRAILER..=MOST).contains(&length).then_some(length)
}

/// Unpacks what follows the header of a member of ours.
pub(super) fn unpacker() -> impl FnMut(Vec<u8>) -> io::Result<Vec<u8>> + Send + 'static {
    let mut decompressor = Decompressor::new();
    move |member| {
        let (packed, trailer) = member
            .split_last_chunk::<TRAILER>()
            .ok_or_else(|| damaged("is too short"))?;
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MEMBER {
            return Err(damaged("is longer than members are"));
        }
        let mut plain = vec![0; length];
        let got = decompressor
            .deflate_decompress(packed, &mut plain)
            .map_err(|_| damaged("cannot be unpacked"))?;
        if got != length || libdeflater::crc32(&plain) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(damaged("has another checksum than it says"));
        }
        Ok(plain)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a gzip member {what}"))
}
