//! What the kernel opens by itself when a file is executed: the interpreter of a script, the loader
//! of a program.

/// More program headers than any loadable file has.
const HEADERS: u64 = 256;
/// What the kernel reads of a script's first line.
const LINE: usize = 256;
/// The longest path.
const PATH: u64 = 4096;

const ELF: &[u8] = b"\x7fELF";
const PT_INTERP: u64 = 3;

/// The interpreter that a file names, if it is a script or a program with a loader. `read` gives
/// bytes from a position on, fewer at the end.
pub(crate) fn interpreter(mut read: impl FnMut(&mut [u8], u64) -> usize) -> Option<Vec<u8>> {
    let mut head = [0; LINE];
    let count = read(&mut head, 0);
    let head = &head[..count];
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next()?;
        let word = line
            .split(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
            .find(|word| !word.is_empty())?;
        return Some(word.to_vec());
    }
    if !head.starts_with(ELF) {
        return None;
    }
    // Little-endian, as every architecture that containers run on here is.
    let (wide, little) = (*head.get(4)? == 2, *head.get(5)? == 1);
    if !little {
        return None;
    }
    let (table, size, number) = if wide {
        (
            field(head, 32, 8)?,
            field(head, 54, 2)?,
            field(head, 56, 2)?,
        )
    } else {
        (
            field(head, 28, 4)?,
            field(head, 42, 2)?,
            field(head, 44, 2)?,
        )
    };
    for at in 0..number.min(HEADERS) {
        let mut header = [0; 56];
        let count = read(&mut header, table.checked_add(at * size)?);
        let header = &header[..count];
        if field(header, 0, 4)? != PT_INTERP {
            continue;
        }
        let (offset, length) = if wide {
            (field(header, 8, 8)?, field(header, 32, 8)?)
        } else {
            (field(header, 4, 4)?, field(header, 16, 4)?)
        };
        let mut path = vec![0; length.min(PATH) as usize];
        let count = read(&mut path, offset);
        path.truncate(count);
        let end = path.iter().position(|&byte| byte == 0)?;
        path.truncate(end);
        return Some(path);
    }
    None
}

fn field(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let field = bytes.get(at..at + size)?;
    Some(
        field
            .iter()
            .rev()
            .fold(0, |value, &byte| value << 8 | u64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    //! Scripts, a program of this machine, and nonsense.

    use super::interpreter;

    fn of(bytes: &[u8]) -> Option<Vec<u8>> {
        interpreter(|out, at| {
            let from = bytes.len().min(at as usize);
            let count = out.len().min(bytes.len() - from);
            out[..count].copy_from_slice(&bytes[from..from + count]);
            count
        })
    }

    #[test]
    fn interpreters_are_found() {
        assert_eq!(of(b"#! /bin/sh -e\necho").unwrap(), b"/bin/sh");
        assert_eq!(of(b"#!/usr/bin/env\tpython3").unwrap(), b"/usr/bin/env");
        assert_eq!(of(b"#!"), None);
        assert_eq!(of(b"echo"), None);
        assert_eq!(of(b"\x7fELF\x02\x01"), None);
        let own = fs_err::read("/bin/sh").unwrap();
        let loader = of(&own).unwrap();
        assert!(loader.starts_with(b"/lib") && loader.windows(2).any(|w| w == b"ld"));
        let cut = &own[..100.min(own.len())];
        assert_eq!(of(cut), None);
    }
}
