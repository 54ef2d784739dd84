//! Reading a SIF file.

use std::{collections::HashSet, fs::File, io, os::unix::fs::FileExt as _};

use crate::{
    SifError,
    format::{DESCRIPTOR, DataType, Descriptor, Extra, HEADER, Header, PartType},
};

/// More descriptors than any file has.
const MOST: u64 = 4096;

/// An open SIF file, its table checked: numbers are unique, objects lie inside the file.
#[derive(Debug)]
pub struct Sif {
    file: File,
    header: Header,
    descriptors: Vec<Descriptor>,
}

impl Sif {
    /// Reads and checks header and descriptors.
    pub fn open(file: File) -> Result<Self, SifError> {
        let length = file.metadata().map_err(read("the length"))?.len();
        let mut head = [0; HEADER];
        match file.read_exact_at(&mut head, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(SifError::NotSif);
            }
            Err(error) => return Err(read("the header")(error)),
        }
        let header = Header::decode(&head)
            .ok_or(SifError::NotSif)?
            .map_err(SifError::Version)?;
        if header.total > MOST || header.free > header.total {
            return Err(SifError::Damaged(
                "it has an odd number of descriptors".into(),
            ));
        }
        let table = header
            .descriptors
            .checked_add(header.total * DESCRIPTOR as u64);
        if header.descriptors < HEADER as u64 || table.is_none_or(|end| end > length) {
            return Err(SifError::Damaged("its descriptors lie outside".into()));
        }
        let mut descriptors: Vec<Descriptor> = Vec::new();
        let mut seen = HashSet::new();
        for number in 0..header.total {
            let mut bytes = [0; DESCRIPTOR];
            let at = header.descriptors + number * DESCRIPTOR as u64;
            file.read_exact_at(&mut bytes, at)
                .map_err(read("a descriptor"))?;
            let Some(descriptor) = Descriptor::decode(&bytes) else {
                continue;
            };
            let one = descriptor.map_err(SifError::Damaged)?;
            let end = one.offset.checked_add(one.size);
            if one.offset < HEADER as u64 || end.is_none_or(|end| end > length) {
                let problem = format!("object {} lies outside the file", one.id);
                return Err(SifError::Damaged(problem));
            }
            if !seen.insert(one.id) {
                return Err(SifError::Damaged(format!("object {} stands twice", one.id)));
            }
            descriptors.push(one);
        }
        Ok(Self {
            file,
            header,
            descriptors,
        })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All objects, as the file lists them.
    pub fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    /// The partition that is the system.
    pub fn primary_partition(&self) -> Option<&Descriptor> {
        let primary = |extra: &Extra| {
            matches!(
                extra,
                Extra::Partition {
                    part: PartType::PrimarySystem,
                    ..
                }
            )
        };
        self.descriptors.iter().find(|one| primary(&one.extra))
    }

    /// The first object of this type and name.
    pub fn find(&self, data: DataType, name: &str) -> Option<&Descriptor> {
        (self.descriptors.iter()).find(|one| one.data == data && one.name == name)
    }

    /// Whether there is a signature of anything. It is not checked here.
    pub fn is_signed(&self) -> bool {
        (self.descriptors.iter()).any(|one| one.data == DataType::Signature)
    }

    /// The bytes of an object of at most `limit` bytes.
    pub fn read(&self, object: &Descriptor, limit: u64) -> Result<Vec<u8>, SifError> {
        if object.size > limit {
            return Err(SifError::TooLong {
                id: object.id,
                size: object.size,
                limit,
            });
        }
        let mut bytes = vec![0; object.size as usize];
        self.file
            .read_exact_at(&mut bytes, object.offset)
            .map_err(read(&format!("object {}", object.id)))?;
        Ok(bytes)
    }

    /// The file, to read a partition in its place.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file back.
    pub fn into_file(self) -> File {
        self.file
    }
}

fn read(what: &str) -> impl FnOnce(io::Error) -> SifError {
    let what = what.to_owned();
    move |source| SifError::Read { what, source }
}
