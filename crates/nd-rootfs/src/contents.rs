//! The bytes of files, handed over in the order a packaging stores them.

use std::{
    collections::{BTreeMap, HashSet},
    io,
};

use nd_names::Sha256;

use crate::{Index, Kind, Location};

/// Gives the bytes of files of one index.
pub trait Contents {
    /// Hands each wanted location over once, in storage order. What the sink leaves unread is
    /// skipped; bytes that do not match the digest of the index are an error at the latest when
    /// the sink has read them all.
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError>;
}

impl<C: Contents + ?Sized> Contents for &mut C {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        (**self).visit(wanted, sink)
    }
}

/// Takes the bytes of files.
pub trait ContentSink {
    /// Takes one content: `bytes` yields exactly `size` bytes whose SHA-256 is `content`.
    fn file(
        &mut self,
        at: Location,
        size: u64,
        content: &Sha256,
        bytes: &mut dyn io::Read,
    ) -> io::Result<()>;
}

/// Why contents could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// The taker failed.
    #[error("failed to take the content {content} at {at:?}")]
    Sink {
        /// Which content.
        at: Location,
        /// Its digest.
        content: Sha256,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The packaging could not be read.
    #[error("failed to read contents of `{what}`")]
    Read {
        /// Which blob or file.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The bytes are not those the index promised.
    #[error("content at {at:?} is not the indexed one: expected {expected}")]
    Changed {
        /// Which content.
        at: Location,
        /// What the index says.
        expected: Sha256,
    },
    /// The location does not belong to this source.
    #[error("there is no content at {at:?}")]
    Missing {
        /// The location.
        at: Location,
    },
}

/// A content that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedFile {
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub content: Sha256,
}

impl WantedFile {
    /// Hands `bytes`, which lie at `at`, to `sink`.
    ///
    /// # Errors
    ///
    /// [`ContentsError::Sink`] when the sink fails.
    pub fn hand(
        self,
        at: Location,
        bytes: &mut dyn io::Read,
        sink: &mut dyn ContentSink,
    ) -> Result<(), ContentsError> {
        let Self { size, content } = self;
        sink.file(at, size, &content, bytes)
            .map_err(|source| ContentsError::Sink {
                at,
                content,
                source,
            })
    }
}

/// Contents in memory: each lies at [`Location::Host`] with its number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryContents(pub Vec<Vec<u8>>);

impl MemoryContents {
    /// Adds a content; gives the file that has it.
    pub fn file(&mut self, bytes: Vec<u8>) -> Kind {
        let kind = Kind::File {
            size: bytes.len() as u64,
            content: Sha256::of(&bytes),
            at: Location::Host(self.0.len() as u64),
        };
        self.0.push(bytes);
        kind
    }
}

impl Contents for MemoryContents {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        for (at, file) in wanted.iter() {
            let bytes = match at {
                Location::Host(number) => usize::try_from(number).ok().and_then(|n| self.0.get(n)),
                _ => None,
            };
            let bytes = bytes.ok_or(ContentsError::Missing { at })?;
            file.hand(at, &mut &bytes[..], sink)?;
        }
        Ok(())
    }
}

/// The set of contents somebody wants, by location.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted(BTreeMap<Location, WantedFile>);

impl Wanted {
    /// Every location of an index once: hard links share theirs, equal copies do not.
    pub fn every_location(index: &Index) -> Self {
        let mut out = Self::default();
        for entry in index {
            if let Kind::File { size, content, at } = entry.kind {
                out.insert(at, size, content);
            }
        }
        out
    }

    /// Every distinct content of an index once, at the location stored first. Equal files anywhere
    /// are one content.
    pub fn distinct(index: &Index) -> Self {
        let mut out = Self::every_location(index);
        let mut seen = HashSet::new();
        out.0.retain(|_, file| seen.insert(file.content));
        out
    }

    /// Adds a location.
    pub fn insert(&mut self, at: Location, size: u64, content: Sha256) {
        self.0.insert(at, WantedFile { size, content });
    }

    /// Whether `at` is wanted, and what it should be.
    pub fn get(&self, at: Location) -> Option<WantedFile> {
        self.0.get(&at).copied()
    }

    /// All, in storage order.
    pub fn iter(&self) -> impl Iterator<Item = (Location, WantedFile)> {
        self.0.iter().map(|(at, file)| (*at, *file))
    }

    /// Those of one layer: offset and file, ascending.
    pub fn of_layer(&self, layer: u32) -> impl Iterator<Item = (u64, WantedFile)> {
        let range = Location::Layer { layer, offset: 0 }..=Location::Layer {
            layer,
            offset: u64::MAX,
        };
        self.0.range(range).filter_map(|(at, file)| match at {
            Location::Layer { offset, .. } => Some((*offset, *file)),
            _ => None,
        })
    }

    /// How many contents are wanted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
