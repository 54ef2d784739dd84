//! A layer's index, its diff id and its blob digest, in one pass over the blob.

use std::io::{self, Read};

use nd_names::Sha256;
use nd_rootfs::{
    Attr, DeviceClass, Entry, Kind, LayerEntry, LayerIndex, Location, MAX_TARGET, TreePath, show,
};

use crate::{
    Compression, Limits, OciError, TarError,
    compression::{Digests, unpack_beside},
    digest::Hashing,
    tar::{Header, HeaderKind, TarReader},
};

/// What one pass over a layer blob finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedLayer {
    /// The entries.
    pub index: LayerIndex,
    /// SHA-256 of the uncompressed tar.
    pub diff_id: Sha256,
    /// Bytes of the uncompressed tar.
    pub uncompressed: u64,
    /// SHA-256 of the blob as it was read.
    pub digest: Sha256,
    /// Bytes of the blob.
    pub size: u64,
}

impl IndexedLayer {
    /// Fails unless this is the layer `diff_id` out of the blob `digest`.
    pub fn check(&self, digest: &Sha256, diff_id: &Sha256) -> Result<(), OciError> {
        if self.digest != *digest {
            return Err(OciError::Digest {
                expected: *digest,
                found: self.digest,
            });
        }
        if self.diff_id != *diff_id {
            return Err(OciError::DiffId {
                layer: *digest,
                expected: *diff_id,
                found: self.diff_id,
            });
        }
        Ok(())
    }
}

/// Reads a layer once: unpacks it on a second thread, hashes every content, and takes the digests
/// of blob and tar. The caller compares those with what it expects.
pub fn index_layer(
    input: impl Read + Send,
    compression: Compression,
    limits: Limits,
) -> Result<IndexedLayer, OciError> {
    visit_layer(input, compression, limits, &mut Nothing)
}

/// The same, and hands the bytes of every regular file to `each` as they come, in the layer's order: a
/// blob that passes once need not be kept.
pub fn index_layer_with(
    input: impl Read + Send,
    compression: Compression,
    limits: Limits,
    each: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> Result<IndexedLayer, OciError> {
    visit_layer(input, compression, limits, &mut Handed(each))
}

/// Contents go to somebody else as well.
struct Handed<'a>(&'a mut dyn FnMut(&mut dyn Read) -> io::Result<()>);

impl Visitor for Handed<'_> {
    type Error = OciError;

    fn file(
        &mut self,
        path: &TreePath,
        _: &Attr,
        _: u64,
        bytes: &mut dyn Read,
    ) -> Result<(), OciError> {
        (self.0)(bytes).map_err(OciError::io(path.to_string()))
    }

    fn other(&mut self, _: &LayerEntry) -> Result<(), OciError> {
        Ok(())
    }
}

/// Takes a layer's entries while they are read.
pub(crate) trait Visitor {
    /// What goes wrong.
    type Error: From<TarError>;

    /// A regular file; what is left unread of its bytes is read afterwards.
    fn file(
        &mut self,
        path: &TreePath,
        attr: &Attr,
        size: u64,
        bytes: &mut dyn Read,
    ) -> Result<(), Self::Error>;

    /// Anything else.
    fn other(&mut self, entry: &LayerEntry) -> Result<(), Self::Error>;
}

/// Only the index is wanted.
struct Nothing;

impl Visitor for Nothing {
    type Error = OciError;

    fn file(&mut self, _: &TreePath, _: &Attr, _: u64, _: &mut dyn Read) -> Result<(), OciError> {
        Ok(())
    }

    fn other(&mut self, _: &LayerEntry) -> Result<(), OciError> {
        Ok(())
    }
}

/// The pass of [`index_layer`], with a visitor that sees every entry.
pub(crate) fn visit_layer<V: Visitor>(
    input: impl Read + Send,
    compression: Compression,
    limits: Limits,
    visitor: &mut V,
) -> Result<IndexedLayer, V::Error> {
    let (index, digests) = unpack_beside(input, compression, Digests::Both, |tar| {
        read(tar, limits, visitor)
    });
    let index = index?;
    let after = "the end".to_owned();
    let digests = digests.map_err(|source| TarError::Read {
        after: after.clone(),
        source,
    })?;
    let missing = || TarError::Read {
        after,
        source: io::ErrorKind::UnexpectedEof.into(),
    };
    let Some(((digest, size), (diff_id, uncompressed))) = digests.blob.zip(digests.tar) else {
        return Err(missing().into());
    };
    Ok(IndexedLayer {
        index,
        diff_id,
        uncompressed,
        digest,
        size,
    })
}

