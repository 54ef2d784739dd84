//! Trees in memory and ways to pack and read them.

use std::{
    collections::BTreeMap,
    io::{self, Cursor},
    process::Command,
    sync::Arc,
};

use nd_names::Sha256;
use nd_report::Cancel;
use nd_rootfs::{
    Attr, ContentSink, Contents, ContentsError, Entry, Index, Kind, LinkGroup, Location, TreePath,
    Wanted,
};
use nd_squashfs::{
    Digests, ImageContents, Limits, ReadError, Reader, WriteOptions, Written, write,
};

/// Contents in memory, handed over in the order of their locations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<Location, Vec<u8>>);

impl Contents for Memory {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        for (at, file) in wanted.iter() {
            let bytes = self.0.get(&at).ok_or(ContentsError::Missing { at })?;
            file.hand(at, &mut &bytes[..], sink)?;
        }
        Ok(())
    }
}

/// A tree under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreeBuilder {
    entries: Vec<Entry>,
    contents: Memory,
}

pub(crate) fn path(bytes: impl AsRef<[u8]>) -> TreePath {
    TreePath::new(bytes).unwrap()
}

impl TreeBuilder {
    pub(crate) fn put(&mut self, at: impl AsRef<[u8]>, mode: u16, kind: Kind) -> &mut Entry {
        self.entries.push(Entry {
            path: path(at),
            attr: Attr {
                mtime: 1_600_000_000,
                ..Attr::new(mode)
            },
            kind,
            group: None,
        });
        self.entries.last_mut().unwrap()
    }

    pub(crate) fn dir(&mut self, at: impl AsRef<[u8]>) -> &mut Entry {
        self.put(at, 0o755, Kind::Dir { implicit: false })
    }

    pub(crate) fn link(&mut self, at: impl AsRef<[u8]>, target: &[u8]) -> &mut Entry {
        let target = target.into();
        self.put(at, 0o777, Kind::Symlink { target })
    }

    pub(crate) fn file(&mut self, at: impl AsRef<[u8]>, bytes: &[u8]) -> &mut Entry {
        let place = Location::Host(self.contents.0.len() as u64);
        self.contents.0.insert(place, bytes.to_vec());
        let content = Sha256::of(bytes);
        let size = bytes.len() as u64;
        self.put(
            at,
            0o644,
            Kind::File {
                size,
                content,
                at: place,
            },
        )
    }

    /// Another name of the last entry.
    pub(crate) fn another_name(&mut self, at: impl AsRef<[u8]>) {
        let number = self.entries.len() as u32;
        let last = self.entries.last_mut().unwrap();
        last.group.get_or_insert(LinkGroup(number));
        let mut other = last.clone();
        other.path = path(at);
        self.entries.push(other);
    }

    pub(crate) fn done(self) -> (Index, Memory) {
        (Index::from_entries(self.entries).unwrap(), self.contents)
    }
}

pub(crate) fn options() -> WriteOptions<'static> {
    WriteOptions {
        threads: 2,
        ..WriteOptions::default()
    }
}

pub(crate) fn pack(
    index: &Index,
    contents: &mut dyn Contents,
    options: &WriteOptions<'_>,
) -> (Vec<u8>, Written) {
    let mut out = Cursor::new(Vec::new());
    let written = write(index, contents, &mut out, options).unwrap();
    assert_eq!(out.position(), written.bytes);
    assert_eq!(out.get_ref().len() as u64, written.bytes);
    (out.into_inner(), written)
}

pub(crate) type Image = ImageContents<Vec<u8>>;

pub(crate) fn read(image: Vec<u8>) -> Result<(Index, Image), ReadError> {
    let reader = Arc::new(Reader::open(image, Limits::default())?);
    reader.tree(Digests::Read { threads: 2 }, &Cancel::default())
}

/// What must be equal before and after: locations, names of groups and implicitness are not.
pub(crate) fn comparable(index: &Index) -> Vec<Entry> {
    let mut groups: BTreeMap<LinkGroup, (LinkGroup, usize)> = BTreeMap::new();
    for entry in index {
        if let Some(group) = entry.group {
            let next = LinkGroup(groups.len() as u32);
            groups.entry(group).or_insert((next, 0)).1 += 1;
        }
    }
    let plain = |mut entry: Entry| {
        entry.group = (entry.group)
            .map(|group| groups[&group])
            .filter(|(_, names)| *names > 1)
            .map(|(group, _)| group);
        match &mut entry.kind {
            Kind::File { at, .. } => *at = Location::Host(0),
            Kind::Dir { implicit } => *implicit = false,
            _ => {}
        }
        entry
    };
    index.iter().cloned().map(plain).collect()
}

/// Checks every content against its digest.
#[derive(Default)]
pub(crate) struct Checked(pub(crate) usize);

impl ContentSink for Checked {
    fn file(
        &mut self,
        _at: Location,
        size: u64,
        content: &Sha256,
        bytes: &mut dyn io::Read,
    ) -> io::Result<()> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        assert_eq!(all.len() as u64, size);
        assert_eq!(Sha256::of(&all), *content);
        self.0 += 1;
        Ok(())
    }
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// The command of a peer; `None`, with a printed reason, if it is not installed.
pub(crate) fn peer(program: &str) -> Option<Command> {
    let program = nd_testkit::peer(program)?;
    #[expect(clippy::disallowed_methods, reason = "a test judges by a peer")]
    Some(Command::new(program))
}

/// Runs a command that must succeed; gives its standard output.
pub(crate) fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

/// Whether devices can be made and owners set; says so if not.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let root = fs_err::metadata("/proc/self").unwrap().uid() == 0;
    if !root {
        println!("skipped: only root can unpack devices and owners");
    }
    root
}
