//! The header and descriptors, byte by byte: little-endian, packed, fixed places.

use nd_names::Architecture;
use uuid::Uuid;

/// Length of the header.
pub(crate) const HEADER: usize = 128;
/// Where descriptors start.
pub(crate) const DESCRIPTORS: u64 = 4096;
/// Length of a descriptor.
pub(crate) const DESCRIPTOR: usize = 585;
/// How many descriptors a new file has.
pub(crate) const TOTAL: usize = 48;
/// Where data starts.
pub(crate) const DATA: u64 = DESCRIPTORS + (TOTAL * DESCRIPTOR) as u64;
/// Where a partition may start: at multiples of this.
pub(crate) const PARTITION_ALIGNMENT: u64 = 4096;
/// Bytes of a descriptor's name, the last one NUL.
pub(crate) const NAME: usize = 128;
const EXTRA: usize = 384;
const MAGIC: &[u8; 10] = b"SIF_MAGIC\0";
const VERSION: &[u8; 3] = b"01\0";
/// Marks numbers of groups.
const GROUP: u32 = 0xf000_0000;

/// What the kernel runs when the file is executed.
pub const LAUNCH: &str = "#!/usr/bin/env run-singularity\n";
/// The name of the JSON object that `apptainer inspect` reads.
pub const INSPECT_METADATA: &str = "inspect-metadata.json";

macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident: $number:ty { $($(#[$each:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$each])* $variant,)*
            /// A number that is not known here.
            Other($number),
        }

        impl $name {
            pub(crate) fn number(self) -> $number {
                match self {
                    $(Self::$variant => $value,)*
                    Self::Other(number) => number,
                }
            }

            pub(crate) fn of(number: $number) -> Self {
                match number {
                    $($value => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }
    };
}

numbers! {
    /// What an object is.
    DataType: u32 {
        /// The definition an image was built from.
        DefFile = 0x4001,
        /// Environment variables.
        Environment = 0x4002,
        /// Labels as JSON.
        Labels = 0x4003,
        /// A file system.
        Partition = 0x4004,
        /// A signature of other objects.
        Signature = 0x4005,
        /// JSON of any kind.
        GenericJson = 0x4006,
        /// Anything.
        Generic = 0x4007,
        /// An encrypted message.
        CryptoMessage = 0x4008,
        /// A bill of materials.
        Sbom = 0x4009,
        /// The root index of an OCI image.
        OciRootIndex = 0x400a,
        /// A blob of an OCI image.
        OciBlob = 0x400b,
    }
}

numbers! {
    /// The file system of a partition.
    FsType: u32 {
        /// Squashfs.
        Squashfs = 1,
        /// ext3.
        Ext3 = 2,
        /// An archive of data objects.
        ImmutableObjects = 3,
        /// No file system.
        Raw = 4,
        /// Squashfs, encrypted.
        EncryptedSquashfs = 5,
    }
}

numbers! {
    /// What a partition is for.
    PartType: u32 {
        /// A system that may be mounted.
        System = 1,
        /// The system that is mounted.
        PrimarySystem = 2,
        /// Data.
        Data = 3,
        /// A writable overlay.
        Overlay = 4,
    }
}

/// The code of an architecture in headers and partitions.
pub(crate) fn architecture_code(architecture: Architecture) -> [u8; 3] {
    match architecture {
        Architecture::X86_64 => *b"02\0",
        Architecture::Aarch64 => *b"04\0",
    }
}

fn architecture_of(code: [u8; 3]) -> Option<Architecture> {
    Architecture::ALL
        .into_iter()
        .find(|&architecture| architecture_code(architecture) == code)
}

/// What an object belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Nothing.
    None,
    /// Another object, by its number.
    Object(u32),
    /// All objects of a group.
    Group(u32),
}

/// What a descriptor says beyond what all say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extra {
    /// Nothing that is known here.
    None,
    /// Of a partition.
    Partition {
        /// Its file system.
        fs: FsType,
        /// What it is for.
        part: PartType,
        /// The architecture of its programs; `None` for one containers are not built for.
        architecture: Option<Architecture>,
    },
    /// Of a signature.
    Signature {
        /// The hash function: 1 SHA-256, 2 SHA-384, 3 SHA-512, 4 BLAKE2s, 5 BLAKE2b.
        hash: u32,
        /// Fingerprint of the key.
        fingerprint: [u8; 20],
    },
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Its number, from 1.
    pub id: u32,
    /// What it is.
    pub data: DataType,
    /// Its group, from 1; one signature covers a group.
    pub group: Option<u32>,
    /// What it belongs to.
    pub link: Link,
    /// Where it starts in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub size: u64,
    /// The same with the gap before it.
    pub size_with_padding: u64,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was changed.
    pub modified: i64,
    /// Its name; may be empty.
    pub name: String,
    /// What its kind adds.
    pub extra: Extra,
}

impl Descriptor {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(DESCRIPTOR);
        out.extend(self.data.number().to_le_bytes());
        out.push(1);
        out.extend(self.id.to_le_bytes());
        out.extend(self.group.map_or(0, |group| group | GROUP).to_le_bytes());
        let link = match self.link {
            Link::None => 0,
            Link::Object(id) => id,
            Link::Group(group) => group | GROUP,
        };
        out.extend(link.to_le_bytes());
        for number in [self.offset, self.size, self.size_with_padding] {
            out.extend(number.to_le_bytes());
        }
        for number in [self.created, self.modified, 0, 0] {
            out.extend(number.to_le_bytes());
        }
        let mut name = self.name.clone().into_bytes();
        name.resize(NAME, 0);
        out.extend(name);
        match self.extra {
            Extra::None => {}
            Extra::Partition {
                fs,
                part,
                architecture,
            } => {
                out.extend(fs.number().to_le_bytes());
                out.extend(part.number().to_le_bytes());
                out.extend(architecture.map_or(*b"00\0", architecture_code));
            }
            Extra::Signature { hash, fingerprint } => {
                out.extend(hash.to_le_bytes());
                out.extend(fingerprint);
            }
        }
        out.resize(DESCRIPTOR, 0);
        out
    }

    /// Reads a descriptor; `None` for one that is not used.
    pub(crate) fn decode(bytes: &[u8; DESCRIPTOR]) -> Option<Result<Self, String>> {
        let mut at = Bytes(bytes);
        let data = DataType::of(at.u32());
        if at.take::<1>() == [0] {
            return None;
        }
        let (id, group, link) = (at.u32(), at.u32(), at.u32());
        let mut long = || u64::from_le_bytes(at.take());
        let (offset, size, size_with_padding) = (long(), long(), long());
        let (created, modified) = (long() as i64, long() as i64);
        let _owners = (long(), long());
        let name: [u8; NAME] = at.take();
        let length = name.iter().position(|&b| b == 0).unwrap_or(NAME);
        let name = String::from_utf8_lossy(&name[..length]).into_owned();
        debug_assert_eq!(at.0.len(), EXTRA);
        let extra = match data {
            DataType::Partition => Extra::Partition {
                fs: FsType::of(at.u32()),
                part: PartType::of(at.u32()),
                architecture: architecture_of(at.take()),
            },
            DataType::Signature => Extra::Signature {
                hash: at.u32(),
                fingerprint: at.take(),
            },
            _ => Extra::None,
        };
        if id == 0 {
            return Some(Err("an object has no number".to_owned()));
        }
        // Places are signed numbers in the file.
        if [offset, size, size_with_padding]
            .iter()
            .any(|&n| n > i64::MAX as u64)
        {
            return Some(Err(format!("object {id} has a negative place or size")));
        }
        Some(Ok(Self {
            id,
            data,
            group: (group & GROUP == GROUP && group != GROUP).then_some(group & !GROUP),
            link: match link {
                0 => Link::None,
                link if link & GROUP == GROUP => Link::Group(link & !GROUP),
                link => Link::Object(link),
            },
            offset,
            size,
            size_with_padding,
            created,
            modified,
            name,
            extra,
        }))
    }
}

