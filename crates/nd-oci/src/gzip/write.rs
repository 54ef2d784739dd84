//! Writing members.

use std::io::{self, Write};

use super::{
    ahead::Ahead,
    member::{MEMBER, packer},
};

/// A compressing writer.
pub(crate) struct GzipWriter<W> {
    out: W,
    member: Vec<u8>,
    written: bool,
    ahead: Ahead,
}

impl<W: Write> GzipWriter<W> {
    pub(crate) fn new(out: W) -> io::Result<Self> {
        Ok(Self {
            out,
            member: Vec::with_capacity(MEMBER),
            written: false,
            ahead: Ahead::start(packer)?,
        })
    }

    /// Writes what is still under way. A file without bytes has one member, too.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.member.is_empty() || !self.written {
            self.submit()?;
        }
        while let Some(packed) = self.ahead.take() {
            self.out.write_all(&packed?)?;
        }
        Ok(self.out)
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.ahead.is_full()
            && let Some(packed) = self.ahead.take()
        {
            self.out.write_all(&packed?)?;
        }
        let member = std::mem::replace(&mut self.member, Vec::with_capacity(MEMBER));
        self.written = true;
        self.ahead.submit(member)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(MEMBER - self.member.len());
        self.member.extend_from_slice(&bytes[..n]);
        if self.member.len() == MEMBER {
            self.submit()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
