//! Writing a layer: deterministic tar, compressed and hashed while it streams.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{self, Read, Write},
};

use nd_names::Sha256;
use nd_rootfs::{Attr, DeviceClass, Entry, Kind, LayerEntry, LayerIndex, Location, TreePath};
use oci_spec::image::{Descriptor, Sha256Digest};

use crate::{
    Compression, OciError, UNREAD,
    compression::Encoder,
    digest::Hashing,
    tar::{Record, TarWriter},
};

/// How a layer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerOptions {
    /// How it is compressed: zstd at level 3, or gzip at level 6.
    pub compression: Compression,
    /// Later times become this one (`SOURCE_DATE_EPOCH`).
    pub clamp: Option<i64>,
}

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLayer {
    /// SHA-256 of the tar.
    pub diff_id: Sha256,
    /// Bytes of the tar.
    pub uncompressed: u64,
    /// SHA-256 of the blob.
    pub digest: Sha256,
    /// Bytes of the blob.
    pub size: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// Its index, with digests and offsets as written: reading the blob again would give the same.
    pub index: LayerIndex,
}

impl WrittenLayer {
    /// The descriptor for a manifest.
    pub fn descriptor(&self) -> Descriptor {
        layer_descriptor(self.compression, self.digest, self.size)
    }
}

/// The descriptor of a layer blob for a manifest.
pub fn layer_descriptor(compression: Compression, digest: Sha256, size: u64) -> Descriptor {
    descriptor(compression.media_type(), digest, size)
}

pub(crate) fn descriptor(
    media_type: oci_spec::image::MediaType,
    digest: Sha256,
    size: u64,
) -> Descriptor {
    use std::str::FromStr as _;
    #[expect(
        clippy::expect_used,
        reason = "64 lower-case hex digits are always accepted"
    )]
    let digest = Sha256Digest::from_str(&digest.hex()).expect("hex digits");
    Descriptor::new(media_type, size, digest)
}

/// Writes a layer from what it should say.
///
/// The order of `entries` does not matter: whiteouts come first in their directory, then entries in
/// tree order; the first path of a link group (by [`Entry::group`], or a [`LayerEntry::Link`]'s
/// target) is the file, later ones are links. Every parent must be among the entries. `source`
/// opens the content of a file; it is hashed on the way and must match the entry's digest unless
/// that is [`UNREAD`].
pub fn write_layer(
    entries: &[LayerEntry],
    source: &mut dyn FnMut(&Entry) -> io::Result<Box<dyn Read>>,
    options: LayerOptions,
    out: impl Write,
) -> Result<WrittenLayer, OciError> {
    let ordered = order(entries)?;
    let blob = Hashing::new(out);
    let encoder = Encoder::new(options.compression, blob).map_err(OciError::Output)?;
    let mut layer = Layer {
        tar: TarWriter::new(Hashing::new(encoder)),
        index: LayerIndex::default(),
        groups: HashMap::new(),
        targets: entries
            .iter()
            .filter_map(|entry| match entry {
                LayerEntry::Link { target, .. } => Some((target.clone(), None)),
                _ => None,
            })
            .collect(),
        options,
    };
    for step in ordered {
        layer.write(step, source)?;
    }
    let Layer { tar, index, .. } = layer;
    let tar = tar.finish().map_err(OciError::Output)?;
    let (encoder, diff_id, uncompressed) = tar.finish();
    let mut blob = encoder.finish().map_err(OciError::Output)?;
    blob.flush().map_err(OciError::Output)?;
    let (_, digest, size) = blob.finish();
    let compression = options.compression;
    Ok(WrittenLayer {
        diff_id,
        uncompressed,
        digest,
        size,
        compression,
        index,
    })
}

