//! An OCI image as a SIF file, without a runtime: the tree, and what runtimes expect inside.

use std::fmt::Write as _;

use std::{
    collections::BTreeSet,
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nd_host::AtomicFile;
use nd_names::{Architecture, Sha256};
use nd_oci::Image;
use nd_report::Cancel;
use nd_rootfs::{
    Attr, ContentSink, Contents, ContentsError, Entry, Index, IndexError, Kind, Location, TreePath,
    Wanted,
};
use nd_sif::{DataType, INSPECT_METADATA, ObjectSpec, SifError, SifOptions, SifWriter, id_of};
use nd_squashfs::{WriteError, WriteOptions};
use serde_json::{Map, Value, json};

use crate::plan::sha256;

/// Where runtimes mount things.
const MOUNT_POINTS: [(&str, u16); 9] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];
const MOUNT_FILES: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];

/// Why an image could not be written as a SIF file.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The file cannot be written.
    #[error("failed to write `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file system in it.
    #[error(transparent)]
    Squashfs(#[from] WriteError),
    /// The table of objects.
    #[error(transparent)]
    Sif(#[from] SifError),
    /// The tree.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An image for a machine that containers are not built for.
    #[error("the image is for `{0}`")]
    Architecture(String),
}

/// Writes `image`, whose merged tree is `index` and `contents`, as the SIF file `path`. Gives digest
/// and length. Device nodes are left out, since ordinary users cannot unpack them.
pub fn write_sif(
    image: &Image,
    index: Index,
    contents: &mut dyn Contents,
    path: &Path,
    cancel: &Cancel,
) -> Result<(Sha256, u64), ConvertError> {
    let fail = || {
        let path = path.to_owned();
        move |source| ConvertError::Io { path, source }
    };
    let named = image.config.architecture().to_string();
    let architecture = match named.as_str() {
        "amd64" => Architecture::X86_64,
        "arm64" => Architecture::Aarch64,
        _ => return Err(ConvertError::Architecture(named)),
    };
    let runtime = RuntimeFiles::of(image, &named);
    let (index, mut contents) = WithFiles::new(index, contents, &runtime)?;
    let time = index
        .iter()
        .map(|entry| entry.attr.mtime)
        .max()
        .unwrap_or(0)
        .max(0);
    let mut file = AtomicFile::create(path).map_err(fail())?;
    let options = SifOptions {
        architecture,
        id: id_of(&image.digest),
        time,
    };
    let mut sif = SifWriter::new(&mut file, options)?;
    let packing = WriteOptions {
        cancel: cancel.clone(),
        ..WriteOptions::default()
    };
    sif.put_with::<_, ConvertError>(ObjectSpec::squashfs(architecture), |out| {
        let start = out.stream_position().map_err(fail())?;
        let written = {
            let mut buffered = io::BufWriter::with_capacity(1 << 20, &mut *out);
            nd_squashfs::write(&index, &mut contents, &mut buffered, &packing)?
        };
        out.seek(SeekFrom::Start(start + written.bytes))
            .map_err(fail())?;
        Ok(())
    })?;
    let definition = format!("Bootstrap: oci\nFrom: {}\n", image.digest.oci());
    sif.put(
        ObjectSpec::new(DataType::DefFile, ""),
        definition.as_bytes(),
    )?;
    let inspect = runtime.inspect(&definition);
    sif.put(
        ObjectSpec::new(DataType::GenericJson, INSPECT_METADATA),
        inspect.to_string().as_bytes(),
    )?;
    let bytes = sif.finish()?;
    file.flush().map_err(fail())?;
    file.seek(SeekFrom::Start(0)).map_err(fail())?;
    let digest = crate::digest_of(&mut file).map_err(fail())?;
    let mode = std::fs::Permissions::from_mode(0o755);
    file.file().set_permissions(mode).map_err(fail())?;
    file.commit().map_err(fail())?;
    Ok((digest, bytes))
}

/// What runtimes read below `/.singularity.d`.
struct RuntimeFiles {
    environment: String,
    runscript: String,
    labels: Map<String, Value>,
}

impl RuntimeFiles {
    fn of(image: &Image, architecture: &str) -> Self {
        let config = image.config.config().clone().unwrap_or_default();
        let mut environment = String::from("#!/bin/sh\n");
        for pair in config.env().clone().unwrap_or_default() {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
            if !valid {
                continue;
            }
            let mut escaped = String::new();
            for c in value.chars() {
                if matches!(c, '\\' | '"' | '$' | '`') {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            // `PATH` is the image's whatever the host has; all else the user may have set.
            let _ = if name == "PATH" {
                writeln!(environment, "export PATH=\"{escaped}\"")
            } else {
                writeln!(environment, "export {name}=\"${{{name}:-\"{escaped}\"}}\"")
            };
        }
        let words = |list: &Option<Vec<String>>| {
            let list = list.clone().unwrap_or_default();
            let list: Vec<String> = list.iter().map(|word| crate::quoted(word)).collect();
            list.join(" ")
        };
        let (entry, command) = (words(config.entrypoint()), words(config.cmd()));
        let default = if command.is_empty() && entry.is_empty() {
            "/bin/sh".to_owned()
        } else {
            command
        };
        let mut runscript = String::from("#!/bin/sh\n");
        if !default.is_empty() {
            let _ = writeln!(runscript, "[ $# -gt 0 ] || set -- {default}");
        }
        let _ = writeln!(runscript, "exec {entry} \"$@\"");
        let labels = config.labels().clone().unwrap_or_default();
        let mut labels: Map<String, Value> = labels
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
        labels.insert("org.label-schema.build-arch".into(), architecture.into());
        labels.insert("org.label-schema.schema-version".into(), "1.0".into());
        labels.sort_keys();
        Self {
            environment,
            runscript,
            labels,
        }
    }

    fn inspect(&self, definition: &str) -> Value {
        json!({
            "data": { "attributes": {
                "deffile": definition,
                "environment": { "/.singularity.d/env/10-docker2singularity.sh": self.environment },
                "labels": self.labels,
                "runscript": self.runscript,
            } },
            "type": "container",
        })
    }
}

/// Contents of an image and a few files more.
struct WithFiles<'a> {
    contents: &'a mut dyn Contents,
    files: Vec<Vec<u8>>,
}

impl<'a> WithFiles<'a> {
    fn new(
        index: Index,
        contents: &'a mut dyn Contents,
        runtime: &RuntimeFiles,
    ) -> Result<(Index, Self), IndexError> {
        let mut files = Vec::new();
        let mut new: Vec<Entry> = Vec::new();
        let mut put = |path: &str, mode: u16, bytes: Option<Vec<u8>>, replace: bool| {
            // Constants in normal form.
            let Ok(path) = TreePath::new(path) else {
                return;
            };
            if !replace && index.get(&path).is_some() {
                return;
            }
            let kind = match bytes {
                None => Kind::Dir { implicit: false },
                Some(bytes) => {
                    let at = Location::Host(files.len() as u64);
                    let (size, content) = (bytes.len() as u64, sha256(&bytes));
                    files.push(bytes);
                    Kind::File { size, content, at }
                }
            };
            new.push(Entry {
                path,
                attr: Attr::new(mode),
                kind,
                group: None,
            });
        };
        for (folder, mode) in MOUNT_POINTS {
            put(folder, mode, None, false);
        }
        for file in MOUNT_FILES {
            put(file, 0o644, Some(Vec::new()), false);
        }
        put(".singularity.d", 0o755, None, false);
        put(".singularity.d/env", 0o755, None, false);
        let labels = Value::Object(runtime.labels.clone()).to_string();
        for (path, mode, text) in [
            (
                ".singularity.d/env/10-docker2singularity.sh",
                0o755,
                runtime.environment.clone(),
            ),
            // The runtime sets the variables of its caller after this script alone.
            (".singularity.d/env/99-base.sh", 0o755, "#!/bin/sh\n".into()),
            (".singularity.d/labels.json", 0o644, labels),
            (".singularity.d/runscript", 0o755, runtime.runscript.clone()),
        ] {
            put(path, mode, Some(text.into_bytes()), true);
        }
        let replaced: BTreeSet<TreePath> = new.iter().map(|entry| entry.path.clone()).collect();
        let mut entries = index.into_entries();
        entries.retain(|entry| {
            !replaced.contains(&entry.path) && !matches!(entry.kind, Kind::Device { .. })
        });
        entries.extend(new);
        Ok((Index::from_entries(entries)?, Self { contents, files }))
    }
}

impl Contents for WithFiles<'_> {
    fn visit(&mut self, wanted: &Wanted, sink: &mut dyn ContentSink) -> Result<(), ContentsError> {
        let mut rest = Wanted::default();
        for (at, file) in wanted.iter() {
            let Location::Host(number) = at else {
                rest.insert(at, file.size, file.content);
                continue;
            };
            let bytes = usize::try_from(number).ok().and_then(|n| self.files.get(n));
            let bytes = bytes.ok_or(ContentsError::Missing { at })?;
            sink.file(at, file.size, &file.content, &mut bytes.as_slice())
                .map_err(|source| ContentsError::Sink {
                    at,
                    content: file.content,
                    source,
                })?;
        }
        self.contents.visit(&rest, sink)
    }
}
