//! From `DEPLOY_PATH`, `DEPLOY_BINS` and `DEPLOY_ENV_*` to commands and variables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use nd_rootfs::show;

use super::{CommandName, Excludes, ImageEnvironment};
use crate::{ImageError, OpenImage, Stat};

/// How long a README may be that becomes the help of a module, in bytes.
const README: u64 = 1 << 20;
/// Folders of `DEPLOY_PATH`, and names in one of them: more is no tool.
const MOST: usize = 20_000;

/// What an image offers to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    /// Commands, and what each stands for.
    pub commands: BTreeMap<CommandName, Found>,
    /// `DEPLOY_ENV_*`: names without the prefix, and values.
    pub variables: BTreeMap<String, Vec<u8>>,
    /// `/README.md`.
    pub readme: Option<String>,
    /// All variables the image sets.
    pub environment: ImageEnvironment,
    /// What was left out, and why.
    pub left_out: Vec<LeftOut>,
}

/// Why a command is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An executable file of that name stands in this folder of `DEPLOY_PATH`.
    Folder(String),
    /// `DEPLOY_BINS` names it, and the image's `PATH` has it here.
    Named(String),
    /// `DEPLOY_BINS` names it, and nothing of that name was found.
    Missing,
    /// Somebody else names it, and what it is in the image.
    Alias(String),
}

/// Something that was not exposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name, printable.
    pub name: String,
    /// Where it was found.
    pub place: String,
    /// Why it was left out.
    pub reason: Reason,
}

/// Why something was not exposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// No name for a command.
    Name,
    /// The name of a file that every installation has.
    Reserved,
    /// A group of exclusions has it.
    Excluded(String),
    /// A folder of `DEPLOY_PATH` that is not in the image.
    NoFolder,
    /// A folder of `DEPLOY_PATH` that is not absolute.
    Relative,
    /// `DEPLOY_ENV_` with a rest that is no name of a variable.
    VariableName,
    /// A value with a NUL byte or a line break, which `env.txt` cannot hold.
    VariableValue,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            place,
            reason,
        } = self;
        match reason {
            Reason::Name => write!(f, "`{name}` in {place} cannot be the name of a command"),
            Reason::Reserved => write!(
                f,
                "`{name}` in {place} is the name of a file of every installation"
            ),
            Reason::Excluded(group) => write!(f, "`{name}` in {place} is hidden (group `{group}`)"),
            Reason::NoFolder => write!(f, "`{name}` of {place} is no folder of the image"),
            Reason::Relative => write!(f, "`{name}` of {place} is no absolute path"),
            Reason::VariableName => write!(f, "`{name}` is no name of a variable"),
            Reason::VariableValue => write!(f, "the value of `{name}` has a line break"),
        }
    }
}

impl Exposed {
    /// `commands.txt`: one name a line, sorted by byte.
    pub fn commands_txt(&self) -> String {
        let mut out = String::new();
        for name in self.commands.keys() {
            out.push_str(name.as_str());
            out.push('\n');
        }
        out
    }

