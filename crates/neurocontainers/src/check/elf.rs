//! Reading ELF files as far as the dynamic loader does before it runs anything: what a file needs
//! and where it says to look. Input is hostile: every offset is checked.

/// A program or library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Elf {
    /// 32 or 64 bits, byte order and machine: only equal ones load together.
    pub(crate) kind: (u8, u8, u16),
    /// The loader it asks for; none for libraries and static programs.
    pub(crate) interpreter: Option<Vec<u8>>,
    /// Libraries it needs by name.
    pub(crate) needed: Vec<Vec<u8>>,
    /// Folders searched first (`DT_RPATH`), unless there is a run path.
    pub(crate) rpath: Vec<Vec<u8>>,
    /// Folders searched after `LD_LIBRARY_PATH` (`DT_RUNPATH`).
    pub(crate) runpath: Vec<Vec<u8>>,
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
/// More program headers than any real file has.
const MAX_HEADERS: u64 = 4096;

/// Whether these bytes begin an ELF file.
pub(crate) fn is_elf(start: &[u8]) -> bool {
    start.starts_with(b"\x7fELF")
}

/// Reads a whole ELF file; `None` if it is none, or damaged.
pub(crate) fn parse(file: &[u8]) -> Option<Elf> {
    if !is_elf(file) {
        return None;
    }
    let view = View {
        file,
        wide: match *file.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        },
        little: match *file.get(5)? {
            1 => true,
            2 => false,
            _ => return None,
        },
    };
    let mut elf = Elf {
        kind: (file[4], file[5], view.number(18, 2)? as u16),
        ..Elf::default()
    };
    let (offset, size, count) = if view.wide {
        (
            view.number(32, 8)?,
            view.number(54, 2)?,
            view.number(56, 2)?,
        )
    } else {
        (
            view.number(28, 4)?,
            view.number(42, 2)?,
            view.number(44, 2)?,
        )
    };
    let mut loads: Vec<Segment> = Vec::new();
    let mut dynamic = None;
    for number in 0..count.min(MAX_HEADERS) {
        let at = offset.checked_add(number.checked_mul(size)?)?;
        let segment = view.segment(at)?;
        match segment.kind {
            PT_LOAD => loads.push(segment),
            PT_DYNAMIC => dynamic = Some(segment),
            PT_INTERP => {
                let bytes = view.bytes(segment.offset, segment.size)?;
                elf.interpreter = Some(until_nul(bytes).to_vec());
            }
            _ => {}
        }
    }
    if let Some(dynamic) = dynamic {
        view.dynamic(dynamic, &loads, &mut elf)?;
    }
    Some(elf)
}

#[derive(Clone, Copy)]
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

struct View<'a> {
    file: &'a [u8],
    wide: bool,
    little: bool,
}

impl<'a> View<'a> {
    fn bytes(&self, at: u64, size: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        self.file.get(start..end)
    }

    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let bytes = self.bytes(at, size)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        })
    }

    fn word(&self, at: u64) -> Option<u64> {
        self.number(at, if self.wide { 8 } else { 4 })
    }

    fn segment(&self, at: u64) -> Option<Segment> {
        let (offset, address, size) = if self.wide { (8, 16, 32) } else { (4, 8, 16) };
        Some(Segment {
            kind: self.number(at, 4)?,
            offset: self.word(at.checked_add(offset)?)?,
            address: self.word(at.checked_add(address)?)?,
            size: self.word(at.checked_add(size)?)?,
        })
    }

    fn dynamic(&self, table: Segment, loads: &[Segment], elf: &mut Elf) -> Option<()> {
        let word = if self.wide { 8 } else { 4 };
        let mut entries: Vec<(u64, u64)> = Vec::new();
        let mut at = table.offset;
        let end = table.offset.checked_add(table.size)?;
        while at.checked_add(2 * word)? <= end {
            let (tag, value) = (self.word(at)?, self.word(at + word)?);
            if tag == 0 {
                break;
            }
            entries.push((tag, value));
            at += 2 * word;
        }
        let strings = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?.1;
        let load = loads.iter().find(|load| {
            strings
                .checked_sub(load.address)
                .is_some_and(|inside| inside < load.size)
        })?;
        let base = load.offset.checked_add(strings - load.address)?;
        let text = |offset: u64| {
            let start = usize::try_from(base.checked_add(offset)?).ok()?;
            Some(until_nul(self.file.get(start..)?).to_vec())
        };
        let folders = |offset: u64| -> Option<Vec<Vec<u8>>> {
            let list = text(offset)?;
            let folders = list.split(|b| *b == b':').filter(|part| !part.is_empty());
            Some(folders.map(<[u8]>::to_vec).collect())
        };
        for (tag, value) in entries {
            match tag {
                DT_NEEDED => elf.needed.push(text(value)?),
                DT_RPATH => elf.rpath = folders(value)?,
                DT_RUNPATH => elf.runpath = folders(value)?,
                _ => {}
            }
        }
        if !elf.runpath.is_empty() {
            elf.rpath.clear();
        }
        Some(())
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// Names and places in the loader's cache (`ld.so.cache`, its newer form), in order.
pub(crate) fn parse_cache(file: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
    let Some(start) = file.windows(MAGIC.len()).position(|part| part == MAGIC) else {
        return Vec::new();
    };
    let cache = View {
        file: &file[start..],
        wide: true,
        little: cfg!(target_endian = "little"),
    };
    let text = |offset: u64| {
        let at = usize::try_from(offset).ok()?;
        Some(until_nul(cache.file.get(at..)?).to_vec())
    };
    let count = cache.number(20, 4).unwrap_or(0);
    (0..count)
        .map_while(|number| {
            let entry = 48 + number * 24;
            Some((
                text(cache.number(entry + 4, 4)?)?,
                text(cache.number(entry + 8, 4)?)?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_program() -> Vec<u8> {
        fs_err::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn this_program_says_what_it_needs() {
        let elf = parse(&own_program()).unwrap();
        let loader = String::from_utf8(elf.interpreter.unwrap()).unwrap();
        assert!(std::path::Path::new(&loader).exists(), "{loader}");
        assert!(
            elf.needed.contains(&b"libc.so.6".to_vec()),
            "{:?}",
            elf.needed
        );
    }

    #[test]
    fn damaged_files_are_none_or_different_but_never_fatal() {
        let program = own_program();
        let head = &program[..4096];
        for at in 0..head.len().min(512) {
            let mut damaged = head.to_vec();
            damaged[at] ^= 0xff;
            let _ = parse(&damaged);
            let _ = parse(&damaged[..at]);
        }
        assert_eq!(parse(b"\x7fELF"), None);
        assert_eq!(parse(b"#!/bin/sh"), None);
    }

    #[test]
    fn the_loaders_cache_of_this_machine_is_read() {
        let Ok(file) = fs_err::read("/etc/ld.so.cache") else {
            return;
        };
        let cache = parse_cache(&file);
        assert!(
            cache.iter().any(|(name, _)| name == b"libc.so.6"),
            "{} entries",
            cache.len()
        );
        assert!(parse_cache(&file[..200]).len() < cache.len());
        assert!(parse_cache(b"").is_empty());
    }
}