fn read<V: Visitor>(
    tar: impl Read,
    limits: Limits,
    visitor: &mut V,
) -> Result<LayerIndex, V::Error> {
    let mut reader = TarReader::new(tar, limits);
    let mut index = LayerIndex::default();
    while let Some(header) = reader.next()? {
        for name in &header.ignored {
            let (entry, name) = (show(&header.name), show(name));
            index
                .notes
                .push(format!("`{entry}`: attribute `{name}` is ignored"));
        }
        match whiteout(&header.name)? {
            Special::None => {}
            Special::Bookkeeping => {
                let name = show(&header.name);
                index
                    .notes
                    .push(format!("`{name}` is old AUFS bookkeeping and ignored"));
                continue;
            }
            Special::Entry(entry) => {
                visitor.other(&entry)?;
                index.entries.push(entry);
                continue;
            }
        }
        let Some(path) = TreePath::clean(&header.name).map_err(TarError::from)? else {
            continue;
        };
        if header.kind == HeaderKind::HardLink {
            let problem = "a hard link to the root";
            let target = TreePath::clean(&header.link).map_err(TarError::from)?;
            let target = target.ok_or_else(|| TarError::Entry {
                entry: path.to_string(),
                problem,
            })?;
            let entry = LayerEntry::Link { path, target };
            visitor.other(&entry)?;
            index.entries.push(entry);
            continue;
        }
        let attr = Attr {
            mode: if header.kind == HeaderKind::Symlink {
                0o777
            } else {
                header.mode
            },
            uid: header.uid,
            gid: header.gid,
            mtime: header.mtime,
            xattrs: header.xattrs.iter().cloned().collect(),
        };
        let file = header.kind == HeaderKind::File;
        let kind = if file {
            file_kind(&path, &attr, &header, &mut reader, visitor)?
        } else {
            kind(&path, &header)?
        };
        let entry = LayerEntry::Entry(Entry {
            path,
            attr,
            kind,
            group: None,
        });
        if !file {
            visitor.other(&entry)?;
        }
        index.entries.push(entry);
    }
    Ok(index)
}

fn file_kind<R: Read, V: Visitor>(
    path: &TreePath,
    attr: &Attr,
    header: &Header,
    reader: &mut TarReader<R>,
    visitor: &mut V,
) -> Result<Kind, V::Error> {
    let mut bytes = Hashing::new(reader.contents(header));
    visitor.file(path, attr, header.size, &mut bytes)?;
    io::copy(&mut bytes, &mut io::sink()).map_err(|source| TarError::Read {
        after: path.to_string(),
        source,
    })?;
    let (_, content, size) = bytes.finish();
    Ok(Kind::File {
        size,
        content,
        at: Location::Layer {
            layer: 0,
            offset: header.offset,
        },
    })
}

fn kind(path: &TreePath, header: &Header) -> Result<Kind, TarError> {
    let refuse = |problem| TarError::Entry {
        entry: path.to_string(),
        problem,
    };
    let device = |class| Kind::Device {
        class,
        major: header.major,
        minor: header.minor,
    };
    Ok(match header.kind {
        HeaderKind::Dir => Kind::Dir { implicit: false },
        HeaderKind::Symlink => {
            let target = &header.link;
            if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
                return Err(refuse(
                    "a symlink target that is empty, too long or holds a NUL byte",
                ));
            }
            Kind::Symlink {
                target: target.clone().into(),
            }
        }
        HeaderKind::Fifo => Kind::Fifo,
        HeaderKind::Char if (header.major, header.minor) == (0, 0) => {
            return Err(refuse(
                "a character device 0:0 is an overlay whiteout, not content",
            ));
        }
        HeaderKind::Char => device(DeviceClass::Char),
        HeaderKind::Block => device(DeviceClass::Block),
        HeaderKind::File | HeaderKind::HardLink => return Err(refuse("its type here")),
    })
}

enum Special {
    None,
    Bookkeeping,
    Entry(LayerEntry),
}

/// What a name starting with `.wh.` says. Looked at before the name becomes a path, since the name
/// it removes may have all of 255 bytes.
fn whiteout(name: &[u8]) -> Result<Special, TarError> {
    let refuse = |problem| {
        Err(TarError::Entry {
            entry: show(name),
            problem,
        })
    };
    let mut parts = name
        .split(|&b| b == b'/')
        .filter(|part| !matches!(*part, b"" | b"."));
    let Some(last) = parts.next_back() else {
        return Ok(Special::None);
    };
    let mut above: Vec<u8> = Vec::new();
    for part in parts {
        if part.starts_with(b".wh..wh.") {
            return Ok(Special::Bookkeeping);
        }
        if part.starts_with(b".wh.") {
            return refuse("it lies below a whiteout");
        }
        above.extend_from_slice(part);
        above.push(b'/');
    }
    let Some(removed) = last.strip_prefix(b".wh.") else {
        return Ok(Special::None);
    };
    let parent = TreePath::clean(&above)?;
    match removed {
        b"" | b"." | b".." => refuse("a whiteout of nothing"),
        b".wh..opq" => Ok(Special::Entry(LayerEntry::Opaque(parent))),
        _ if removed.starts_with(b".wh.") => Ok(Special::Bookkeeping),
        _ => Ok(Special::Entry(LayerEntry::Whiteout(TreePath::below(
            parent.as_ref(),
            removed,
        )?))),
    }
}
