//! What an installation will write, as a value: a tree of generated files, where the image goes, and
//! the module files that commit it.

mod script;
mod tree;

use std::{ffi::OsString, path::Path};

use nd_launcher::{Command, Form, LAUNCH_FILE, LaunchFile};
use nd_modulefile::{Additions, Dialect, Folder, Module, Variable};
use nd_names::ImageName;
use serde::{Deserialize, Serialize};

pub(crate) use self::script::quoted;
pub use self::{
    script::{activation, deactivation, upstream_uninstall},
    tree::{Tree, TreeBuilder, TreeError},
};
use crate::{Exposed, Found, Metadata};

/// What the image is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// A file `STEM.simg` in the container's folder.
    File,
    /// A folder `STEM.simg` with the root file system.
    Folder,
    /// A link `STEM.simg` to a root file system elsewhere, such as on CVMFS.
    Link,
}

/// How commands are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WrapperStyle {
    /// A static program under the name of each command
    #[default]
    Launcher,
    /// A shell script for each command, for sites that want to read them
    Script,
}

/// What decides a plan besides the image.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// How commands are wrapped.
    pub style: WrapperStyle,
    /// The bytes of the launcher; needed for [`WrapperStyle::Launcher`].
    pub launcher: Vec<u8>,
    /// SHA-256 of the image, where that is a file.
    pub sha256: Option<String>,
    /// Default options of the runtime for this image, one word each.
    pub options: Vec<String>,
    /// Languages of module files.
    pub dialects: Vec<Dialect>,
    /// What the site adds to the tool's modules.
    pub additions: Additions,
    /// The test reports of the image, if there are any, as they are.
    pub tests: Option<Vec<u8>>,
}

/// A module file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleFile {
    /// Path below the folder of modules, `TOOL/VERSION.lua`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What an installation will write.
#[derive(Debug, Clone)]
pub struct InstallPlan {
    /// Which image.
    pub image: ImageName,
    /// What the image is on disk.
    pub placement: Placement,
    /// The files beside it, by path in the container's folder.
    pub files: Tree,
    /// Module files, in the order in which they are written: the last one commits.
    pub modules: Vec<ModuleFile>,
    /// What is odd and should be said.
    pub notes: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The image exposes nothing.
    #[error(
        "image `{image}` exposes no command: neither `DEPLOY_PATH` nor `DEPLOY_BINS` leads to one"
    )]
    NoCommand {
        /// Which image.
        image: String,
    },
    /// The container's folder cannot stand in a module.
    #[error(transparent)]
    Module(#[from] nd_modulefile::ModuleError),
    /// The files are no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A path that is no text.
    #[error("`{0}` is no UTF-8, which module files need")]
    Text(String),
}

/// The file with the names of commands; written last, since others take it for the mark of a
/// complete installation.
pub const COMMANDS: &str = "commands.txt";
/// The file with the test reports of the image.
pub const TESTS: &str = "tests.json";
/// The file with `DEPLOY_ENV_*`.
pub const ENV: &str = "env.txt";

impl InstallPlan {
    /// Plans an installation in `folder`, an absolute path. Pure: nothing is read or written.
    pub fn new(
        image: &ImageName,
        placement: Placement,
        folder: &Path,
        exposed: &Exposed,
        metadata: &Metadata,
        options: &PlanOptions,
    ) -> Result<Self, PlanError> {
        if exposed.commands.is_empty() {
            return Err(PlanError::NoCommand {
                image: image.stem(),
            });
        }
        let text = folder.to_str();
        let text = text.ok_or_else(|| PlanError::Text(folder.display().to_string()))?;
        let mut notes = Vec::new();
        let module = module(
            image,
            text.parse()?,
            placement,
            exposed,
            metadata,
            options,
            &mut notes,
        );
        let launch = launch_file(image, placement, exposed, metadata, options);
        let files = files(image, text, exposed, &launch, options)?;
        let mut dialects = options.dialects.clone();
        // Lmod prefers Lua, so that is the one whose rename counts.
        dialects.sort_by_key(|dialect| *dialect == Dialect::Lua);
        let modules = dialects.into_iter().map(|dialect| ModuleFile {
            path: module.file(dialect).into_string(),
            text: module.render(dialect),
        });
        Ok(Self {
            image: image.clone(),
            placement,
            files,
            modules: modules.collect(),
            notes,
        })
    }

    /// The files with their place below a prefix, `STEM/…` and `modules/…`, for a tar or a
    /// repository. The image itself is not among them.
    pub fn into_tree(self) -> Result<Tree, TreeError> {
        let mut out = TreeBuilder::default();
        let stem = self.image.stem();
        out.directory(&stem)?;
        out.graft(&stem, &self.files)?;
        out.directory("modules")?;
        out.directory(&format!("modules/{}", self.image.app))?;
        for module in self.modules {
            out.file(&format!("modules/{}", module.path), module.text, 0o644)?;
        }
        out.finish()
    }
}