/// One thing to write, in order.
#[derive(Clone, Copy)]
enum Step<'a> {
    Entry(&'a Entry),
    /// The same entry as `1`, under another name.
    Link(&'a TreePath, &'a TreePath),
    Whiteout(&'a TreePath),
    Opaque(Option<&'a TreePath>),
}

fn order<'a>(entries: &'a [LayerEntry]) -> Result<Vec<Step<'a>>, OciError> {
    let refuse = |path: &TreePath, problem| OciError::Unwritable {
        path: path.clone(),
        problem,
    };
    // What is gone, by directory; an opaque mark is `None`.
    let mut gone: BTreeMap<Option<&TreePath>, Vec<Option<&TreePath>>> = BTreeMap::new();
    let by_path: HashMap<&TreePath, &TreePath> = (entries.iter())
        .filter_map(|entry| match entry {
            LayerEntry::Entry(entry) if entry.kind.is_dir() => Some((&entry.path, &entry.path)),
            _ => None,
        })
        .collect();
    let mut there: BTreeMap<&TreePath, Step<'_>> = BTreeMap::new();
    let mut dirs: HashSet<&TreePath> = HashSet::new();
    for entry in entries {
        let before = match entry {
            LayerEntry::Whiteout(path) => {
                let dir =
                    match path.parent() {
                        None => None,
                        Some(dir) => Some(*by_path.get(&dir).ok_or_else(|| {
                            refuse(path, "its directory is not part of the layer")
                        })?),
                    };
                gone.entry(dir).or_default().push(Some(path));
                None
            }
            LayerEntry::Opaque(dir) => {
                gone.entry(dir.as_ref()).or_default().push(None);
                None
            }
            LayerEntry::Link { path, target } => there.insert(path, Step::Link(path, target)),
            LayerEntry::Entry(entry) => {
                if entry.kind.is_dir() {
                    dirs.insert(&entry.path);
                }
                there.insert(&entry.path, Step::Entry(entry))
            }
        };
        if before.is_some()
            && let Some(path) = entry.path()
        {
            return Err(refuse(path, "it stands twice"));
        }
    }
    for path in there.keys() {
        if path.parts().any(|part| part.starts_with(b".wh.")) {
            return Err(refuse(path, "names starting with `.wh.` are whiteouts"));
        }
        if path.parent().is_some_and(|parent| !dirs.contains(&parent)) {
            return Err(refuse(path, "its directory is not part of the layer"));
        }
    }
    for (dir, paths) in &gone {
        if let Some(dir) = dir
            && !dirs.contains(dir)
        {
            return Err(refuse(dir, "it is opaque, but no directory of the layer"));
        }
        if let Some(path) = paths
            .iter()
            .flatten()
            .find(|path| there.contains_key(*path))
        {
            return Err(refuse(path, "it is both removed and there"));
        }
    }

    let mut out = Vec::with_capacity(entries.len());
    let mut add_marks = |dir: Option<&'a TreePath>, out: &mut Vec<Step<'a>>| {
        let Some(mut paths) = gone.remove(&dir) else {
            return;
        };
        paths.sort();
        paths.dedup();
        out.extend(
            paths
                .into_iter()
                .map(|path| path.map_or(Step::Opaque(dir), Step::Whiteout)),
        );
    };
    add_marks(None, &mut out);
    for (path, step) in there {
        out.push(step);
        if dirs.contains(path) {
            add_marks(Some(path), &mut out);
        }
    }
    Ok(out)
}

struct Layer<W: Write> {
    tar: TarWriter<W>,
    index: LayerIndex,
    groups: HashMap<nd_rootfs::LinkGroup, TreePath>,
    /// Attributes of what links of this layer name; filled as it is written.
    targets: HashMap<TreePath, Option<Attr>>,
    options: LayerOptions,
}

