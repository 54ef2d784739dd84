//! Which program runs commands in images.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{PlanError, environment::Environment};
use crate::{Files, Policy, RuntimeChoice};

/// The two families of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Apptainer,
    Singularity,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::Apptainer, Self::Singularity];

    /// The variable that hands `name` to the command.
    pub(super) fn handed(self, name: &OsStr) -> OsString {
        let mut handed = OsString::from(match self {
            Self::Apptainer => "APPTAINERENV_",
            Self::Singularity => "SINGULARITYENV_",
        });
        handed.push(name);
        handed
    }

    fn of(program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().as_bytes();
        // Apptainer reads the variables of both, Singularity its own alone.
        if name.starts_with(b"singularity") {
            Self::Singularity
        } else {
            Self::Apptainer
        }
    }
}

/// The runtime.
pub(super) struct Runtime {
    pub(super) program: PathBuf,
    pub(super) family: Family,
}

/// Where programs are when `PATH` does not say it, as under a batch system's bare environment.
const USUAL: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin"];

/// Finds the runtime; never in the container's own folder, whose files are launchers.
pub(super) fn find(
    policy: &Policy<'_>,
    environment: &Environment<'_>,
    folder: &Path,
    files: &dyn Files,
) -> Result<Runtime, PlanError> {
    let names: &[&str] = match &policy.runtime {
        RuntimeChoice::Auto | RuntimeChoice::Native => &["apptainer", "singularity"],
        RuntimeChoice::Apptainer => &["apptainer"],
        RuntimeChoice::Singularity => &["singularity"],
        RuntimeChoice::Program(program) => {
            let program = PathBuf::from(&**program);
            if files.executable(&program) {
                let family = Family::of(&program);
                return Ok(Runtime { program, family });
            }
            return Err(PlanError::NoRuntime {
                names: vec![program.into()],
            });
        }
    };
    let (name, program) =
        on_path(names, policy, environment, folder, files).ok_or_else(|| PlanError::NoRuntime {
            names: names.iter().map(OsString::from).collect(),
        })?;
    let family = Family::of(Path::new(name));
    Ok(Runtime { program, family })
}

/// The first of `names` that is found, and where.
fn on_path<'n>(
    names: &[&'n str],
    policy: &Policy<'_>,
    environment: &Environment<'_>,
    folder: &Path,
    files: &dyn Files,
) -> Option<(&'n str, PathBuf)> {
    let path = environment.get("PATH").unwrap_or_default();
    let folders = || {
        path.as_bytes()
            .split(|byte| *byte == b':')
            .map(|folder| Path::new(OsStr::from_bytes(folder)))
            .chain(policy.search.iter().map(|folder| Path::new(&**folder)))
            .chain(USUAL.iter().map(Path::new))
            .filter(|candidate| candidate.is_absolute() && *candidate != folder)
    };
    names.iter().find_map(|name| {
        let program = folders()
            .map(|folder| folder.join(name))
            .find(|program| files.executable(program))?;
        Some((*name, program))
    })
}

/// Where Apptainer keeps programs of its own, from the folder above that of its program.
const PRIVATE: &[&str] = &["libexec/apptainer/bin", "lib/apptainer/bin"];

/// Finds a program that shows a squashfs as a folder: as runtimes are found, or where Apptainer has its
/// own.
pub(super) fn find_server(
    policy: &Policy<'_>,
    environment: &Environment<'_>,
    folder: &Path,
    files: &dyn Files,
) -> Option<PathBuf> {
    let find = |names: &[&'static str]| on_path(names, policy, environment, folder, files);
    if let Some((_, program)) = find(&["squashfuse_ll"]) {
        return Some(program);
    }
    let (_, apptainer) = find(&["apptainer"])?;
    let prefix = apptainer.parent()?.parent()?;
    PRIVATE
        .iter()
        .map(|folder| prefix.join(folder).join("squashfuse_ll"))
        .find(|program| files.executable(program))
}

/// Where a runtime at this path has its settings of this name.
pub(super) fn settings<'a>(runtime: &'a Path, name: &'a str) -> impl Iterator<Item = PathBuf> {
    let family = runtime.file_name().unwrap_or_default();
    let prefix = runtime.parent().and_then(Path::parent);
    // The settings of what is below `/usr` are in `/etc`.
    let above = prefix
        .filter(|prefix| prefix.ends_with("usr"))
        .and_then(Path::parent);
    above
        .into_iter()
        .chain(prefix)
        .map(move |prefix| prefix.join("etc").join(family).join(name))
}