fn module(
    image: &ImageName,
    folder: Folder,
    placement: Placement,
    exposed: &Exposed,
    metadata: &Metadata,
    options: &PlanOptions,
    notes: &mut Vec<String>,
) -> Module {
    let mut module = Module::new(image.clone(), folder);
    module.help = exposed.readme.clone().unwrap_or_default();
    module.commands = exposed.commands.keys().map(ToString::to_string).collect();
    module.additions = options.additions.clone();
    let label = |name: &str| {
        let value = metadata
            .labels
            .get(&format!("org.opencontainers.image.{name}"));
        value.filter(|value| !value.is_empty()).cloned()
    };
    module.about.description = label("description");
    module.about.url = label("url");
    for (name, value) in &exposed.variables {
        let Ok(value) = std::str::from_utf8(value) else {
            notes.push(format!(
                "variable `{name}` is no UTF-8 and not in the module"
            ));
            continue;
        };
        match Variable::new(name, value) {
            Ok(variable) => {
                if placement == Placement::File && variable.points_into_image() {
                    notes.push(format!(
                        "variable `{name}` points into the image, which is a file: programs of the host cannot follow it; `--unpack` makes it a folder"
                    ));
                }
                module.variables.push(variable);
            }
            Err(error) => notes.push(error.to_string()),
        }
    }
    module
}

fn launch_file(
    image: &ImageName,
    placement: Placement,
    exposed: &Exposed,
    metadata: &Metadata,
    options: &PlanOptions,
) -> LaunchFile<'static> {
    let stem = image.stem();
    let form = match placement {
        Placement::File => Form::Sif,
        Placement::Folder | Placement::Link => Form::Folder,
    };
    let mut file = LaunchFile::new(&stem, format!("{stem}.simg"), form);
    let own = |text: &str| OsString::from(text).into();
    file.tree = metadata.tree.as_deref().map(own);
    if placement == Placement::File {
        file.sha256 = options.sha256.as_deref().map(own);
    }
    // A prefix may have a policy of its own, which need not exist.
    file.policy = Some(own("../.state/launcher.conf"));
    let words = |name: &str| -> Vec<String> {
        let label = metadata.labels.get(&format!("org.neurodesk.{name}"));
        words_of(label.map_or("", String::as_str))
    };
    file.options = words("apptainer-args")
        .iter()
        .map(|word| own(word))
        .collect();
    file.options
        .extend(options.options.iter().map(|word| own(word)));
    file.pass = words("env-pass").iter().map(|word| own(word)).collect();
    let command = |(name, found): (&crate::CommandName, &Found)| {
        let mut command = Command::new(name.as_str());
        if let Found::Alias(target) = found {
            command.target = Some(own(target));
        }
        command
    };
    file.commands = exposed.commands.iter().map(command).collect();
    file
}

/// The words of a label: a JSON list, or text divided at blanks.
fn words_of(label: &str) -> Vec<String> {
    if let Ok(list) = serde_json::from_str::<Vec<String>>(label) {
        return list;
    }
    let words = label.split([' ', '\t', '\n', ',']);
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn files(
    image: &ImageName,
    folder: &str,
    exposed: &Exposed,
    launch: &LaunchFile<'_>,
    options: &PlanOptions,
) -> Result<Tree, TreeError> {
    let stem = image.stem();
    let mut out = TreeBuilder::default();
    let names: Vec<&str> = exposed
        .commands
        .keys()
        .map(super::CommandName::as_str)
        .collect();
    match options.style {
        WrapperStyle::Launcher => {
            out.named(&names, options.launcher.clone(), 0o755)?;
        }
        WrapperStyle::Script => {
            for command in &launch.commands {
                let text = nd_launcher::script(launch, Path::new(folder), command);
                out.file(&command.name.to_string_lossy(), text, 0o755)?;
            }
        }
    }
    out.file(LAUNCH_FILE, launch.to_bytes(), 0o644)?;
    out.file(
        "README.md",
        exposed.readme.clone().unwrap_or_default(),
        0o644,
    )?;
    out.file(ENV, exposed.env_txt(), 0o644)?;
    if let Some(tests) = &options.tests {
        out.file(TESTS, tests.clone(), 0o644)?;
    }
    out.file(
        &format!("activate_{stem}.simg.sh"),
        activation(image, folder),
        0o755,
    )?;
    out.file(
        &format!("deactivate_{stem}.simg.sh"),
        deactivation(image, folder),
        0o755,
    )?;
    out.file("ts_uninstall.sh", upstream_uninstall(image), 0o755)?;
    out.file(COMMANDS, exposed.commands_txt(), 0o644)?;
    out.finish()
}
