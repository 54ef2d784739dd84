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

/// Reads a layer once: unpacks it on a second thread, hashes every content, and takes the digests
/// of blob and tar. The caller compares those with what it expects.
pub fn index_layer(
    input: impl Read + Send,
    compression: Compression,
    limits: Limits,
) -> Result<IndexedLayer, OciError> {
    let (index, digests) =
        unpack_beside(input, compression, Digests::Take, |tar| read(tar, limits));
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
    let ((digest, size), (diff_id, uncompressed)) = digests.ok_or_else(missing)?;
    Ok(IndexedLayer {
        index,
        diff_id,
        uncompressed,
        digest,
        size,
    })
}

fn read(tar: impl Read, limits: Limits) -> Result<LayerIndex, TarError> {
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
                index.entries.push(entry);
                continue;
            }
        }
        let Some(path) = TreePath::clean(&header.name)? else {
            continue;
        };
        if header.kind == HeaderKind::HardLink {
            let problem = "a hard link to the root";
            let target = TreePath::clean(&header.link)?.ok_or_else(|| TarError::Entry {
                entry: path.to_string(),
                problem,
            })?;
            index.entries.push(LayerEntry::Link { path, target });
            continue;
        }
        let kind = kind(&path, &header, &mut reader)?;
        let xattrs = header.xattrs.into_iter().collect();
        let Header {
            mode,
            uid,
            gid,
            mtime,
            ..
        } = header;
        let mode = if matches!(kind, Kind::Symlink { .. }) {
            0o777
        } else {
            mode
        };
        let attr = Attr {
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        };
        index.entries.push(LayerEntry::Entry(Entry {
            path,
            attr,
            kind,
            group: None,
        }));
    }
    Ok(index)
}

fn kind<R: Read>(
    path: &TreePath,
    header: &Header,
    reader: &mut TarReader<R>,
) -> Result<Kind, TarError> {
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
        HeaderKind::File => {
            let mut bytes = Hashing::new(reader.contents(header));
            io::copy(&mut bytes, &mut io::sink()).map_err(|source| TarError::Read {
                after: path.to_string(),
                source,
            })?;
            let (_, content, size) = bytes.finish();
            Kind::File {
                size,
                content,
                at: Location::Layer {
                    layer: 0,
                    offset: header.offset,
                },
            }
        }
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
        HeaderKind::HardLink => return Err(refuse("a hard link here")),
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
