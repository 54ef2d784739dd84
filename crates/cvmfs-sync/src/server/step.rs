//! Steps of a set-up as values: what is to be so, how to see whether it is, what makes it so.

use serde::Serialize;

use super::{description::Family, files::ConfigFile, words::FilePath};

/// One step of a set-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// A short name, unique in its list.
    pub id: String,
    /// What is so afterwards.
    pub title: String,
    /// What the step is about.
    pub action: Action,
}

impl Step {
    pub(super) fn new(id: impl Into<String>, title: impl Into<String>, action: Action) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            action,
        }
    }

    /// Whether the step needs no programs, so that it can be done in any folder.
    pub fn is_of_files(&self) -> bool {
        matches!(
            self.action,
            Action::File(_) | Action::Directory { .. } | Action::Link { .. }
        )
    }

    /// The command lines that the step runs when nothing is done yet.
    pub fn commands(&self) -> Vec<CommandLine> {
        match &self.action {
            // A folder that has content is copied by a program when its link is made.
            Action::File(_)
            | Action::Directory { .. }
            | Action::Link { .. }
            | Action::Answers { .. } => Vec::new(),
            Action::Packages { family, names } => vec![install(*family, names)],
            Action::Program { run, .. } => run.clone(),
            Action::Format { device } => vec![command(["mkfs.ext4", "-q", device.as_str()])],
            Action::Service { name, test, .. } => [
                test.clone(),
                Some(command(["systemctl", "enable", name])),
                Some(command(["systemctl", "restart", name])),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }
}

/// A program and its arguments.
pub type CommandLine = Vec<String>;

pub(super) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> CommandLine {
    words.into_iter().map(str::to_owned).collect()
}

/// The command that installs packages without asking.
fn install(family: Family, names: &[String]) -> CommandLine {
    let mut words = match family {
        Family::Dnf => command(["dnf", "--assumeyes", "install"]),
        Family::Apt => command(["apt-get", "--yes", "install"]),
    };
    words.extend_from_slice(names);
    words
}

/// What a step is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A file holds what it should.
    File(ConfigFile),
    /// A folder exists.
    Directory {
        /// Absolute path.
        path: String,
        /// Permission bits of what is made.
        mode: u32,
    },
    /// A folder lives elsewhere and is a symlink here.
    Link {
        /// Absolute path of the symlink.
        at: String,
        /// Absolute path of the folder.
        to: String,
    },
    /// Packages are installed.
    Packages {
        /// By what.
        family: Family,
        /// Their names.
        names: Vec<String>,
    },
    /// What programs do.
    Program {
        /// How to see whether it is done.
        done: Test,
        /// What to run, one after the other.
        run: Vec<CommandLine>,
    },
    /// A device has a file system. Only ever made on an empty device, and only when the caller names it.
    Format {
        /// The device.
        device: FilePath,
    },
    /// A service is enabled and runs with the configuration that is there.
    Service {
        /// Its name.
        name: String,
        /// Files that it reads when it starts.
        reads: Vec<String>,
        /// What tells whether it can read them.
        test: Option<CommandLine>,
    },
    /// A server answers with the manifest of the repository.
    Answers {
        /// Address of the repository there.
        address: String,
    },
}

/// How to see whether something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Each of these programs ends with exit code 0.
    Succeed(Vec<CommandLine>),
    /// None of these programs ends with exit code 0.
    Fail(Vec<CommandLine>),
    /// One of these says so.
    AnyOf(Vec<Test>),
    /// Something stands at this path.
    Exists(String),
    /// The first stands at its path and the second does not, which would mean something else.
    ExistsWithout(String, String),
    /// The symlink at the path leads to something that ends so.
    LeadsTo(String, String),
    /// Something is mounted here.
    Mounted(String),
    /// The manifest of the repository stored at this path has this revision or a later one.
    Revision(String, u64),
    /// The whitelist of the repository stored at this path is good for so many hours.
    Whitelist(String, i64),
    /// A folder can be listed and holds something.
    Listed(String),
    /// Files of this start in a folder are readable by their owner alone, the others of the start by all.
    KeyModes {
        /// The folder.
        folder: String,
        /// Name of the repository.
        name: String,
    },
}

/// What a step answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "why", rename_all = "lowercase")]
pub enum State {
    /// It is so.
    Done,
    /// It is not so yet.
    Pending(String),
    /// Something else is so that somebody may want, such as a file that was changed since its package or
    /// we wrote it: only replaced when the caller says so.
    Different(String),
}
