//! Contents in a temporary file, to be read in another order than the one they are stored in.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use nd_names::Sha256;
use nd_report::Cancel;
use nd_rootfs::{ContentSink, Contents, Entry, Index, Kind, Location, Wanted};

use super::error::MinifyError;

/// Contents of an index, each once.
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    at: HashMap<Location, u64>,
}

impl Spool {
    /// Reads every content of `index` in one pass into a file without a name in `folder`.
    pub(super) fn fill(
        index: &Index,
        contents: &mut dyn Contents,
        folder: &Path,
        cancel: &Cancel,
    ) -> Result<Self, MinifyError> {
        let file = tempfile::tempfile_in(folder).map_err(MinifyError::io(folder))?;
        let mut sink = Filling {
            file: io::BufWriter::with_capacity(1 << 20, file),
            at: HashMap::new(),
            end: 0,
            cancel,
        };
        contents.visit(&Wanted::every_location(index), &mut sink)?;
        cancel.check()?;
        let file = sink
            .file
            .into_inner()
            .map_err(|error| MinifyError::io(folder)(error.into_error()))?;
        Ok(Self {
            file: Arc::new(file),
            at: sink.at,
        })
    }

    /// The content of a file.
    pub(super) fn open(&self, entry: &Entry) -> io::Result<Box<dyn Read>> {
        let Kind::File { size, at, .. } = entry.kind else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let start = *self.at.get(&at).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Piece {
            file: Arc::clone(&self.file),
            at: start,
            end: start + size,
        }))
    }
}

struct Filling<'a> {
    file: io::BufWriter<File>,
    at: HashMap<Location, u64>,
    end: u64,
    cancel: &'a Cancel,
}

impl ContentSink for Filling<'_> {
    fn file(
        &mut self,
        at: Location,
        size: u64,
        _: &Sha256,
        bytes: &mut dyn Read,
    ) -> io::Result<()> {
        if self.cancel.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let copied = io::copy(bytes, &mut self.file)?;
        if copied != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at.insert(at, self.end);
        self.end += size;
        Ok(())
    }
}

/// A part of a file, read from where nobody else's reading moves it.
struct Piece {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for Piece {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Copies a range of a file to `out`.
pub(super) fn copy_range(
    file: &File,
    start: u64,
    length: u64,
    out: &mut (impl io::Write + io::Seek),
) -> io::Result<()> {
    let mut file = file.try_clone()?;
    file.seek(SeekFrom::Start(start))?;
    let copied = io::copy(&mut file.take(length), out)?;
    out.flush()?;
    if copied == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
