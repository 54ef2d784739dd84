//! From steps of a plan to edits of a repository.

use std::collections::BTreeSet;

use nd_modulefile::Dialect;
use nd_names::ImageName;
use nd_rootfs::{PathError, TreePath};
use transparent_singularity::{COMMANDS, ModuleFile};

use super::{
    actual::{Actual, CONTAINERS, image_path},
    desired::{Desired, DesiredImage},
    module_text::{Build, updated},
    modules::{ModuleEdit, canonical, latest, public},
    notice::{is_notice, notice},
    view::{View, ViewError, ViewKind},
};
use crate::{
    publisher::{Edit, Part},
    tree::{RECORD, RECORD_LIST},
};

/// Largest wrapper that is looked at for a notice, in bytes.
const WRAPPER: u64 = 64 << 10;
/// Largest list of commands, in bytes.
const LIST: u64 = 4 << 20;

/// A path of our own making.
fn path(text: &str) -> Result<TreePath, PathError> {
    TreePath::new(text)
}

/// The folder of a container.
pub(super) fn folder(image: &ImageName) -> Result<TreePath, PathError> {
    path(&format!("{CONTAINERS}/{image}"))
}

/// A container that comes, with its module files where it is the newest build of its version.
pub(super) fn publish(
    image: &DesiredImage,
    parts: Vec<Part>,
    modules: &[ModuleFile],
    commands: &[String],
    (desired, actual): (&Desired, &Actual),
    mount: &str,
) -> Result<Vec<Edit>, PathError> {
    let mut edits = vec![Edit::Directory {
        at: folder(&image.name)?,
        parts,
    }];
    let pair = image.pair();
    let newest = latest(desired, actual).remove(&pair);
    if newest.is_some_and(|newest| newest.date > image.name.date) {
        return Ok(edits);
    }
    let build = Build {
        image: &image.name,
        folder: format!("{mount}/{CONTAINERS}/{}", image.name),
        commands,
    };
    let categories = desired.categories().remove(&pair).unwrap_or_default();
    for module in modules {
        let dialect = Dialect::of_file(&module.path);
        // Help may name another build; reconciling must find nothing left to do.
        let text = updated(&module.text, dialect, &build);
        let shelves = categories
            .iter()
            .map(|category| public(category, &pair, dialect));
        for place in [canonical(&pair, dialect)].into_iter().chain(shelves) {
            edits.push(Edit::File {
                at: path(&place)?,
                bytes: text.clone().into_bytes(),
                mode: 0o644,
            });
        }
    }
    Ok(edits)
}

/// Module files that change.
pub(super) fn modules(edits: &[ModuleEdit]) -> Result<Vec<Edit>, PathError> {
    let edit = |edit: &ModuleEdit| {
        let at = path(&edit.path)?;
        Ok(match &edit.text {
            Some(text) => Edit::File {
                at,
                bytes: text.clone().into_bytes(),
                mode: 0o644,
            },
            None => Edit::Remove { at },
        })
    };
    edits.iter().map(edit).collect()
}

/// A container whose commands say that it is gone, and whose image goes.
pub(super) fn disable(view: &mut dyn View, image: &ImageName) -> Result<Vec<Edit>, ViewError> {
    let stem = image.stem();
    let base = format!("{CONTAINERS}/{stem}");
    let list = view.read(&format!("{base}/{COMMANDS}"), LIST)?;
    let list = list.unwrap_or_default();
    let names: BTreeSet<&str> = std::str::from_utf8(&list)
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .collect();
    let mut edits = Vec::new();
    for name in names {
        // The list is a file of the repository, and no reason to write anywhere else.
        let Ok(at) = TreePath::new(format!("{base}/{name}")) else {
            continue;
        };
        if name.contains('/') {
            continue;
        }
        let file = format!("{base}/{name}");
        if view.kind(&file)? != (Some(ViewKind::File { executable: true })) {
            continue;
        }
        // A launcher is larger than any notice.
        let text = view.read(&file, WRAPPER).ok().flatten();
        if text.is_none_or(|text| !is_notice(&text, image)) {
            edits.push(Edit::File {
                at,
                bytes: notice(image).into_bytes(),
                mode: 0o755,
            });
        }
    }
    let gone = [
        image_path(&stem),
        format!("{base}/{RECORD}"),
        format!("{base}/{RECORD_LIST}"),
    ];
    for text in gone {
        if view.kind(&text)?.is_some()
            && let Ok(at) = path(&text)
        {
            edits.push(Edit::Remove { at });
        }
    }
    Ok(edits)
}
