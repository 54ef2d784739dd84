//! Reading tar, one entry after another, in one pass.

use std::io::{self, Read};

use nd_rootfs::show;

use super::{BLOCK, Limits, number, pax, sparse};
use crate::TarError;

/// One entry as the archive describes it; the name is not yet checked.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: HeaderKind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Attributes that were there and are ignored.
    pub(crate) ignored: Vec<Vec<u8>>,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// Logical size of a file.
    pub(crate) size: u64,
    /// Offset of the first byte after the headers.
    pub(crate) offset: u64,
    map: Option<Vec<sparse::Piece>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderKind {
    File,
    Dir,
    Symlink,
    HardLink,
    Fifo,
    Char,
    Block,
}

/// Reads a tar from a stream.
pub(crate) struct TarReader<R> {
    input: R,
    at: u64,
    /// Data of the entry being read that is still in the stream, and its padding.
    data: u64,
    padding: u64,
    limits: Limits,
    entries: u64,
    total: u64,
    last: String,
}

type Block = [u8; BLOCK];

impl<R: Read> TarReader<R> {
    pub(crate) fn new(input: R, limits: Limits) -> Self {
        Self {
            input,
            at: 0,
            data: 0,
            padding: 0,
            limits,
            entries: 0,
            total: 0,
            last: String::new(),
        }
    }

