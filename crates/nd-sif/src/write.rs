//! Writing a SIF file: objects as they come, then descriptors, the header last.

use std::io::{self, Seek, SeekFrom, Write};

use nd_names::{Architecture, Sha256};
use uuid::Uuid;

use crate::{
    SifError,
    format::{
        DATA, DESCRIPTOR, DESCRIPTORS, DataType, Descriptor, Extra, FsType, HEADER, Header,
        INSPECT_METADATA, LAUNCH, Link, NAME, PARTITION_ALIGNMENT, PartType, TOTAL,
    },
};

/// What a new file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SifOptions {
    /// The architecture of its programs.
    pub architecture: Architecture,
    /// Identity of the file; see [`id_of`].
    pub id: Uuid,
    /// The time of the file and all objects, in seconds since 1970.
    pub time: i64,
}

/// An identity that follows from a digest, so that equal content gives equal files.
pub fn id_of(digest: &Sha256) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_bytes()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// What an object is, besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSpec {
    /// Its type.
    pub data: DataType,
    /// Its name, at most 127 bytes; may be empty.
    pub name: String,
    /// Its group; one signature covers a group.
    pub group: Option<u32>,
    /// What it belongs to.
    pub link: Link,
    /// What its type adds.
    pub extra: Extra,
}

impl ObjectSpec {
    /// An object of group 1, which `apptainer sign` signs unless told otherwise.
    pub fn new(data: DataType, name: impl Into<String>) -> Self {
        Self {
            data,
            name: name.into(),
            group: Some(1),
            link: Link::None,
            extra: Extra::None,
        }
    }

    /// The squashfs partition that is the system, in group 1.
    pub fn squashfs(architecture: Architecture) -> Self {
        Self {
            extra: Extra::Partition {
                fs: FsType::Squashfs,
                part: PartType::PrimarySystem,
                architecture: Some(architecture),
            },
            ..Self::new(DataType::Partition, "")
        }
    }
}

/// Writes a SIF file from the current position of its output on.
///
/// The header, with the magic number, is written by [`SifWriter::finish`] after everything else:
/// what a killed process leaves behind is no SIF file.
#[derive(Debug)]
pub struct SifWriter<'a, W> {
    out: &'a mut W,
    options: SifOptions,
    start: u64,
    /// End of the last object, from `start`.
    end: u64,
    descriptors: Vec<Descriptor>,
}

impl<'a, W: Write + Seek> SifWriter<'a, W> {
    /// Leaves room for header and descriptors.
    pub fn new(out: &'a mut W, options: SifOptions) -> Result<Self, SifError> {
        let start = out.stream_position().map_err(SifError::Write)?;
        zeros(out, DATA).map_err(SifError::Write)?;
        Ok(Self {
            out,
            options,
            start,
            end: DATA,
            descriptors: Vec::new(),
        })
    }

    /// Writes an object; gives its number.
    pub fn put(&mut self, spec: ObjectSpec, bytes: &[u8]) -> Result<u32, SifError> {
        self.put_with(spec, |out| out.write_all(bytes).map_err(SifError::Write))?;
        Ok(self.descriptors.len() as u32)
    }

    /// Writes an object whose bytes `write` puts out from the current position on, leaving the
    /// position at their end. A partition starts at a multiple of 4,096. Gives what `write` gives;
    /// the object's number is the number of objects so far.
    pub fn put_with<T, E: From<SifError>>(
        &mut self,
        spec: ObjectSpec,
        write: impl FnOnce(&mut W) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.descriptors.len() == TOTAL {
            return Err(SifError::TooMany(TOTAL).into());
        }
        if spec.name.len() >= NAME || spec.name.contains('\0') {
            return Err(SifError::Name(spec.name).into());
        }
        let offset = match spec.data {
            DataType::Partition => self.end.next_multiple_of(PARTITION_ALIGNMENT),
            _ => self.end,
        };
        // An object that failed half-way is written over.
        self.out
            .seek(SeekFrom::Start(self.start + self.end))
            .and_then(|_| zeros(self.out, offset - self.end))
            .map_err(SifError::Write)?;
        let given = write(self.out)?;
        let position = self.out.stream_position().map_err(SifError::Write)?;
        let end = (position.checked_sub(self.start))
            .filter(|&end| end >= offset)
            .ok_or_else(|| SifError::Write(io::ErrorKind::InvalidInput.into()))?;
        self.descriptors.push(Descriptor {
            id: self.descriptors.len() as u32 + 1,
            data: spec.data,
            group: spec.group,
            link: spec.link,
            offset,
            size: end - offset,
            size_with_padding: end - self.end,
            created: self.options.time,
            modified: self.options.time,
            name: spec.name,
            extra: spec.extra,
        });
        self.end = end;
        Ok(given)
    }

    /// Writes the two objects that runtimes look for besides the partition: the `definition`, and what
    /// `inspect` tells (JSON).
    pub fn put_about(&mut self, definition: &str, inspect: &str) -> Result<(), SifError> {
        self.put(
            ObjectSpec::new(DataType::DefFile, ""),
            definition.as_bytes(),
        )?;
        let spec = ObjectSpec::new(DataType::GenericJson, INSPECT_METADATA);
        self.put(spec, inspect.as_bytes())?;
        Ok(())
    }

    /// Descriptors of the objects so far.
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    /// Writes the descriptors, then the header; gives the length of the file, where the position of
    /// the output is left.
    pub fn finish(self) -> Result<u64, SifError> {
        let mut table: Vec<u8> = Vec::with_capacity(TOTAL * DESCRIPTOR);
        for descriptor in &self.descriptors {
            table.extend(descriptor.encode());
        }
        let header = Header {
            launch: LAUNCH.to_owned(),
            architecture: Some(self.options.architecture),
            id: self.options.id,
            created: self.options.time,
            modified: self.options.time,
            free: (TOTAL - self.descriptors.len()) as u64,
            total: TOTAL as u64,
            descriptors: DESCRIPTORS,
            data: DATA,
            data_size: self.end - DATA,
        };
        let (start, end, out) = (self.start, self.end, self.out);
        let mut write = || {
            out.flush()?;
            out.seek(SeekFrom::Start(start + DESCRIPTORS))?;
            out.write_all(&table)?;
            out.flush()?;
            out.seek(SeekFrom::Start(start))?;
            let header = header.encode();
            debug_assert_eq!(header.len(), HEADER);
            out.write_all(&header)?;
            out.seek(SeekFrom::Start(start + end))?;
            out.flush()
        };
        write().map_err(SifError::Write)?;
        Ok(end)
    }
}

fn zeros(out: &mut impl Write, count: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), count), out).map(|_| ())
}
