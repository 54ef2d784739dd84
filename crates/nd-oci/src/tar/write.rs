//! Writing tar: ustar, with an extended header only where ustar cannot say it.

use std::io::{self, Write};

use nd_rootfs::{Attr, show};

use super::{BLOCK, number, pax};

/// Writes entries; the same entries give the same bytes.
pub(crate) struct TarWriter<W> {
    out: W,
    at: u64,
}

/// What is written of one entry besides its data.
pub(crate) struct Record<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) type_flag: u8,
    pub(crate) link: &'a [u8],
    pub(crate) attr: &'a Attr,
    pub(crate) size: u64,
    pub(crate) device: (u32, u32),
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, at: 0 }
    }

    /// Writes the headers; `size` bytes of data must follow through [`Self::data`], then
    /// [`Self::end_data`]. Gives the offset of the data.
    pub(crate) fn header(&mut self, record: &Record<'_>) -> io::Result<u64> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut block = [0; BLOCK];
        let mut say = |key: &[u8], value: Vec<u8>| records.push((key.to_vec(), value));
        let decimal = |value: u64| value.to_string().into_bytes();

        let (prefix, name) = split_name(record.name).unwrap_or_else(|| {
            say(b"path", record.name.to_vec());
            (b"", &record.name[..record.name.len().min(100)])
        });
        block[..name.len()].copy_from_slice(name);
        block[345..345 + prefix.len()].copy_from_slice(prefix);
        if record.link.len() > 100 || !is_plain(record.link) {
            say(b"linkpath", record.link.to_vec());
        }
        let link = &record.link[..record.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);

        let attr = record.attr;
        number::write(u64::from(attr.mode), &mut block[100..108]);
        if !number::write(u64::from(attr.uid), &mut block[108..116]) {
            say(b"uid", decimal(u64::from(attr.uid)));
            number::write(0, &mut block[108..116]);
        }
        if !number::write(u64::from(attr.gid), &mut block[116..124]) {
            say(b"gid", decimal(u64::from(attr.gid)));
            number::write(0, &mut block[116..124]);
        }
        if !number::write(record.size, &mut block[124..136]) {
            say(b"size", decimal(record.size));
            number::write(0, &mut block[124..136]);
        }
        if !u64::try_from(attr.mtime).is_ok_and(|time| number::write(time, &mut block[136..148])) {
            say(b"mtime", attr.mtime.to_string().into_bytes());
            number::write(0, &mut block[136..148]);
        }
        if !number::write(u64::from(record.device.0), &mut block[329..337])
            || !number::write(u64::from(record.device.1), &mut block[337..345])
        {
            let problem = format!("device numbers of `{}` do not fit", show(record.name));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        for (name, value) in attr.xattrs.iter() {
            say(&[b"SCHILY.xattr.", name].concat(), value.to_vec());
        }
        block[156] = record.type_flag;
        if !records.is_empty() {
            self.extended(records)?;
        }
        self.block(&mut block)?;
        Ok(self.at)
    }

    /// Writes data of the entry.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Fills the last block of data.
    pub(crate) fn end_data(&mut self) -> io::Result<()> {
        let padding = (self.at.wrapping_neg() % BLOCK as u64) as usize;
        self.data(&[0; BLOCK][..padding])
    }

    /// Writes the end mark.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.data(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn extended(&mut self, mut records: Vec<(Vec<u8>, Vec<u8>)>) -> io::Result<()> {
        records.sort();
        let mut body = Vec::new();
        for (key, value) in &records {
            pax::write(key, value, &mut body);
        }
        // A fixed header: nothing of it reaches the entry.
        let mut block = [0; BLOCK];
        block[..9].copy_from_slice(b"PaxHeader");
        number::write(0o644, &mut block[100..108]);
        for range in [108..116, 116..124, 136..148, 329..337, 337..345] {
            number::write(0, &mut block[range]);
        }
        number::write(body.len() as u64, &mut block[124..136]);
        block[156] = b'x';
        self.block(&mut block)?;
        self.data(&body)?;
        self.end_data()
    }

    fn block(&mut self, block: &mut [u8; BLOCK]) -> io::Result<()> {
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        number::write(sum, &mut block[148..155]);
        block[155] = b' ';
        self.data(&block[..])
    }
}

/// Names outside ASCII go to the extended header, where their encoding is defined.
fn is_plain(name: &[u8]) -> bool {
    name.is_ascii()
}

/// Splits a name into prefix and name of a ustar header, if it fits.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !is_plain(name) {
        return None;
    }
    if name.len() <= 100 {
        return Some((b"", name));
    }
    // A slash that leaves at most 155 bytes before and 1 to 100 after it.
    let first = name.len().checked_sub(101)?;
    let at = (first..name.len().saturating_sub(1).min(156)).find(|&at| name[at] == b'/')?;
    (at > 0).then(|| (&name[..at], &name[at + 1..]))
}
