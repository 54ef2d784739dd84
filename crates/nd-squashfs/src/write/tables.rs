//! Tables besides inodes and directories: owners, extended attributes, and lists of places.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use nd_rootfs::Xattrs;

use super::metadata::Metadata;
use crate::{
    compression::Packer,
    format::{NONE, XATTR_PREFIXES},
};

/// Owners and groups, numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Ids {
    numbers: HashMap<u32, u16>,
    pub(super) list: Vec<u32>,
}

impl Ids {
    /// The number of an owner or group; `None` when there are too many.
    pub(super) fn number(&mut self, id: u32) -> Option<u16> {
        if let Some(&number) = self.numbers.get(&id) {
            return Some(number);
        }
        // The count of all stands in 16 bits.
        let number = u16::try_from(self.list.len())
            .ok()
            .filter(|&n| n < u16::MAX)?;
        self.numbers.insert(id, number);
        self.list.push(id);
        Some(number)
    }
}

/// Sets of extended attributes, equal ones once.
#[derive(Debug, Default)]
pub(super) struct XattrSets {
    numbers: HashMap<Vec<u8>, u32>,
    pairs: Metadata,
    /// Per set: place, how many attributes, length of the list of their names.
    sets: Vec<(u64, u32, u32)>,
}

impl XattrSets {
    /// The number of a set, or [`NONE`] for an empty one. Attributes without a known prefix are left
    /// out; `dropped` is told their names.
    pub(super) fn number(
        &mut self,
        xattrs: &Xattrs,
        packer: &mut Packer,
        dropped: &mut dyn FnMut(&[u8]),
    ) -> io::Result<u32> {
        let mut bytes = Vec::new();
        let (mut count, mut names) = (0_u32, 0_u32);
        for (name, value) in xattrs.iter() {
            let known = (0_u16..).zip(XATTR_PREFIXES).find_map(|(number, prefix)| {
                let rest = name.strip_prefix(prefix)?;
                (!rest.is_empty()).then_some((number, rest))
            });
            let Some((prefix, rest)) = known else {
                dropped(name);
                continue;
            };
            bytes.extend(prefix.to_le_bytes());
            bytes.extend((rest.len() as u16).to_le_bytes());
            bytes.extend_from_slice(rest);
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(value);
            count += 1;
            names += name.len() as u32 + 1;
        }
        if count == 0 {
            return Ok(NONE);
        }
        if let Some(&number) = self.numbers.get(&bytes) {
            return Ok(number);
        }
        let number = self.sets.len() as u32;
        self.sets
            .push((self.pairs.place().reference(), count, names));
        self.pairs.write(&bytes, packer)?;
        self.numbers.insert(bytes, number);
        Ok(number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Writes pairs, sets and their list; gives the position of the list, `position` moves on.
    pub(super) fn write(
        mut self,
        out: &mut impl Write,
        position: &mut u64,
        packer: &mut Packer,
    ) -> io::Result<u64> {
        self.pairs.flush(packer)?;
        let start = *position;
        out.write_all(&self.pairs.packed)?;
        *position += self.pairs.packed.len() as u64;
        let mut bytes = Vec::with_capacity(self.sets.len() * 16);
        for (place, count, names) in &self.sets {
            bytes.extend(place.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(names.to_le_bytes());
        }
        let mut head = start.to_le_bytes().to_vec();
        head.extend((self.sets.len() as u32).to_le_bytes());
        head.extend(0_u32.to_le_bytes());
        write_list(&bytes, &head, out, position, packer)
    }
}

/// Writes `bytes` as metadata blocks, then `head` and the places of the blocks; gives the position
/// of `head`.
pub(super) fn write_list(
    bytes: &[u8],
    head: &[u8],
    out: &mut impl Write,
    position: &mut u64,
    packer: &mut Packer,
) -> io::Result<u64> {
    let mut blocks = Metadata::default();
    blocks.write(bytes, packer)?;
    blocks.flush(packer)?;
    out.write_all(&blocks.packed)?;
    let at = *position + blocks.packed.len() as u64;
    let mut list = head.to_vec();
    for start in &blocks.starts {
        list.extend((*position + start).to_le_bytes());
    }
    out.write_all(&list)?;
    *position = at + list.len() as u64;
    Ok(at)
}
