//! A small system in memory, packed into a SIF file.

use std::io::{self, Cursor, Seek, Write};

use nd_names::{Architecture, Sha256};
use nd_rootfs::{Attr, Entry, Index, Kind, MemoryContents, TreePath};
use nd_sif::{DataType, INSPECT_METADATA, ObjectSpec, SifError, SifOptions, SifWriter, id_of};
use nd_squashfs::{WriteError, WriteOptions};

pub(crate) const DEFINITION: &str = "Bootstrap: scratch\n";
pub(crate) const INSPECT: &str = r##"{"data":{"attributes":{"deffile":"Bootstrap: scratch\n","labels":{"org.example.word":"thirty-one"},"runscript":"#!/bin/sh\necho ran \"$@\"\n","environment":{}}},"type":"container"}"##;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PackError {
    #[error(transparent)]
    Sif(#[from] SifError),
    #[error(transparent)]
    Squashfs(#[from] WriteError),
}

/// A system around `busybox`, the bytes of a static program.
pub(crate) fn system(busybox: &[u8]) -> (Index, MemoryContents) {
    let mut entries = Vec::new();
    let mut contents = MemoryContents::default();
    let mut put = |path: &str, mode, kind| {
        entries.push(Entry {
            path: TreePath::new(path).unwrap(),
            attr: Attr::new(mode),
            kind,
            group: None,
        });
    };
    for dir in [
        ".singularity.d",
        ".singularity.d/env",
        "bin",
        "dev",
        "etc",
        "home",
        "proc",
        "root",
        "sys",
        "tmp",
        "var",
        "var/tmp",
    ] {
        put(dir, 0o755, Kind::Dir { implicit: false });
    }
    for name in ["sh", "cat", "env", "ls", "sha256sum", "test"] {
        let target = (*b"busybox").into();
        put(&format!("bin/{name}"), 0o777, Kind::Symlink { target });
    }
    for (path, mode, bytes) in [
        ("bin/busybox", 0o755, busybox),
        (
            ".singularity.d/runscript",
            0o755,
            b"#!/bin/sh\necho ran \"$@\"\n",
        ),
        (
            ".singularity.d/env/90-environment.sh",
            0o755,
            b"#!/bin/sh\nexport WORD=heard\n",
        ),
        ("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/group", 0o644, b"root:x:0:\n"),
        ("etc/hosts", 0o644, b""),
        ("etc/resolv.conf", 0o644, b""),
        ("message", 0o644, b"from inside\n"),
    ] {
        put(path, mode, contents.file(bytes.to_vec()));
    }
    (Index::from_entries(entries).unwrap(), contents)
}

fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::of(bytes)
}

/// Packs a system around `busybox` into a SIF file.
pub(crate) fn pack<W: Write + Seek>(
    busybox: &[u8],
    squashfs: &WriteOptions<'_>,
    out: &mut W,
) -> Result<u64, PackError> {
    let (index, mut contents) = system(busybox);
    let architecture = Architecture::of_this_program().unwrap();
    let options = SifOptions {
        architecture,
        id: id_of(&digest(b"identity")),
        time: 1_700_000_000,
    };
    let mut sif = SifWriter::new(out, options)?;
    sif.put_with(ObjectSpec::squashfs(architecture), |out| {
        nd_squashfs::write(&index, &mut contents, out, squashfs).map_err(PackError::from)
    })?;
    sif.put(
        ObjectSpec::new(DataType::DefFile, "definition"),
        DEFINITION.as_bytes(),
    )?;
    sif.put(
        ObjectSpec::new(DataType::GenericJson, INSPECT_METADATA),
        INSPECT.as_bytes(),
    )?;
    sif.put(
        ObjectSpec::new(DataType::GenericJson, "tree.json"),
        b"{\"version\": 1}",
    )?;
    sif.put(
        ObjectSpec::new(DataType::Generic, "tree.mtree.zst"),
        b"\x01\x02",
    )?;
    Ok(sif.finish()?)
}

pub(crate) fn packed(busybox: &[u8]) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let length = pack(busybox, &WriteOptions::default(), &mut out).unwrap();
    assert_eq!(length, out.get_ref().len() as u64);
    out.into_inner()
}

/// An output that is full after so many bytes.
pub(crate) struct Full(pub(crate) Cursor<Vec<u8>>, pub(crate) u64);

impl Write for Full {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // Counts what was written, so that the header at the start may fail, too.
        self.1 = (self.1.checked_sub(buf.len() as u64)).ok_or(io::ErrorKind::StorageFull)?;
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}
