//! zlib streams: made from one buffer by libdeflate, read piece by piece.

use std::io::{self, Read};

use libdeflater::{CompressionLvl, Compressor, Decompressor};

/// How hard streams are compressed, 1 to 12; the decision and its figures are ADR 0013.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateLevel(i32);

impl Default for DeflateLevel {
    fn default() -> Self {
        Self(3)
    }
}

impl DeflateLevel {
    /// A level; `None` outside 1 to 12.
    pub fn new(level: i32) -> Option<Self> {
        (1..=12).contains(&level).then_some(Self(level))
    }
}

/// Makes zlib streams; one per thread.
pub struct Deflater {
    compressor: Compressor,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

impl Deflater {
    /// A compressor of this level.
    pub fn new(level: DeflateLevel) -> Self {
        let level = CompressionLvl::new(level.0).unwrap_or_default();
        Self {
            compressor: Compressor::new(level),
            buffer: Vec::new(),
        }
    }

    /// The zlib stream of `bytes`, valid until the next call. The empty stream has the bytes that every
    /// repository has it in.
    pub fn deflate(&mut self, bytes: &[u8]) -> io::Result<&[u8]> {
        if bytes.is_empty() {
            return Ok(&EMPTY);
        }
        let bound = self.compressor.zlib_compress_bound(bytes.len());
        if self.buffer.len() < bound {
            self.buffer.resize(bound, 0);
        }
        let written = self
            .compressor
            .zlib_compress(bytes, &mut self.buffer)
            .map_err(io::Error::other)?;
        Ok(&self.buffer[..written])
    }
}

/// The compressed empty stream.
pub(crate) const EMPTY: [u8; 8] = [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1];

/// The zlib stream of `bytes` at the usual level.
pub(crate) fn deflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
    Ok(Deflater::new(DeflateLevel::default())
        .deflate(bytes)?
        .to_vec())
}

/// Reads a zlib stream of which no more than `limit` bytes come out; more is an error, as are
/// bytes behind its end.
pub(crate) fn inflate(stream: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut decoder = flate2::bufread::ZlibDecoder::new(stream);
    (&mut decoder)
        .take(limit.saturating_add(1))
        .read_to_end(&mut out)?;
    if out.len() as u64 > limit {
        let text = format!("more than {limit} bytes come out of it");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    if !decoder.into_inner().is_empty() {
        let text = "something follows its end";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(out)
}

/// Reads whole zlib streams whose length is known; one per thread.
pub(crate) struct Inflater {
    decompressor: Decompressor,
    buffer: Vec<u8>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self {
            decompressor: Decompressor::new(),
            buffer: Vec::new(),
        }
    }

    /// The bytes of `stream`, which must be exactly `length`; valid until the next call.
    pub(crate) fn inflate(&mut self, stream: &[u8], length: usize) -> io::Result<&[u8]> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let out = &mut self.buffer[..length];
        let written = (self.decompressor.zlib_decompress(stream, out))
            .map_err(|error| wrong(format!("its zlib stream is damaged: {error}")))?;
        if written != length {
            return Err(wrong(format!(
                "{written} bytes come out of it, not {length}"
            )));
        }
        Ok(&self.buffer[..length])
    }
}

#[cfg(test)]
mod tests {
    //! Round trips and limits.

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn streams_come_back(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let stream = deflate(&bytes).unwrap();
            prop_assert_eq!(&inflate(&stream, 2000).unwrap(), &bytes);
            let mut inflater = Inflater::new();
            prop_assert_eq!(inflater.inflate(&stream, bytes.len()).unwrap(), &bytes[..]);
        }
    }

    #[test]
    fn a_bomb_is_stopped_and_rubbish_is_refused() {
        let bomb = deflate(&vec![0; 1 << 20]).unwrap();
        inflate(&bomb, 1 << 20).unwrap();
        inflate(&bomb, (1 << 20) - 1).unwrap_err();
        inflate(b"no zlib", 100).unwrap_err();
        let followed = [&deflate(b"x").unwrap()[..], b"y"].concat();
        inflate(&followed, 100).unwrap_err();
        Inflater::new().inflate(&bomb, 100).unwrap_err();
        Inflater::new().inflate(&bomb, 2 << 20).unwrap_err();
    }
}
