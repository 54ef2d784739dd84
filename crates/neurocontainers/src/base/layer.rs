//! From the bootstrap tool's archive to the one layer of a base image.

use std::{
    collections::HashMap,
    io::{self, Read, Seek as _, SeekFrom},
    path::Path,
};

use nd_names::Sha256;
use nd_oci::{Compression, LayerOptions, Limits, UNREAD, WrittenLayer, index_layer, write_layer};
use nd_rootfs::{Entry, Kind, LayerEntry, LinkGroup, Location, TreePath};
use nd_store::Store;
use serde_json::{Value, json};

use super::BaseError;

/// Part of the key of every bootstrapped base: raise it whenever the same archive would give other
/// bytes.
pub(super) const VERSION: u32 = 2;

/// Writes configuration and manifest of an image of one layer, which is in the store; gives the digest of
/// the manifest.
pub(super) fn keep_image(
    store: &Store,
    config: &Value,
    layer: &WrittenLayer,
) -> Result<Sha256, BaseError> {
    let config = serde_json::to_vec(config)?;
    let (config_digest, _) = store.put_blob(&config[..], None)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest.oci(),
            "size": config.len(),
        },
        "layers": [layer.descriptor()],
    });
    let (digest, _) = store.put_blob(&serde_json::to_vec(&manifest)?[..], None)?;
    Ok(digest)
}

/// Directories whose files go: lists, packages and logs of the bootstrap.
const EMPTIED: [&str; 5] = [
    "run",
    "tmp",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
];
/// Files that go: those of the machine, and what programs make anew.
const FILES: [&str; 6] = [
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/hostname",
    "etc/hosts",
    "etc/resolv.conf",
    "var/cache/debconf/config.dat-old",
    "var/cache/ldconfig/aux-cache",
];
/// The list of archives, which names the public ones.
const SOURCES: &str = "etc/apt/sources.list";

/// Writes the layer into the store: what `tar` has without traces of the machine and of the moment,
/// with `sources` as the list of archives, and no time later than `date`.
pub(super) fn write_base_layer(
    store: &Store,
    tar: &Path,
    sources: &str,
    date: i64,
    compression: Compression,
) -> Result<WrittenLayer, BaseError> {
    let open = || fs_err::File::open(tar).map_err(BaseError::io(tar));
    let indexed = index_layer(open()?, Compression::None, Limits::default())?;
    let mut entries: Vec<LayerEntry> = Vec::with_capacity(indexed.index.entries.len());
    for mut entry in indexed.index.entries {
        if let Some(path) = entry.path()
            && dropped(path.as_bytes(), is_dir(&entry))
        {
            continue;
        }
        if let LayerEntry::Entry(entry) = &mut entry
            && entry.path.as_bytes() == SOURCES.as_bytes()
            && let Kind::File { size, content, .. } = &mut entry.kind
        {
            (*size, *content) = (sources.len() as u64, UNREAD);
        }
        entries.push(entry);
    }
    group_links(&mut entries);
    let mut source = |entry: &Entry| -> io::Result<Box<dyn Read>> {
        if entry.path.as_bytes() == SOURCES.as_bytes() {
            return Ok(Box::new(io::Cursor::new(sources.as_bytes().to_vec())));
        }
        let Kind::File {
            size,
            at: Location::Layer { offset, .. },
            ..
        } = entry.kind
        else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut file = fs_err::File::open(tar)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file.take(size)))
    };
    let options = LayerOptions {
        compression,
        clamp: Some(date),
    };
    let mut blob = store.new_blob()?;
    let layer = write_layer(&entries, &mut source, options, &mut blob)?;
    blob.finish()?;
    store.put_layer(&layer.digest, &layer.diff_id, &layer.index)?;
    Ok(layer)
}

/// Makes links entries of one group with their file: a layer is sorted by path, and the file may
/// come after its link then. The tool's archive is a whole tree, so every file is in it.
fn group_links(entries: &mut [LayerEntry]) {
    let mut files: HashMap<TreePath, usize> = HashMap::new();
    for at in 0..entries.len() {
        let linked = match &entries[at] {
            LayerEntry::Link { path, target } => {
                files.get(target).map(|file| (path.clone(), *file))
            }
            LayerEntry::Entry(entry) if !entry.kind.is_dir() => {
                files.insert(entry.path.clone(), at);
                None
            }
            _ => None,
        };
        let Some((path, file)) = linked else { continue };
        if let LayerEntry::Entry(entry) = &mut entries[file] {
            entry.group = Some(LinkGroup(file as u32));
            let link = Entry {
                path: path.clone(),
                ..entry.clone()
            };
            files.insert(path, file);
            entries[at] = LayerEntry::Entry(link);
        }
    }
}

fn is_dir(entry: &LayerEntry) -> bool {
    matches!(entry, LayerEntry::Entry(entry) if entry.kind.is_dir())
}

fn dropped(path: &[u8], is_dir: bool) -> bool {
    let below = |dir: &str| {
        path.strip_prefix(dir.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    !is_dir
        && (FILES.iter().any(|file| path == file.as_bytes())
            || EMPTIED.iter().any(|dir| below(dir))
            || (below("var/lib/dpkg") || below("var/cache/debconf")) && path.ends_with(b"-old"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_before_its_file_in_order_of_paths_is_as_good() {
        let path = |text: &str| TreePath::new(text).unwrap();
        let file = Entry {
            path: path("z"),
            attr: nd_rootfs::Attr::new(0o755),
            kind: Kind::Fifo,
            group: None,
        };
        let link = |from: &str, to: &str| LayerEntry::Link {
            path: path(from),
            target: path(to),
        };
        let mut entries = [LayerEntry::Entry(file), link("a", "z"), link("m", "a")];
        group_links(&mut entries);
        for (entry, name) in entries.iter().zip(["z", "a", "m"]) {
            let LayerEntry::Entry(entry) = entry else {
                panic!("{entry:?}");
            };
            assert_eq!(
                (&entry.path, entry.group),
                (&path(name), Some(LinkGroup(0)))
            );
            assert_eq!(entry.attr.mode, 0o755);
        }
    }

    #[test]
    fn the_machine_and_the_moment_leave_no_trace() {
        for gone in [
            "etc/hostname",
            "etc/resolv.conf",
            "var/log/dpkg.log",
            "var/lib/dpkg/status-old",
            "var/lib/apt/lists/lock",
        ] {
            assert!(dropped(gone.as_bytes(), false), "{gone}");
        }
        for kept in [
            "etc/apt/sources.list",
            "var/lib/dpkg/status",
            "var/logs",
            "etc/hostname.d",
        ] {
            assert!(!dropped(kept.as_bytes(), false), "{kept}");
        }
        assert!(!dropped(b"var/log/apt", true));
    }
}
