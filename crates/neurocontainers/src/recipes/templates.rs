//! Installation templates that a checkout brings along.

use std::{fmt::Write as _, path::Path, sync::Arc};

use nd_report::{ColumnUnit, FileId, LineIndex, Severity, Sink};
use neurocontainers_recipe::Compat;
use neurodocker::Templates;

/// Largest template that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// First 16 digits of the SHA-256 of the templates that the built-in ones repair.
const REPAIRED: [(&str, &str); 12] = [
    ("afni", "baa475f0561f0d35"),
    ("ants", "782eea9a0422bff9"),
    ("bids_validator", "7c4cca4095723074"),
    ("convert3d", "b1b795d57cb2fe5b"),
    ("dcm2niix", "6b4688bcfbb563ea"),
    ("freesurfer", "4b2c69c402a98d14"),
    ("fsl", "9f660b123675b9d3"),
    ("matlabmcr", "8d7cbaf1ebcaf6dc"),
    ("minc", "157faf6a2367c553"),
    ("miniconda", "2be613a039dcbb15"),
    ("mrtrix3", "af949f8dd4acf723"),
    ("spm12", "4939649708df0387"),
];

/// The built-in templates with those of `root/templates`; `None` when nothing is to be added.
///
/// A checkout's template counts in place of the built-in one of its name, since its maintainer
/// means what it says. The exception is the very text that the built-in one repairs, which counts
/// in upstream's mode alone. In that mode there are no others than a checkout's own. A file that
/// is no template makes its uses problems.
pub fn checkout_templates(root: &Path, compat: Compat) -> Option<Arc<Templates>> {
    let mut files: Vec<_> = fs_err::read_dir(root.join("templates"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    let mut templates = match compat {
        Compat::Upstream => Templates::empty(),
        Compat::Improved => Templates::new(),
    };
    let mut changed = false;
    for path in files {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        match read(&path) {
            Ok(bytes) if compat == Compat::Improved && is_repaired(name, &bytes) => continue,
            Ok(bytes) => add(&mut templates, name, &bytes),
            Err(why) => templates.refuse(name, format!("`templates/{name}.yaml` {why}")),
        }
        changed = true;
    }
    changed.then(|| Arc::new(templates))
}

/// The file's bytes, or what is in the way as the end of a sentence.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let facts = fs_err::symlink_metadata(path).map_err(|_| "cannot be read")?;
    if !facts.is_file() {
        return Err("is no ordinary file".to_owned());
    }
    if facts.len() > LARGEST {
        return Err(format!("is larger than {LARGEST} bytes"));
    }
    fs_err::read(path).map_err(|_| "cannot be read".to_owned())
}

fn is_repaired(name: &str, bytes: &[u8]) -> bool {
    let known = REPAIRED.iter().find(|(known, _)| *known == name);
    known.is_some_and(|(_, digest)| {
        let found = nd_names::Sha256::of(bytes);
        found.hex().starts_with(digest)
    })
}

fn add(templates: &mut Templates, name: &str, bytes: &[u8]) {
    let mut sink = Sink::new();
    if templates.add(name, bytes, FileId(0), &mut sink) {
        return;
    }
    let mut why = format!("`templates/{name}.yaml`");
    let found = sink.into_diagnostics();
    let first = found.iter().find(|one| one.severity == Severity::Error);
    if let (Some(span), Ok(text)) = (
        first
            .and_then(|first| first.labels.first())
            .map(|label| label.span),
        std::str::from_utf8(bytes),
    ) {
        let place = LineIndex::new(text).position(span.range().start, ColumnUnit::CodePoints);
        // Writing to a string cannot fail.
        let _ = write!(why, ", line {}", place.line + 1);
    }
    let message = first.map_or("it is no installation template", |first| &first.message);
    let _ = write!(why, ": {message}");
    templates.refuse(name, why);
}
