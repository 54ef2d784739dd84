//! Extended attributes.

use nd_rootfs::Xattrs;

use super::{
    ReadAt, ReadError,
    metadata::{Blocks, Cursor},
};
use crate::format::{METADATA, XATTR_OUT_OF_LINE, XATTR_PREFIXES};

/// The longest value Linux knows.
const MAX_VALUE: u32 = 64 * 1024;

/// Where attributes are.
#[derive(Debug, Clone, Copy)]
pub(super) struct XattrTable {
    /// Start of the pairs.
    pairs: u64,
    /// How many sets there are.
    sets: u32,
    /// Where the list of blocks of sets is.
    list: u64,
}

impl XattrTable {
    pub(super) fn read(source: &impl ReadAt, at: u64, end: u64) -> Result<Self, ReadError> {
        let mut head = [0; 16];
        if at.checked_add(16).is_none_or(|stop| stop > end) {
            return Err(ReadError::Damaged("the table of attributes lies outside"));
        }
        source
            .read_exact_at(&mut head, at)
            .map_err(ReadError::io("the table of attributes"))?;
        let mut bytes = crate::format::Bytes(&head);
        let damaged = ReadError::Damaged("the table of attributes is too short");
        let (Some(pairs), Some(sets)) = (bytes.u64(), bytes.u32()) else {
            return Err(damaged);
        };
        Ok(Self {
            pairs,
            sets,
            list: at + 16,
        })
    }

    /// Reads one set of at most `most` bytes.
    pub(super) fn set<S: ReadAt>(
        &self,
        number: u32,
        blocks: &Blocks,
        source: &S,
        end: u64,
        most: u64,
    ) -> Result<Xattrs, ReadError> {
        if number >= self.sets {
            return Err(ReadError::Damaged("a set of attributes does not exist"));
        }
        let byte = u64::from(number) * 16;
        let mut set = list_entry(blocks, source, self.list, byte, end)?;
        let (place, count) = (set.u64()?, set.u32()?);
        let at = |place: u64| {
            (self.pairs.checked_add(place >> 16))
                .map(|block| Cursor::new(blocks, source, block, place as u16, end))
                .ok_or(ReadError::Damaged("an attribute lies outside"))
        };
        let mut pairs = at(place)?;
        let mut left = most;
        let mut take = |bytes: u64| {
            left = left
                .checked_sub(bytes)
                .ok_or(ReadError::Damaged("an entry has too many attributes"))?;
            Ok::<_, ReadError>(())
        };
        let mut out = Xattrs::default();
        for _ in 0..count {
            let (kind, length) = (pairs.u16()?, pairs.u16()?);
            take(8 + u64::from(length))?;
            let prefix = XATTR_PREFIXES
                .get(usize::from(kind & !XATTR_OUT_OF_LINE))
                .ok_or(ReadError::Damaged("an attribute has an unknown prefix"))?;
            let name = [prefix, &pairs.vec(length.into())?[..]].concat();
            if name.len() > 255 || name.contains(&0) {
                return Err(ReadError::Damaged("an attribute has a bad name"));
            }
            let mut value = |from: &mut Cursor<'_, S>| {
                let length = from.u32()?;
                if length > MAX_VALUE {
                    return Err(ReadError::Damaged("an attribute has too long a value"));
                }
                take(length.into())?;
                from.vec(length as usize)
            };
            let value = if kind & XATTR_OUT_OF_LINE == 0 {
                value(&mut pairs)?
            } else {
                let _length = pairs.u32()?;
                let place = pairs.u64()?;
                value(&mut at(place)?)?
            };
            out.insert(name, value);
        }
        Ok(out)
    }
}

/// A cursor at byte `byte` of a table whose blocks are listed from `list` on.
pub(super) fn list_entry<'a, S: ReadAt>(
    blocks: &'a Blocks,
    source: &'a S,
    list: u64,
    byte: u64,
    end: u64,
) -> Result<Cursor<'a, S>, ReadError> {
    let at = (byte / METADATA as u64)
        .checked_mul(8)
        .and_then(|n| list.checked_add(n));
    let at = at
        .filter(|at| at.checked_add(8).is_some_and(|stop| stop <= end))
        .ok_or(ReadError::Damaged("a table lies outside"))?;
    let mut place = [0; 8];
    source
        .read_exact_at(&mut place, at)
        .map_err(ReadError::io("the places of a table"))?;
    let offset = (byte % METADATA as u64) as u16;
    Ok(Cursor::new(
        blocks,
        source,
        u64::from_le_bytes(place),
        offset,
        end,
    ))
}