    /// The next entry; `None` after two zero blocks or at a clean end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<Header>, TarError> {
        let mut long_name: Option<Vec<u8>> = None;
        let mut long_link: Option<Vec<u8>> = None;
        let mut records = pax::Records::new();
        let mut extended = 0;
        loop {
            self.skip()?;
            let Some(block) = self.header_block()? else {
                return Ok(None);
            };
            let type_flag = block[156];
            match type_flag {
                b'x' | b'g' | b'L' | b'K' => {
                    let size = self.unsigned(&block[124..136], "size")?;
                    extended += size;
                    if extended > self.limits.extended {
                        let (limit, what) = (self.limits.extended, "bytes of extended headers");
                        return Err(TarError::Limit {
                            entry: self.last.clone(),
                            limit,
                            what,
                        });
                    }
                    self.set_data(size);
                    let bytes = self.take_all()?;
                    let upto_nul = |bytes: Vec<u8>| {
                        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
                        bytes[..end].to_vec()
                    };
                    match type_flag {
                        b'x' => records = pax::parse(&bytes).map_err(|p| self.bad(p))?,
                        b'L' => long_name = Some(upto_nul(bytes)),
                        b'K' => long_link = Some(upto_nul(bytes)),
                        _ => {}
                    }
                }
                _ => {
                    let mut header = self.header(&block, long_name, long_link, &mut records)?;
                    self.start_data(&block, &mut header, &records)?;
                    self.entries += 1;
                    self.total = self.total.saturating_add(header.size);
                    self.last = show(&header.name);
                    self.check_limits(&header)?;
                    return Ok(Some(header));
                }
            }
        }
    }

    /// The logical bytes of the entry read last; must be read before the next entry.
    pub(crate) fn contents<'a>(&'a mut self, header: &'a Header) -> Box<dyn Read + 'a> {
        let size = header.size;
        match &header.map {
            Some(map) => Box::new(sparse::Expand {
                data: Data(self),
                map,
                at: 0,
                size,
            }),
            None => Box::new(Data(self)),
        }
    }

    fn check_limits(&self, header: &Header) -> Result<(), TarError> {
        let longest = header
            .xattrs
            .iter()
            .map(|(_, value)| value.len() as u64)
            .max()
            .unwrap_or(0);
        let checks = [
            (self.entries, self.limits.entries, "entries"),
            (header.size, self.limits.file, "bytes in one file"),
            (self.total, self.limits.total, "bytes in all files"),
            (
                longest,
                self.limits.xattr,
                "bytes in one extended attribute",
            ),
        ];
        match checks.into_iter().find(|(value, limit, _)| value > limit) {
            None => Ok(()),
            Some((_, limit, what)) => Err(TarError::Limit {
                entry: self.last.clone(),
                limit,
                what,
            }),
        }
    }

    fn header(
        &self,
        block: &Block,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        records: &mut pax::Records,
    ) -> Result<Header, TarError> {
        let ustar = &block[257..265] == b"ustar\x0000";
        let gnu = &block[257..265] == b"ustar  \0";
        let text = |range: std::ops::Range<usize>| {
            let field = &block[range];
            field[..field.iter().position(|&b| b == 0).unwrap_or(field.len())].to_vec()
        };
        let prefix = match (ustar, &block[508..512] == b"tar\0") {
            (true, true) => text(345..476),
            (true, false) => text(345..500),
            _ => Vec::new(),
        };
        let mut name = text(0..100);
        if !prefix.is_empty() {
            name = [&prefix[..], b"/", &name].concat();
        }
        // What is empty in an extended header stands for "as in the header".
        let mut record = |key: &[u8]| records.remove(key).filter(|value| !value.is_empty());
        let sparse_name = record(b"GNU.sparse.name");
        let name = record(b"path").or(long_name).unwrap_or(name);
        let name = sparse_name.unwrap_or(name);
        let link = record(b"linkpath")
            .or(long_link)
            .unwrap_or_else(|| text(157..257));
        let mut id = |key: &[u8], range: std::ops::Range<usize>, what| match record(key) {
            Some(value) => pax::digits(&value).ok_or_else(|| self.bad(what)),
            None => self.unsigned(&block[range], what),
        };
        let uid = id(b"uid", 108..116, "a bad user id")?;
        let gid = id(b"gid", 116..124, "a bad group id")?;
        let narrow = |id: u64, what| {
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| self.bad(what))
        };
        let (uid, gid) = (
            narrow(uid, "a bad user id")?,
            narrow(gid, "a bad group id")?,
        );
        let mtime = match record(b"mtime") {
            Some(value) => pax::seconds(&value),
            None => number::parse(&block[136..148]),
        };
        let mtime = mtime.ok_or_else(|| self.bad("a bad time"))?;
        let mode = self.unsigned(&block[100..108], "a bad mode")?;
        let (mut major, mut minor) = (0, 0);
        let kind = match block[156] {
            0 if name.last() == Some(&b'/') => HeaderKind::Dir,
            0 | b'0' | b'7' => HeaderKind::File,
            b'S' if gnu => HeaderKind::File,
            b'1' => HeaderKind::HardLink,
            b'2' => HeaderKind::Symlink,
            b'3' => HeaderKind::Char,
            b'4' => HeaderKind::Block,
            b'5' => HeaderKind::Dir,
            b'6' => HeaderKind::Fifo,
            _ => {
                let problem = "an unknown type of entry";
                return Err(TarError::Entry {
                    entry: show(&name),
                    problem,
                });
            }
        };
        if matches!(kind, HeaderKind::Char | HeaderKind::Block) {
            let number = |range: std::ops::Range<usize>| {
                let number = self.unsigned(&block[range], "a bad device number")?;
                u32::try_from(number).map_err(|_| self.bad("a bad device number"))
            };
            (major, minor) = (number(329..337)?, number(337..345)?);
        }
        let (mut xattrs, mut ignored) = (Vec::new(), Vec::new());
        for (key, value) in records.iter() {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                if name.is_empty() || name.len() > 255 || name.contains(&0) {
                    return Err(self.bad("a bad name of an extended attribute"));
                }
                xattrs.push((name.to_vec(), value.clone()));
            } else if key.starts_with(b"LIBARCHIVE.xattr.") || key.starts_with(b"SCHILY.acl.") {
                ignored.push(key.clone());
            }
        }
        Ok(Header {
            name,
            link,
            kind,
            mode: (mode & 0o7777) as u16,
            uid,
            gid,
            mtime,
            xattrs,
            ignored,
            major,
            minor,
            size: 0,
            offset: 0,
            map: None,
        })
    }

    /// Finds out what data follows the header, and how it is to be read.
    fn start_data(
        &mut self,
        block: &Block,
        header: &mut Header,
        records: &pax::Records,
    ) -> Result<(), TarError> {
        // Links, devices, fifos and directories have no data, whatever their size says.
        if header.kind != HeaderKind::File {
            self.set_data(0);
            header.offset = self.at;
            return Ok(());
        }
        let record = |key: &[u8]| records.get(key).filter(|value| !value.is_empty());
        let decimal = |value: &[u8]| pax::digits(value).ok_or_else(|| self.bad("a bad size"));
        let stored = match record(b"size") {
            Some(value) => decimal(value)?,
            None => self.unsigned(&block[124..136], "a bad size")?,
        };
        let real = record(b"GNU.sparse.realsize").or_else(|| record(b"GNU.sparse.size"));
        let real = real.map(|value| decimal(value)).transpose()?;
        let bad_map = || TarError::Entry {
            entry: show(&header.name),
            problem: "a bad sparse map",
        };
        header.size = stored;
        if block[156] == b'S' {
            let logical = self.unsigned(&block[483..495], "a bad size")?;
            let mut map = Vec::new();
            let mut fields = block[386..482].to_vec();
            let mut more = block[482] != 0;
            loop {
                for field in fields.chunks_exact(24) {
                    if field[0] == 0 {
                        more = false;
                        break;
                    }
                    let offset = self.unsigned(&field[..12], "a bad sparse map")?;
                    map.push((offset, self.unsigned(&field[12..], "a bad sparse map")?));
                }
                if !more {
                    break;
                }
                if (map.len() as u64) * 24 > self.limits.extended {
                    return Err(bad_map());
                }
                let mut block = [0; BLOCK];
                self.fill(&mut block)?;
                fields = block[..504].to_vec();
                more = block[504] != 0;
            }
            self.set_data(stored);
            header.offset = self.at;
            header.size = logical;
            header.map = Some(map);
        } else if records.get(&b"GNU.sparse.major"[..]).map(Vec::as_slice) == Some(b"1") {
            self.set_data(stored);
            header.offset = self.at;
            header.size = real.ok_or_else(bad_map)?;
            header.map = Some(self.map_before_data()?.ok_or_else(bad_map)?);
        } else {
            self.set_data(stored);
            header.offset = self.at;
            if let Some(map) = record(b"GNU.sparse.map") {
                header.size = real.ok_or_else(bad_map)?;
                let numbers = map.split(|&b| b == b',').filter(|n| !n.is_empty());
                header.map = Some(sparse::pairs(numbers).ok_or_else(bad_map)?);
            }
        }
        if let Some(map) = &header.map {
            sparse::check(map, header.size, self.data).map_err(|problem| TarError::Entry {
                entry: show(&header.name),
                problem,
            })?;
        }
        Ok(())
    }

    /// The map of PAX sparse files 1.0: decimal lines in whole blocks before the data.
    fn map_before_data(&mut self) -> Result<Option<Vec<sparse::Piece>>, TarError> {
        let mut text = Vec::new();
        let mut wanted = None;
        loop {
            if self.data < BLOCK as u64 || text.len() as u64 > self.limits.extended {
                return Ok(None);
            }
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            self.data -= BLOCK as u64;
            text.extend_from_slice(&block);
            let lines = text.split(|&b| b == b'\n').count() as u64 - 1;
            if wanted.is_none() && lines > 0 {
                let first = text.split(|&b| b == b'\n').next().and_then(pax::digits);
                let Some(pieces) = first.filter(|n| *n < self.limits.extended) else {
                    return Ok(None);
                };
                wanted = Some(1 + 2 * pieces);
            }
            if let Some(wanted) = wanted
                && lines >= wanted
            {
                let numbers = text
                    .split(|&b| b == b'\n')
                    .skip(1)
                    .take(wanted as usize - 1);
                return Ok(sparse::pairs(numbers));
            }
        }
    }

    fn header_block(&mut self) -> Result<Option<Block>, TarError> {
        let mut block = [0; BLOCK];
        if !self.fill_or_end(&mut block)? {
            return Ok(None);
        }
        if block == [0; BLOCK] {
            if self.fill_or_end(&mut block)? && block != [0; BLOCK] {
                return Err(self.bad("a single block of zeros"));
            }
            return Ok(None);
        }
        let stored = number::parse(&block[148..156]).ok_or_else(|| self.bad("a bad checksum"))?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, &byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte as i8);
        }
        if stored == unsigned || stored == signed {
            Ok(Some(block))
        } else {
            Err(self.bad("a bad checksum"))
        }
    }

    fn unsigned(&self, field: &[u8], problem: &'static str) -> Result<u64, TarError> {
        let value = number::parse(field).and_then(|value| u64::try_from(value).ok());
        value.ok_or_else(|| self.bad(problem))
    }

    fn set_data(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn take_all(&mut self) -> Result<Vec<u8>, TarError> {
        let mut out = Vec::new();
        let size = self.data;
        let result = Data(self).read_to_end(&mut out);
        result.map_err(|source| TarError::Read {
            after: self.last.clone(),
            source,
        })?;
        if out.len() as u64 == size {
            Ok(out)
        } else {
            Err(self.bad("a header cut short"))
        }
    }

    /// Skips what is left of the current entry.
    fn skip(&mut self) -> Result<(), TarError> {
        let mut left = self.data.saturating_add(self.padding);
        let mut buffer = [0; 16 * 1024];
        while left > 0 {
            let n = left.min(buffer.len() as u64) as usize;
            self.fill(&mut buffer[..n])?;
            left -= n as u64;
        }
        (self.data, self.padding) = (0, 0);
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        self.input
            .read_exact(buffer)
            .map_err(|source| TarError::Read {
                after: self.last.clone(),
                source,
            })?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    /// False at a clean end, before the first byte.
    fn fill_or_end(&mut self, buffer: &mut [u8]) -> Result<bool, TarError> {
        loop {
            match self.input.read(&mut buffer[..1]) {
                Ok(0) => return Ok(false),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TarError::Read {
                        after: self.last.clone(),
                        source,
                    });
                }
            }
        }
        self.at += 1;
        self.fill(&mut buffer[1..])?;
        Ok(true)
    }

    fn bad(&self, problem: &'static str) -> TarError {
        TarError::Header {
            after: self.last.clone(),
            problem,
        }
    }
}

/// The stored bytes of the current entry.
struct Data<'a, R>(&'a mut TarReader<R>);

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = self.0.data.min(buf.len() as u64) as usize;
        if most == 0 {
            return Ok(0);
        }
        let n = self.0.input.read(&mut buf[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.data -= n as u64;
        self.0.at += n as u64;
        Ok(n)
    }
}
