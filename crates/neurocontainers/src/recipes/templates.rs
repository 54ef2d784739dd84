//! Installation templates that a checkout brings along.

use std::{path::Path, sync::Arc};

use nd_report::{FileId, Sink};
use neurocontainers_recipe::Compat;
use neurodocker::Templates;

/// Largest template that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The built-in templates with those of `root/templates`; `None` when nothing is to be added.
///
/// In upstream's mode a checkout's own count in all cases; else they add those that are not built in,
/// since the built-in ones have upstream's mistakes repaired. What cannot be read as a template is
/// left out, and so unknown to recipes.
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
    let known = templates.names();
    let mut added = false;
    for path in files {
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        let small = fs_err::symlink_metadata(&path)
            .is_ok_and(|facts| facts.is_file() && facts.len() <= LARGEST);
        if known.iter().any(|known| known == name) || !small {
            continue;
        }
        if let Ok(bytes) = fs_err::read(&path) {
            added |= templates.add(name, &bytes, FileId(u32::MAX), &mut Sink::new());
        }
    }
    added.then(|| Arc::new(templates))
}
