//! The types of an instruction list.

use std::{fmt, str::FromStr};

use nd_report::Span;
use serde::{Deserialize, Serialize};

/// All instructions of one image, the final stage last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// How packages are installed in every stage.
    pub package_manager: PackageManager,
    /// At least one stage; the last one is the image.
    pub stages: Vec<Stage>,
}

/// One stage: a base and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Name that later stages may copy from.
    pub name: Option<String>,
    /// What the stage starts from.
    pub base: Base,
    /// Instructions in order.
    pub body: Vec<Instruction>,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// An image reference as written, tag included.
    Image(String),
    /// An earlier stage.
    Stage(String),
    /// Nothing at all.
    Scratch,
}

/// Package managers that `Install` instructions are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageManager {
    /// Debian, Ubuntu and their relatives.
    Apt,
    /// Fedora, Rocky and their relatives; also written `rpm` or `dnf`.
    Yum,
}

/// The text names no known package manager.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unsupported package manager `{text}`, expected `apt` or `yum`")]
pub struct UnknownPackageManager {
    /// What was given.
    pub text: String,
}

impl FromStr for PackageManager {
    type Err = UnknownPackageManager;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "apt" => Ok(Self::Apt),
            "yum" | "rpm" | "dnf" => Ok(Self::Yum),
            _ => Err(UnknownPackageManager { text: text.into() }),
        }
    }
}

impl fmt::Display for PackageManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Apt => "apt",
            Self::Yum => "yum",
        })
    }
}

/// One instruction and where it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// What to do.
    #[serde(flatten)]
    pub op: Op,
    /// Who asked for it; absent for instructions that every image gets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<Origin>,
}

/// Where an instruction comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Path of the file as shown to people (`recipes/itksnap/build.yaml`).
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// The exact place, for diagnostics of the run that read the file.
    #[serde(skip)]
    pub span: Option<Span>,
}

/// What an instruction does; names follow the Dockerfile reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Op {
    /// Runs a shell script in the image; its changes become a layer.
    Run {
        /// What `/bin/sh` runs.
        script: Script,
        /// Read-only mounts for this script alone.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        mounts: Vec<BindMount>,
        /// Network of the script.
        #[serde(skip_serializing_if = "Network::is_host", default)]
        network: Network,
    },
    /// Installs distribution packages.
    Install {
        /// Package names in the order written; sorted when rendered.
        packages: Vec<String>,
        /// Options of the package manager in place of the usual ones.
        options: Option<String>,
    },
    /// Sets environment variables, all seeing the values from before this instruction.
    Env {
        /// Name and value; `$NAME` and `${NAME}` in a value are expanded when built.
        pairs: Vec<EnvPair>,
    },
    /// Copies files into the image.
    Copy {
        /// Where the sources lie.
        from: CopySource,
        /// Paths relative to it.
        sources: Vec<String>,
        /// Where they go; a final `/` or several sources mean a directory.
        dest: String,
        /// Owner `user[:group]` of what is copied; root when absent.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        owner: Option<String>,
    },
    /// Declares a build argument.
    Arg {
        /// Its name.
        name: String,
        /// Its value when the caller gives none.
        default: Option<String>,
    },
    /// Sets the working directory, creating it.
    Workdir {
        /// Absolute, or relative to the last one.
        path: String,
    },
    /// Sets the user of later instructions and of the image; the account is created if absent.
    User {
        /// `name`, `uid`, `name:group` or `uid:gid`.
        user: String,
    },
    /// Sets the program that the image runs.
    Entrypoint {
        /// Its argument vector.
        argv: Vec<String>,
    },
    /// Adds labels to the image configuration.
    Label {
        /// Key and value.
        pairs: Vec<EnvPair>,
    },
}

/// A name and a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvPair {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Shell text of a `Run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Script {
    /// Commands of a recipe's `run`, each a shell text of one or more lines; the first failure
    /// ends the build.
    Commands(Vec<String>),
    /// Text whose lines are commands, as installation templates and fixed parts have it.
    Lines(String),
}

/// A read-only mount of part of a build context during one `Run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// Name of the build context (`neurocontainer-cache`, or the key of a local context).
    pub context: String,
    /// Absolute path inside the context.
    pub source: String,
    /// Absolute path inside the image.
    pub target: String,
}

/// Where a `Copy` takes its sources from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CopySource {
    /// The build context.
    Context,
    /// An earlier stage of this definition.
    Stage(String),
    /// Another image, by reference.
    Image(String),
}

/// Network of a `Run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The network of the build machine.
    #[default]
    Host,
    /// Only a loopback device.
    None,
}

impl Network {
    /// Whether this is the default.
    pub fn is_host(&self) -> bool {
        *self == Self::Host
    }
}