/// The start of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What is run when the file is executed.
    pub launch: String,
    /// The architecture of the primary partition; `None` for one containers are not built for.
    pub architecture: Option<Architecture>,
    /// Identity of the file.
    pub id: Uuid,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it was changed.
    pub modified: i64,
    /// Free descriptors.
    pub free: u64,
    /// All descriptors.
    pub total: u64,
    /// Where they start.
    pub descriptors: u64,
    /// Where data starts.
    pub data: u64,
    /// Bytes of data, gaps included.
    pub data_size: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.launch.clone().into_bytes();
        out.resize(32, 0);
        out.extend(MAGIC);
        out.extend(VERSION);
        out.extend(self.architecture.map_or(*b"00\0", architecture_code));
        out.extend(self.id.as_bytes());
        for number in [self.created, self.modified] {
            out.extend(number.to_le_bytes());
        }
        for number in [
            self.free,
            self.total,
            self.descriptors,
            self.total * DESCRIPTOR as u64,
            self.data,
            self.data_size,
        ] {
            out.extend(number.to_le_bytes());
        }
        debug_assert_eq!(out.len(), HEADER);
        out
    }

    /// Reads a header; `Err` holds the version of a SIF file of another one.
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Option<Result<Self, String>> {
        let mut at = Bytes(bytes);
        let launch: [u8; 32] = at.take();
        if &at.take::<10>() != MAGIC {
            return None;
        }
        let version: [u8; 3] = at.take();
        if &version != VERSION {
            let text = String::from_utf8_lossy(&version);
            return Some(Err(text.trim_end_matches('\0').to_owned()));
        }
        let architecture = architecture_of(at.take());
        let id = Uuid::from_bytes(at.take());
        let mut long = || u64::from_le_bytes(at.take());
        let (created, modified) = (long() as i64, long() as i64);
        let (free, total, descriptors, _length) = (long(), long(), long(), long());
        let (data, data_size) = (long(), long());
        let length = launch.iter().position(|&b| b == 0).unwrap_or(32);
        Some(Ok(Self {
            launch: String::from_utf8_lossy(&launch[..length]).into_owned(),
            architecture,
            id,
            created,
            modified,
            free,
            total,
            descriptors,
            data,
            data_size,
        }))
    }
}

/// Takes fields off the front of bytes that are long enough for all of them.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((head, rest)) => {
                self.0 = rest;
                *head
            }
            // Lengths are fixed by the callers' array types.
            None => [0; N],
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}
