//! The compact form of a layer index. Version 1: numbers as LEB128, paths without the part they
//! share with the path before.

use nd_names::Sha256;
use nd_rootfs::{
    Attr, DeviceClass, Entry, Kind, LayerEntry, LayerIndex, Location, TreePath, Xattrs,
};

const MAGIC: &[u8] = b"nd-layer-index\x01";

/// Bytes that are no layer index of a known version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a layer index of a known version")]
pub struct DecodeError;

/// Writes a layer index.
pub fn encode_layer_index(index: &LayerIndex) -> Vec<u8> {
    let mut out = Writer {
        bytes: MAGIC.to_vec(),
        last: Vec::new(),
    };
    out.number(index.entries.len() as u64);
    for entry in &index.entries {
        match entry {
            LayerEntry::Whiteout(path) => {
                out.bytes.push(b'w');
                out.path(path.as_bytes());
            }
            LayerEntry::Opaque(dir) => {
                out.bytes.push(b'o');
                out.path(dir.as_ref().map_or(b"", |dir| dir.as_bytes()));
            }
            LayerEntry::Link { path, target } => {
                out.bytes.push(b'h');
                out.path(path.as_bytes());
                out.text(target.as_bytes());
            }
            LayerEntry::Entry(entry) => out.entry(entry),
        }
    }
    out.number(index.notes.len() as u64);
    for note in &index.notes {
        out.text(note.as_bytes());
    }
    out.bytes
}

struct Writer {
    bytes: Vec<u8>,
    last: Vec<u8>,
}

impl Writer {
    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text);
    }

    fn path(&mut self, path: &[u8]) {
        let shared = path
            .iter()
            .zip(&self.last)
            .take_while(|(a, b)| a == b)
            .count();
        self.number(shared as u64);
        self.text(&path[shared..]);
        self.last = path.to_vec();
    }

    fn entry(&mut self, entry: &Entry) {
        let tag = match &entry.kind {
            Kind::Dir { implicit: false } => b'd',
            Kind::Dir { implicit: true } => b'i',
            Kind::File { .. } => b'f',
            Kind::Symlink { .. } => b'l',
            Kind::Fifo => b'p',
            Kind::Socket => b's',
            Kind::Device {
                class: DeviceClass::Char,
                ..
            } => b'c',
            Kind::Device {
                class: DeviceClass::Block,
                ..
            } => b'b',
        };
        self.bytes.push(tag);
        self.path(entry.path.as_bytes());
        let Attr {
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        } = &entry.attr;
        self.number(u64::from(*mode));
        self.number(u64::from(*uid));
        self.number(u64::from(*gid));
        self.number((mtime << 1 ^ mtime >> 63) as u64);
        self.number(xattrs.len() as u64);
        for (name, value) in xattrs.iter() {
            self.text(name);
            self.text(value);
        }
        match &entry.kind {
            Kind::File { size, content, at } => {
                self.number(*size);
                self.bytes.extend_from_slice(content.as_bytes());
                let (tag, number) = match at {
                    Location::Layer { offset, .. } => (0, *offset),
                    Location::Host(n) => (1, *n),
                    Location::Squashfs(n) => (2, *n),
                    Location::Cvmfs(n) => (3, *n),
                };
                self.bytes.push(tag);
                self.number(number);
            }
            Kind::Symlink { target } => self.text(target),
            Kind::Device { major, minor, .. } => {
                self.number(u64::from(*major));
                self.number(u64::from(*minor));
            }
            _ => {}
        }
    }
}

/// Reads what [`encode_layer_index`] wrote. Any bytes are safe to give; files get layer 0.
pub fn decode_layer_index(bytes: &[u8]) -> Result<LayerIndex, DecodeError> {
    let mut input = Reader {
        bytes: bytes.strip_prefix(MAGIC).ok_or(DecodeError)?,
        last: Vec::new(),
    };
    let mut index = LayerIndex::default();
    for _ in 0..input.number()? {
        let entry = match input.byte()? {
            b'w' => LayerEntry::Whiteout(input.path()?.ok_or(DecodeError)?),
            b'o' => LayerEntry::Opaque(input.path()?),
            b'h' => {
                let path = input.path()?.ok_or(DecodeError)?;
                let target = TreePath::new(input.text()?).map_err(|_| DecodeError)?;
                LayerEntry::Link { path, target }
            }
            tag => LayerEntry::Entry(input.entry(tag)?),
        };
        index.entries.push(entry);
    }
    for _ in 0..input.number()? {
        index
            .notes
            .push(String::from_utf8_lossy(input.text()?).into_owned());
    }
    if input.bytes.is_empty() {
        Ok(index)
    } else {
        Err(DecodeError)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    last: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], DecodeError> {
        let n = usize::try_from(n).map_err(|_| DecodeError)?;
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(DecodeError)?;
        self.bytes = tail;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError)
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        T::try_from(self.number()?).map_err(|_| DecodeError)
    }

    fn text(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.number()?;
        self.take(n)
    }

    fn path(&mut self) -> Result<Option<TreePath>, DecodeError> {
        let shared: usize = self.small()?;
        let rest = self.text()?;
        let path = [self.last.get(..shared).ok_or(DecodeError)?, rest].concat();
        self.last.clone_from(&path);
        if path.is_empty() {
            Ok(None)
        } else {
            TreePath::new(path).map(Some).map_err(|_| DecodeError)
        }
    }

    fn entry(&mut self, tag: u8) -> Result<Entry, DecodeError> {
        let path = self.path()?.ok_or(DecodeError)?;
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let time = self.number()?;
        let mtime = (time >> 1) as i64 ^ -((time & 1) as i64);
        let mut xattrs = Xattrs::default();
        for _ in 0..self.number()? {
            let name = self.text()?;
            xattrs.insert(name, self.text()?);
        }
        let kind = match tag {
            b'd' => Kind::Dir { implicit: false },
            b'i' => Kind::Dir { implicit: true },
            b'f' => {
                let size = self.number()?;
                let content = self.take(32)?.try_into().map_err(|_| DecodeError)?;
                let content = Sha256::from_bytes(content);
                let (tag, number) = (self.byte()?, self.number()?);
                let at = match tag {
                    0 => Location::Layer {
                        layer: 0,
                        offset: number,
                    },
                    1 => Location::Host(number),
                    2 => Location::Squashfs(number),
                    3 => Location::Cvmfs(number),
                    _ => return Err(DecodeError),
                };
                Kind::File { size, content, at }
            }
            b'l' => Kind::Symlink {
                target: self.text()?.into(),
            },
            b'p' => Kind::Fifo,
            b's' => Kind::Socket,
            b'c' | b'b' => Kind::Device {
                class: if tag == b'c' {
                    DeviceClass::Char
                } else {
                    DeviceClass::Block
                },
                major: self.small()?,
                minor: self.small()?,
            },
            _ => return Err(DecodeError),
        };
        Ok(Entry {
            path,
            attr: Attr {
                mode,
                uid,
                gid,
                mtime,
                xattrs,
            },
            kind,
            group: None,
        })
    }
}