    /// `env.txt`: `DEPLOY_ENV_NAME=VALUE` lines, sorted by name.
    pub fn env_txt(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in &self.variables {
            out.extend_from_slice(b"DEPLOY_ENV_");
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out
    }
}

/// Finds what an image exposes, by looking at its files.
///
/// # Errors
///
/// When the image cannot be read. An image that exposes nothing is no error here.
pub fn expose(
    image: &mut OpenImage,
    environment: ImageEnvironment,
    excludes: &Excludes,
) -> Result<Exposed, ImageError> {
    let mut out = Exposed {
        commands: BTreeMap::new(),
        variables: BTreeMap::new(),
        readme: readme(image)?,
        environment,
        left_out: Vec::new(),
    };
    let list = |name: &str| -> Vec<Vec<u8>> {
        let value = out.environment.get(name).unwrap_or_default();
        let parts = value
            .split(|&byte| byte == b':')
            .filter(|part| !part.is_empty());
        parts.take(MOST).map(<[u8]>::to_vec).collect()
    };
    let (folders, bins, path) = (list("DEPLOY_PATH"), list("DEPLOY_BINS"), list("PATH"));
    // A name of `DEPLOY_BINS` is a deliberate choice wherever it also stands.
    let named: BTreeSet<Vec<u8>> = bins.iter().cloned().collect();
    for folder in &folders {
        folder_commands(image, folder, &named, excludes, &mut out)?;
    }
    let always: &[&[u8]] = &[
        b"/usr/local/sbin",
        b"/usr/local/bin",
        b"/usr/sbin",
        b"/usr/bin",
        b"/sbin",
        b"/bin",
    ];
    let search: Vec<&[u8]> = if path.is_empty() {
        always.to_vec()
    } else {
        path.iter().map(Vec::as_slice).collect()
    };
    for bin in &bins {
        named_command(image, bin, &search, excludes, &mut out)?;
    }
    variables(&mut out);
    Ok(out)
}

fn folder_commands(
    image: &mut OpenImage,
    folder: &[u8],
    named: &BTreeSet<Vec<u8>>,
    excludes: &Excludes,
    out: &mut Exposed,
) -> Result<(), ImageError> {
    let place = "`DEPLOY_PATH`".to_owned();
    let missing = |reason| LeftOut {
        name: show(folder),
        place,
        reason,
    };
    if folder.first() != Some(&b'/') {
        out.left_out.push(missing(Reason::Relative));
        return Ok(());
    }
    let Some(children) = image.files.children(folder)? else {
        out.left_out.push(missing(Reason::NoFolder));
        return Ok(());
    };
    let here: BTreeSet<&[u8]> = children.iter().map(|(name, _)| name.as_slice()).collect();
    let neighbour = |name: &str| here.contains(name.as_bytes());
    for (name, stat) in children.iter().take(MOST) {
        // A link to a folder is executable as well, and no program.
        if !stat.is_some_and(Stat::is_program) {
            continue;
        }
        let asked = named.contains(name);
        if let Some(command) = admit(name, &show(folder), asked, excludes, &neighbour, out) {
            let found = Found::Folder(show(folder));
            out.commands.entry(command).or_insert(found);
        }
    }
    Ok(())
}

fn named_command(
    image: &mut OpenImage,
    bin: &[u8],
    search: &[&[u8]],
    excludes: &Excludes,
    out: &mut Exposed,
) -> Result<(), ImageError> {
    let Some(command) = admit(bin, "`DEPLOY_BINS`", true, excludes, &|_| true, out) else {
        return Ok(());
    };
    if out.commands.contains_key(&command) {
        return Ok(());
    }
    let mut found = Found::Missing;
    for folder in search {
        let path = [folder, &b"/"[..], bin].concat();
        if image.files.stat(&path)?.is_some_and(Stat::is_program) {
            found = Found::Named(show(folder));
            break;
        }
    }
    out.commands.insert(command, found);
    Ok(())
}

/// The name as a command, or a note why it is none.
fn admit(
    name: &[u8],
    place: &str,
    named: bool,
    excludes: &Excludes,
    neighbour: &dyn Fn(&str) -> bool,
    out: &mut Exposed,
) -> Option<CommandName> {
    let mut leave = |reason| {
        let left = LeftOut {
            name: show(name),
            place: place.to_owned(),
            reason,
        };
        if !out.left_out.contains(&left) {
            out.left_out.push(left);
        }
        None
    };
    let Ok(command) = CommandName::from_bytes(name) else {
        return leave(Reason::Name);
    };
    if command.is_reserved() {
        return leave(Reason::Reserved);
    }
    match excludes.hides(command.as_str(), named, neighbour) {
        Some(group) => leave(Reason::Excluded(group.to_owned())),
        None => Some(command),
    }
}

fn variables(out: &mut Exposed) {
    for (name, value) in &out.environment.variables {
        let Some(rest) = name.strip_prefix("DEPLOY_ENV_") else {
            continue;
        };
        let valid = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && rest.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        let reason = if !valid {
            Some(Reason::VariableName)
        } else if value.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r')) {
            Some(Reason::VariableValue)
        } else {
            None
        };
        if let Some(reason) = reason {
            out.left_out.push(LeftOut {
                name: show(name.as_bytes()),
                place: "the environment".into(),
                reason,
            });
        } else {
            out.variables.insert(rest.to_owned(), value.clone());
        }
    }
}

fn readme(image: &mut OpenImage) -> Result<Option<String>, ImageError> {
    match image.files.read(b"/README.md", README) {
        Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        // The help of a module is worth less than the module.
        Err(ImageError::TooLong { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
