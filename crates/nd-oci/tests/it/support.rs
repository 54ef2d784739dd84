//! Short ways to write layers and to run peers.

use std::{
    io::{self, Read},
    path::Path,
    process::Command,
};

use nd_names::Sha256;
use nd_oci::{Compression, LayerOptions, UNREAD, WrittenLayer, write_layer};
use nd_rootfs::{Attr, ContentSink, Entry, Kind, LayerEntry, Location, TreePath};

pub(crate) const PLAIN: LayerOptions = LayerOptions {
    compression: Compression::None,
    clamp: None,
};

pub(crate) fn path(text: impl AsRef<[u8]>) -> TreePath {
    TreePath::new(text).unwrap()
}

pub(crate) fn entry(at: impl AsRef<[u8]>, mode: u16, kind: Kind) -> Entry {
    Entry {
        path: path(at),
        attr: Attr {
            mtime: 1_600_000_000,
            ..Attr::new(mode)
        },
        kind,
        group: None,
    }
}

pub(crate) fn dir(at: impl AsRef<[u8]>) -> LayerEntry {
    LayerEntry::Entry(entry(at, 0o755, Kind::Dir { implicit: false }))
}

/// A file whose content is its size in bytes of `x`.
pub(crate) fn file(at: impl AsRef<[u8]>, size: u64) -> Entry {
    entry(
        at,
        0o644,
        Kind::File {
            size,
            content: UNREAD,
            at: Location::Host(0),
        },
    )
}

pub(crate) fn source(entry: &Entry) -> io::Result<Box<dyn Read>> {
    let Kind::File { size, .. } = entry.kind else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    Ok(Box::new(io::repeat(b'x').take(size)))
}

pub(crate) fn write(entries: &[LayerEntry], options: LayerOptions) -> (WrittenLayer, Vec<u8>) {
    let mut blob = Vec::new();
    let written = write_layer(entries, &mut source, options, &mut blob).unwrap();
    (written, blob)
}

/// Runs a peer; `None`, with a printed reason, if it is not installed.
pub(crate) fn peer(program: &str, args: &[&dyn AsRef<Path>]) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a test judges by a peer")]
    let mut command = Command::new(program);
    for arg in args {
        command.arg(arg.as_ref());
    }
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{program}: {text}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => {
            assert!(
                std::env::var_os("ND_REQUIRE_PEERS").is_none(),
                "install {program}: {error}"
            );
            println!("skipped: {program} is not installed");
            None
        }
    }
}

/// Takes everything and checks it against its digest.
#[derive(Default)]
pub(crate) struct Collect(pub(crate) Vec<(Location, Vec<u8>)>);

impl ContentSink for Collect {
    fn file(
        &mut self,
        at: Location,
        size: u64,
        content: &Sha256,
        bytes: &mut dyn Read,
    ) -> io::Result<()> {
        let mut all = Vec::new();
        bytes.read_to_end(&mut all)?;
        assert_eq!(all.len() as u64, size);
        assert_eq!(Sha256::of(&all), *content);
        self.0.push((at, all));
        Ok(())
    }
}