impl<W: Write> Layer<W> {
    fn write(
        &mut self,
        step: Step<'_>,
        source: &mut dyn FnMut(&Entry) -> io::Result<Box<dyn Read>>,
    ) -> Result<(), OciError> {
        match step {
            Step::Whiteout(path) => {
                let name = marked(path.parent().as_ref(), &[b".wh.", path.name()].concat());
                self.mark(&name)?;
                self.index.entries.push(LayerEntry::Whiteout(path.clone()));
            }
            Step::Opaque(dir) => {
                self.mark(&marked(dir, b".wh..wh..opq"))?;
                self.index.entries.push(LayerEntry::Opaque(dir.cloned()));
            }
            Step::Link(path, target) => {
                let known = self.targets.get(target).cloned().flatten();
                // What a lower layer has is not known here; most readers ignore it.
                self.link(path, target, &known.unwrap_or_else(|| Attr::new(0o644)))?;
            }
            Step::Entry(entry) => {
                let first = entry
                    .group
                    .and_then(|group| self.groups.get(&group).cloned());
                if let Some(first) = first.filter(|_| !entry.kind.is_dir()) {
                    let attr = self.clamped(&entry.attr);
                    return self.link(&entry.path, &first, &attr);
                }
                if let Some(group) = entry.group {
                    self.groups.insert(group, entry.path.clone());
                }
                self.entry(entry, source)?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, name: &[u8]) -> Result<(), OciError> {
        self.header(name, b'0', b"", &Attr::default(), 0, (0, 0))
            .map(|_| ())
    }

    fn clamped(&self, attr: &Attr) -> Attr {
        let mut attr = attr.clone();
        if let Some(clamp) = self.options.clamp {
            attr.mtime = attr.mtime.min(clamp);
        }
        attr
    }

    /// A link carries what the file itself has: some readers set mode, owner and time of the file
    /// by it. Extended attributes stand at the file alone.
    fn link(&mut self, path: &TreePath, target: &TreePath, attr: &Attr) -> Result<(), OciError> {
        let (name, link) = (path.as_bytes(), target.as_bytes());
        let plain = Attr {
            xattrs: nd_rootfs::Xattrs::default(),
            ..attr.clone()
        };
        self.header(name, b'1', link, &plain, 0, (0, 0))?;
        if let Some(known) = self.targets.get_mut(path) {
            *known = Some(plain);
        }
        let (path, target) = (path.clone(), target.clone());
        self.index.entries.push(LayerEntry::Link { path, target });
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &Entry,
        source: &mut dyn FnMut(&Entry) -> io::Result<Box<dyn Read>>,
    ) -> Result<(), OciError> {
        let mut written = entry.clone();
        written.group = None;
        written.attr = self.clamped(&entry.attr);
        let path = entry.path.as_bytes();
        let refuse = |problem| OciError::Unwritable {
            path: entry.path.clone(),
            problem,
        };
        let attr = &written.attr;
        match &entry.kind {
            Kind::Dir { .. } => {
                self.header(&[path, b"/"].concat(), b'5', b"", attr, 0, (0, 0))?;
                written.kind = Kind::Dir { implicit: false };
            }
            Kind::Symlink { target } => {
                written.attr.mode = 0o777;
                self.header(path, b'2', target, &written.attr, 0, (0, 0))?;
            }
            Kind::Fifo => {
                self.header(path, b'6', b"", attr, 0, (0, 0))?;
            }
            Kind::Device {
                class: DeviceClass::Char,
                major: 0,
                minor: 0,
            } => {
                return Err(refuse("it is an overlay whiteout"));
            }
            Kind::Device {
                class,
                major,
                minor,
            } => {
                let flag = if *class == DeviceClass::Char {
                    b'3'
                } else {
                    b'4'
                };
                self.header(path, flag, b"", attr, 0, (*major, *minor))?;
            }
            Kind::Socket => return Err(refuse("tar has no sockets")),
            Kind::File { size, content, .. } => {
                let offset = self.header(path, b'0', b"", attr, *size, (0, 0))?;
                let found = self.content(entry, *size, source)?;
                if *content != UNREAD && *content != found {
                    return Err(refuse("its content is not the one announced"));
                }
                let at = Location::Layer { layer: 0, offset };
                written.kind = Kind::File {
                    size: *size,
                    content: found,
                    at,
                };
            }
        }
        if let Some(known) = self.targets.get_mut(&written.path) {
            *known = Some(written.attr.clone());
        }
        self.index.entries.push(LayerEntry::Entry(written));
        Ok(())
    }

    fn content(
        &mut self,
        entry: &Entry,
        size: u64,
        source: &mut dyn FnMut(&Entry) -> io::Result<Box<dyn Read>>,
    ) -> Result<Sha256, OciError> {
        let fail = |source| OciError::Content {
            path: entry.path.clone(),
            source,
        };
        let mut bytes = Hashing::new(source(entry).map_err(fail)?);
        let mut buffer = vec![0; (size.min(256 * 1024) as usize).max(1)];
        let mut left = size;
        loop {
            let n = match bytes.read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(fail(error)),
            };
            if n as u64 > left || n == 0 && left > 0 {
                let problem = "it changed its size while it was read";
                return Err(OciError::Unwritable {
                    path: entry.path.clone(),
                    problem,
                });
            }
            if n == 0 {
                break;
            }
            left -= n as u64;
            self.tar.data(&buffer[..n]).map_err(OciError::Output)?;
        }
        self.tar.end_data().map_err(OciError::Output)?;
        Ok(bytes.finish().1)
    }

    fn header(
        &mut self,
        name: &[u8],
        type_flag: u8,
        link: &[u8],
        attr: &Attr,
        size: u64,
        device: (u32, u32),
    ) -> Result<u64, OciError> {
        let record = Record {
            name,
            type_flag,
            link,
            attr,
            size,
            device,
        };
        self.tar.header(&record).map_err(OciError::Output)
    }
}

fn marked(dir: Option<&TreePath>, name: &[u8]) -> Vec<u8> {
    match dir {
        Some(dir) => [dir.as_bytes(), b"/", name].concat(),
        None => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use nd_rootfs::LinkGroup;

    use super::*;
    use crate::{
        Limits,
        tar::{HeaderKind, TarReader},
    };

    #[test]
    fn links_carry_what_their_file_has() {
        let attr = Attr {
            uid: 7,
            gid: 8,
            mtime: 900,
            ..Attr::new(0o4755)
        };
        let file = |path: &str, group| {
            LayerEntry::Entry(Entry {
                path: TreePath::new(path).unwrap(),
                attr: attr.clone(),
                kind: Kind::File {
                    size: 0,
                    content: UNREAD,
                    at: Location::Host(0),
                },
                group,
            })
        };
        let link = |path: &str, target: &str| LayerEntry::Link {
            path: TreePath::new(path).unwrap(),
            target: TreePath::new(target).unwrap(),
        };
        let group = Some(LinkGroup(1));
        let entries = [
            file("a", group),
            file("b", group),
            link("c", "b"),
            file("d", None),
            link("e", "d"),
        ];
        let options = LayerOptions {
            compression: Compression::None,
            clamp: Some(500),
        };
        let mut out = Vec::new();
        let mut empty = |_: &Entry| Ok(Box::new(io::empty()) as Box<dyn Read>);
        write_layer(&entries, &mut empty, options, &mut out).unwrap();
        let mut reader = TarReader::new(&out[..], Limits::default());
        let mut links = 0;
        while let Some(header) = reader.next().unwrap() {
            links += usize::from(header.kind == HeaderKind::HardLink);
            let found = (header.mode, header.uid, header.gid, header.mtime);
            assert_eq!(found, (0o4755, 7, 8, 500), "{:?}", header.name);
        }
        assert_eq!(links, 3);
    }
}
