//! Sparse files: a map of pieces, read as the logical bytes.

use std::io::{self, Read};

/// A piece of data: logical offset and length.
pub(super) type Piece = (u64, u64);

/// Checks a map against the logical size and the stored size.
pub(super) fn check(map: &[Piece], logical: u64, stored: u64) -> Result<(), &'static str> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for &(offset, length) in map {
        let next = offset
            .checked_add(length)
            .ok_or("a sparse map that overflows")?;
        if offset < end || next > logical {
            return Err("a sparse map out of order or beyond its file");
        }
        end = next;
        sum += length;
    }
    if sum == stored {
        Ok(())
    } else {
        Err("a sparse map that does not match its data")
    }
}

/// Pairs of decimal numbers.
pub(super) fn pairs<'a>(mut numbers: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Piece>> {
    let mut out = Vec::new();
    while let Some(offset) = numbers.next() {
        out.push((
            super::pax::digits(offset)?,
            super::pax::digits(numbers.next()?)?,
        ));
    }
    Some(out)
}

/// Reads `data`, the stored pieces one after another, as the logical file.
#[derive(Debug)]
pub(super) struct Expand<'a, R> {
    pub(super) data: R,
    pub(super) map: &'a [Piece],
    pub(super) at: u64,
    pub(super) size: u64,
}

impl<R: Read> Read for Expand<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some((&(offset, length), rest)) = self.map.split_first() {
            if self.at < offset + length {
                break;
            }
            self.map = rest;
        }
        let left = match self.map.first() {
            Some(&(offset, _)) if self.at < offset => offset - self.at,
            Some(&(offset, length)) => {
                let left = (offset + length - self.at).min(buf.len() as u64) as usize;
                let n = self.data.read(&mut buf[..left])?;
                if n == 0 && left > 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.at += n as u64;
                return Ok(n);
            }
            None => self.size - self.at,
        };
        let n = left.min(buf.len() as u64) as usize;
        buf[..n].fill(0);
        self.at += n as u64;
        Ok(n)
    }
}
