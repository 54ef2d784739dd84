//! What is published now, as far as a plan needs it.

use std::collections::BTreeMap;

use nd_names::ImageName;

use super::view::{View, ViewError, ViewKind};

/// The folder of containers.
pub const CONTAINERS: &str = "containers";
/// The folder of canonical modules, `TOOL/VERSION[.lua]`.
pub const MODULES: &str = "containers/modules";
/// The folder of public modules, `CATEGORY/TOOL/VERSION[.lua]`.
pub const PUBLIC: &str = "neurodesk-modules";
/// The record of an image's tree, beside it.
pub const TREE: &str = crate::tree::RECORD;
/// Largest list of commands, record or module file, in bytes.
const SMALL: u64 = 4 << 20;

/// A container's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Without a list of commands: what an interrupted installation leaves.
    Incomplete,
    /// With a list of commands and no image.
    Disabled,
    /// Whole.
    Installed {
        /// Its commands, as listed.
        commands: Vec<String>,
        /// The digest in the record of its tree, if there is one.
        tree: Option<String>,
    },
}

/// What is published now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actual {
    /// Folders of containers that are called as images are.
    pub containers: BTreeMap<ImageName, ContainerState>,
    /// Canonical and public module files by path; `None` for bytes that are no text.
    pub modules: BTreeMap<String, Option<String>>,
}

/// The image of a container's folder.
pub fn image_path(stem: &str) -> String {
    format!("{CONTAINERS}/{stem}/{stem}.simg")
}

impl Actual {
    /// Looks at everything a plan needs.
    pub fn read(view: &mut dyn View) -> Result<Self, ViewError> {
        let mut containers = BTreeMap::new();
        for name in view.names(CONTAINERS)? {
            // Anything else, such as the folder of modules, is not ours to judge.
            let Ok(image) = name.parse::<ImageName>() else {
                continue;
            };
            if image.stem() != name {
                continue;
            }
            if let Some(state) = container(view, &name)? {
                containers.insert(image, state);
            }
        }
        let mut modules = BTreeMap::new();
        tools(view, MODULES, &mut modules)?;
        for category in view.names(PUBLIC)? {
            tools(view, &format!("{PUBLIC}/{category}"), &mut modules)?;
        }
        Ok(Self {
            containers,
            modules,
        })
    }

    /// Whether an image is whole.
    pub fn is_installed(&self, name: &ImageName) -> bool {
        matches!(
            self.containers.get(name),
            Some(ContainerState::Installed { .. })
        )
    }

    /// How many are whole.
    pub fn installed(&self) -> usize {
        let states = self.containers.values();
        states
            .filter(|state| matches!(state, ContainerState::Installed { .. }))
            .count()
    }
}

/// The state of one container; `None` when it is no folder.
pub fn container(view: &mut dyn View, stem: &str) -> Result<Option<ContainerState>, ViewError> {
    let folder = format!("{CONTAINERS}/{stem}");
    let list = format!("{folder}/{}", transparent_singularity::COMMANDS);
    let Some(commands) = view.read(&list, SMALL)? else {
        let kind = view.kind(&folder)?;
        return Ok((kind == Some(ViewKind::Directory)).then_some(ContainerState::Incomplete));
    };
    if view.kind(&image_path(stem))? != Some(ViewKind::Directory) {
        return Ok(Some(ContainerState::Disabled));
    }
    let commands = String::from_utf8_lossy(&commands);
    let record = view.read(&format!("{folder}/{TREE}"), SMALL)?;
    let tree = record.and_then(|bytes| {
        let record: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        Some(record.get("tree")?.as_str()?.to_owned())
    });
    Ok(Some(ContainerState::Installed {
        commands: commands
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
        tree,
    }))
}

/// Every `TOOL/VERSION[.lua]` below a folder.
fn tools(
    view: &mut dyn View,
    folder: &str,
    modules: &mut BTreeMap<String, Option<String>>,
) -> Result<(), ViewError> {
    for tool in view.names(folder)? {
        for version in view.names(&format!("{folder}/{tool}"))? {
            // `.version` and `.modulerc` are the site's.
            if version.starts_with('.') {
                continue;
            }
            let path = format!("{folder}/{tool}/{version}");
            if let Some(bytes) = view.read(&path, SMALL)? {
                modules.insert(path, String::from_utf8(bytes).ok());
            }
        }
    }
    Ok(())
}
