//! A SIF as an image: its file system as one layer, its environment and labels as a configuration.

use std::{
    io::{self, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
};

use indexmap::IndexMap;
use jiff::Timestamp;
use nd_names::Architecture;
use nd_oci::{Compression, Image, LayerOptions, write_layer};
use nd_report::Cancel;
use nd_rootfs::{Entry, Index, Kind, LayerEntry};
use nd_sif::Sif;
use nd_squashfs::{Digests, FileRange, Limits, Node, Reader};
use nd_store::Store;
use serde_json::{Value, json};

use super::{BaseError, layer};

/// Where labels, environment and run script are.
const LABELS: &str = ".singularity.d/labels.json";
const ENVIRONMENT: &str = ".singularity.d/env/10-docker2singularity.sh";
const RUNSCRIPT: &str = ".singularity.d/runscript";
/// Longest of these files that is read, in bytes.
const DOCUMENT: u64 = 1 << 20;
/// Files up to this size are read at once, longer ones piece by piece.
const SMALL: u64 = 4 << 20;
const PIECE: usize = 1 << 20;

/// Takes the SIF at `path` into the store as an image of one layer.
///
/// The environment is what the converters of images to SIF files write into
/// `10-docker2singularity.sh`; scripts that do more stay in the image and mean nothing to other
/// runtimes. What is run is the run script.
pub(super) fn image(path: &Path, store: &Store) -> Result<Image, BaseError> {
    let no_image = |problem| BaseError::NoImage {
        path: path.into(),
        problem,
    };
    let file = fs_err::File::open(path).map_err(BaseError::io(path))?;
    let sif = Sif::open(file.into_file())?;
    let (created, architecture) = (sif.header().created, sif.header().architecture);
    let architecture = architecture.ok_or_else(|| no_image("it is for an unknown architecture"))?;
    let partition = sif
        .primary_partition()
        .ok_or_else(|| no_image("the SIF has no system partition"))?;
    let (offset, size) = (partition.offset, partition.size);
    let range = FileRange::new(sif.into_file(), offset, size);
    let reader = Arc::new(Reader::open(range, Limits::default())?);
    let (index, _) = reader.tree(Digests::Skip, &Cancel::default())?;
    let config = config(&reader, &index, created, architecture);
    let entries: Vec<LayerEntry> = index
        .into_entries()
        .into_iter()
        .map(LayerEntry::Entry)
        .collect();
    let mut source = |entry: &Entry| open(&reader, entry);
    let options = LayerOptions {
        compression: Compression::Gzip,
        clamp: None,
    };
    let mut blob = store.new_blob()?;
    let layer = write_layer(&entries, &mut source, options, &mut blob)?;
    blob.finish()?;
    store.put_layer(&layer.digest, &layer.diff_id, &layer.index)?;
    let mut config = config;
    config["rootfs"] = json!({"type": "layers", "diff_ids": [layer.diff_id.oci()]});
    let digest = layer::keep_image(store, &config, &layer)?;
    Ok(Image::load(store, digest)?)
}

fn config(
    reader: &Reader<FileRange>,
    index: &Index,
    created: i64,
    architecture: Architecture,
) -> Value {
    let read = |path: &str| {
        let entry = index.get(path)?;
        let small = matches!(entry.kind, Kind::File { size, .. } if size <= DOCUMENT);
        let node = small.then(|| reader.node(path.as_bytes()).ok()).flatten()?;
        let mut text = String::new();
        reader.read(&node).ok()?.read_to_string(&mut text).ok()?;
        Some(text)
    };
    let labels: Option<IndexMap<String, Value>> =
        read(LABELS).and_then(|text| serde_json::from_str(&text).ok());
    let mut labels: IndexMap<String, String> = labels
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
        // Every conversion to a SIF adds these of its own.
        .filter(|(key, _)| !key.starts_with("org.label-schema."))
        .collect();
    labels.sort_keys();
    let environment = read(ENVIRONMENT).unwrap_or_default();
    let mut run = json!({ "Env": variables(&environment) });
    if !labels.is_empty() {
        run["Labels"] = json!(labels);
    }
    if index.get(RUNSCRIPT).is_some() {
        run["Cmd"] = json!([format!("/{RUNSCRIPT}")]);
    }
    let created = Timestamp::from_second(created).unwrap_or_default();
    json!({
        "architecture": architecture.oci(),
        "os": "linux",
        "created": created.to_string(),
        "config": run,
    })
}

/// The variables of a script of the form `export NAME="VALUE"` or `export NAME="${NAME:-"VALUE"}"`
/// on each line; other lines are none.
fn variables(script: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in script.lines() {
        let Some((name, quoted)) = line
            .strip_prefix("export ")
            .and_then(|line| line.split_once('='))
        else {
            continue;
        };
        let inner = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let Some(inner) = inner else { continue };
        let unless_set = format!("${{{name}:-\"");
        let inner = inner
            .strip_prefix(&unless_set)
            .and_then(|rest| rest.strip_suffix("\"}"))
            .unwrap_or(inner);
        if let Some(value) = unquoted(inner) {
            out.push(format!("{name}={value}"));
        }
    }
    out
}

/// What a shell makes of the text between double quotes; `None` where it would do something.
fn unquoted(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                escaped @ ('\\' | '"' | '$' | '`') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            '"' | '$' | '`' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// The content of a file, whose pieces are read as they are asked for.
fn open(reader: &Arc<Reader<FileRange>>, entry: &Entry) -> io::Result<Box<dyn Read>> {
    let Kind::File { size, .. } = entry.kind else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let node = reader
        .node(entry.path.as_bytes())
        .map_err(io::Error::other)?;
    if size <= SMALL {
        let mut bytes = Vec::with_capacity(size as usize);
        reader
            .read(&node)
            .map_err(io::Error::other)?
            .read_to_end(&mut bytes)?;
        return Ok(Box::new(Cursor::new(bytes)));
    }
    let (sender, receiver) = sync_channel(4);
    let reader = reader.clone();
    // Ends with the file, or when nobody listens any more.
    std::thread::spawn(move || {
        let send = |result| sender.send(result).is_ok();
        if let Err(error) = pieces(&reader, &node, &|piece| send(Ok(piece))) {
            send(Err(error));
        }
    });
    Ok(Box::new(Pieces {
        receiver,
        piece: Cursor::new(Vec::new()),
    }))
}

fn pieces(
    reader: &Reader<FileRange>,
    node: &Node,
    send: &dyn Fn(Vec<u8>) -> bool,
) -> io::Result<()> {
    let mut input = reader.read(node).map_err(io::Error::other)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        input.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        if piece.is_empty() || !send(piece) {
            return Ok(());
        }
    }
}

struct Pieces {
    receiver: Receiver<io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.piece.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            match self.receiver.recv() {
                Ok(piece) => self.piece = Cursor::new(piece?),
                // The other end is gone: that was all.
                Err(_) => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::variables;

    #[test]
    fn variables_are_read_and_nothing_is_run() {
        let script = concat!(
            "#!/bin/sh\n",
            "export PATH=\"/a:/b\"\n",
            "export A=\"${A:-\"x \\\"y\\\" \\$HOME \\\\\"}\"\n",
            "export B=\"$(id)\"\n",
            "export C=\"${D:-\"other\"}\"\n",
            "export E=unquoted\n",
            "id\n",
        );
        assert_eq!(variables(script), ["PATH=/a:/b", "A=x \"y\" $HOME \\"]);
    }
}
