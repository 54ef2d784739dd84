//! Reading any gzip file, members of ours beside each other.

use std::io::{self, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

use super::{
    ahead::Ahead,
    member::{HEADER, length, unpacker},
};

/// Unpacks while it is read. Nothing here limits how much comes out: the caller does.
pub(crate) struct GzipReader<R> {
    rest: Rest<R>,
    ahead: Option<Ahead>,
    plain: Cursor<Vec<u8>>,
}

/// Members one after the other, the first of them with a header that was read already.
type Members<R> = MultiGzDecoder<io::Chain<Cursor<Vec<u8>>, BufReader<R>>>;

/// What has not been looked at.
enum Rest<R> {
    /// The next member may be one of ours.
    Members(BufReader<R>),
    /// From here on, members one after the other.
    Other(Box<Members<R>>),
    End,
}

impl<R: Read> GzipReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            rest: Rest::Members(BufReader::with_capacity(1 << 16, input)),
            ahead: None,
            plain: Cursor::default(),
        }
    }

    /// Hands members of ours to the threads until enough are under way.
    fn look_ahead(&mut self) -> io::Result<()> {
        while let Rest::Members(input) = &mut self.rest {
            if self.ahead.as_ref().is_some_and(Ahead::is_full) {
                return Ok(());
            }
            let mut header = Vec::with_capacity(HEADER);
            input.take(HEADER as u64).read_to_end(&mut header)?;
            if let Some(length) = length(&header) {
                let mut member = Vec::with_capacity(length);
                input.take(length as u64).read_to_end(&mut member)?;
                if member.len() < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let ahead = match &mut self.ahead {
                    Some(ahead) => ahead,
                    none => none.insert(Ahead::start(unpacker)?),
                };
                ahead.submit(member)?;
            } else if let Rest::Members(input) = std::mem::replace(&mut self.rest, Rest::End)
                && (self.ahead.is_none() || !header.is_empty())
            {
                let rest = Cursor::new(header).chain(input);
                self.rest = Rest::Other(Box::new(MultiGzDecoder::new(rest)));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for GzipReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.plain.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            self.look_ahead()?;
            if let Some(plain) = self.ahead.as_mut().and_then(Ahead::take) {
                self.plain = Cursor::new(plain?);
            } else if let Rest::Other(decoder) = &mut self.rest {
                return decoder.read(buf);
            } else {
                return Ok(0);
            }
        }
    }
}
