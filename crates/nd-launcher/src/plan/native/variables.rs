//! The environment of a command that starts without the runtime, as the runtime would make it.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use super::{
    Unfit,
    script::{ShellVariable, ShellVariables, source_script},
};
use crate::plan::{environment::Environment, runtime::Family};

/// Where programs are found in an image that says nothing of it.
const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const LIBRARIES: &[u8] = b"/.singularity.d/libs";
const PROMPT: &[u8] = b"Apptainer> ";

/// What of the host's variables is in every clean environment.
const KEPT: &[&str] = &[
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "TERM",
    "all_proxy",
    "ftp_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// ShellVariables of the runtimes that do not change what a command sees.
const HARMLESS: &[&str] = &[
    "APPNAME",
    "BIND",
    "BINDPATH",
    "CACHEDIR",
    "COMMAND",
    "CONFIGDIR",
    "CONTAINER",
    "DISABLE_CACHE",
    "DOCKER_PASSWORD",
    "DOCKER_USERNAME",
    "ENVIRONMENT",
    "LOCALCACHEDIR",
    "NAME",
    "PULLDIR",
    "PULLFOLDER",
    "TMPDIR",
];

/// An environment script of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentScript {
    /// Its name in `/.singularity.d/env`.
    pub name: Vec<u8>,
    /// What stands in it.
    pub text: Vec<u8>,
}

/// The variables of a command, before the image has its say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeEnvironment {
    /// What the runtime's clean environment holds.
    clean: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is handed over.
    handed: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What the clean environment says of the container.
pub(super) struct About<'a> {
    pub(super) image: &'a Path,
    pub(super) home: &'a Path,
    pub(super) cwd: &'a Path,
    /// Targets of the binds, divided by commas.
    pub(super) binds: OsString,
}

impl NativeEnvironment {
    /// From the caller's variables, and those that the plan hands over.
    pub(super) fn new(
        caller: &Environment<'_>,
        passed: &[(OsString, OsString)],
        about: &About<'_>,
    ) -> Result<Self, Unfit> {
        let mut handed = BTreeMap::new();
        // Of a variable that is handed over in both ways, Apptainer's counts.
        for family in Family::ALL.iter().rev() {
            let prefix = family.handed(OsStr::new(""));
            for (name, value) in caller.0 {
                if let Some(name) = name.as_bytes().strip_prefix(prefix.as_bytes()) {
                    handed.insert(name.to_vec(), value.as_bytes().to_vec());
                }
            }
        }
        for (name, value) in passed {
            handed.insert(name.as_bytes().to_vec(), value.as_bytes().to_vec());
        }
        for (name, value) in &handed {
            // The runtime lets a shell read them.
            if !is_name(name)
                || name.starts_with(b"APPTAINER_")
                || name.starts_with(b"SINGULARITY_")
                || value.iter().any(|byte| matches!(byte, b'$' | b'`' | b'\\'))
            {
                return Err(Unfit::Variable(OsString::from_vec(name.clone())));
            }
        }
        // The home is the account's.
        handed.remove(b"HOME".as_slice());
        for (name, _) in caller.0 {
            let bytes = name.as_bytes();
            let rest = bytes
                .strip_prefix(b"APPTAINER_")
                .or_else(|| bytes.strip_prefix(b"SINGULARITY_"));
            if rest.is_some_and(|rest| !HARMLESS.iter().any(|name| name.as_bytes() == rest)) {
                return Err(Unfit::Variable((*name).to_owned()));
            }
        }
        Ok(Self {
            clean: clean(caller, about),
            handed,
        })
    }

    /// The environment for the command: with the scripts of the image, in the order of their names;
    /// `None` when the image has no folder for them.
    ///
    /// # Errors
    ///
    /// When a script is more than assignments.
    pub fn with_scripts(
        &self,
        scripts: Option<&[EnvironmentScript]>,
    ) -> Result<Vec<(OsString, OsString)>, Unfit> {
        let mut variables = ShellVariables::new();
        for name in ["APPTAINER_CONTAINER", "APPTAINER_NAME", "HOME", "PWD"] {
            if let Some(value) = self.clean.get(name.as_bytes()) {
                set(&mut variables, name, value.clone());
            }
        }
        let (mut handed, mut path_settled) = (false, false);
        for script in scripts.unwrap_or_default() {
            if script.name == b"90-environment.sh" && !variables.contains_key(b"PATH".as_slice()) {
                complete_path(&mut variables);
            }
            source_script(&script.text, &mut variables)
                .map_err(|_| Unfit::Script(OsString::from_vec(script.name.clone())))?;
            match script.name.as_slice() {
                b"10-docker.sh" | b"10-docker2singularity.sh" => complete_path(&mut variables),
                b"99-base.sh" => {
                    self.hand_over(&mut variables);
                    handed = true;
                }
                b"99-runtimevars.sh" => path_settled = handed,
                _ => {}
            }
        }
        // The runtime hands nothing over when an image has other scripts and not that one, so that
        // what the policy lets pass would be lost.
        if !handed {
            self.hand_over(&mut variables);
        }
        if !path_settled {
            settle_path(&mut variables);
        }
        for (name, value) in &self.clean {
            match variables.get(name) {
                None => set(&mut variables, name, value.clone()),
                Some(known) if known.value.is_empty() => {
                    variables.remove(name);
                }
                Some(_) => {}
            }
        }
        prompts(&mut variables);
        let settings = b"/.singularity.d/env/91-environment.sh";
        set(&mut variables, "APPTAINER_ENVIRONMENT", settings.to_vec());
        set(&mut variables, "SINGULARITY_ENVIRONMENT", settings.to_vec());
        Ok(variables
            .into_iter()
            .filter(|(_, variable)| variable.exported)
            .map(|(name, variable)| (OsString::from_vec(name), OsString::from_vec(variable.value)))
            .collect())
    }

    /// What the caller and the policy hand over, which wins over the image.
    fn hand_over(&self, variables: &mut ShellVariables) {
        for (name, value) in &self.handed {
            match name.as_slice() {
                b"PATH" | b"PREPEND_PATH" | b"APPEND_PATH" => {
                    let name = [b"SING_USER_DEFINED_".as_slice(), name].concat();
                    set(variables, name, value.clone());
                }
                b"LD_LIBRARY_PATH" => {
                    set(
                        variables,
                        name,
                        [value, b":".as_slice(), LIBRARIES].concat(),
                    );
                }
                _ => set(variables, name, value.clone()),
            }
        }
    }
}

/// The clean environment.
fn clean(caller: &Environment<'_>, about: &About<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut clean = BTreeMap::new();
    let mut put = |name: &str, value: &[u8]| {
        clean.insert(name.as_bytes().to_vec(), value.to_vec());
    };
    for name in KEPT {
        if let Some(value) = caller.get(name) {
            put(name, value.as_bytes());
        }
    }
    let image = about.image.as_os_str().as_bytes();
    let name = about.image.file_name().unwrap_or_default().as_bytes();
    for (prefix, family) in [("APPTAINER", true), ("SINGULARITY", false)] {
        put(&format!("{prefix}_BIND"), about.binds.as_bytes());
        put(&format!("{prefix}_CONTAINER"), image);
        put(&format!("{prefix}_NAME"), name);
        if family {
            put("APPTAINER_APPNAME", b"");
            put("APPTAINER_COMMAND", b"exec");
        }
    }
    put("HOME", about.home.as_os_str().as_bytes());
    put("LANG", b"C");
    put("PATH", PATH);
    put("PWD", about.cwd.as_os_str().as_bytes());
    clean
}

fn set(variables: &mut ShellVariables, name: impl AsRef<[u8]>, value: Vec<u8>) {
    let exported = true;
    variables.insert(name.as_ref().to_vec(), ShellVariable { value, exported });
}

/// Adds the folders that every system has and `PATH` does not name.
fn complete_path(variables: &mut ShellVariables) {
    let path = variables.entry(b"PATH".to_vec()).or_default();
    for folder in PATH.split(|byte| *byte == b':') {
        if path
            .value
            .split(|byte| *byte == b':')
            .any(|part| part == folder)
        {
            continue;
        }
        if !path.value.is_empty() {
            path.value.push(b':');
        }
        path.value.extend_from_slice(folder);
    }
    path.exported = true;
}

/// What the user wants before, behind or instead of `PATH`.
fn settle_path(variables: &mut ShellVariables) {
    let mut take = |name: &str| {
        let name = [b"SING_USER_DEFINED_", name.as_bytes()].concat();
        let value = variables.remove(&name)?.value;
        (!value.is_empty()).then_some(value)
    };
    let (before, behind, instead) = (take("PREPEND_PATH"), take("APPEND_PATH"), take("PATH"));
    if before.is_none() && behind.is_none() && instead.is_none() {
        if let Some(path) = variables.get_mut(b"PATH".as_slice()) {
            path.exported = true;
        }
        return;
    }
    let path = variables.remove(b"PATH".as_slice());
    let mut path = path.map_or_else(|| PATH.to_vec(), |path| path.value);
    if let Some(before) = before {
        path = [before, path].join(&b':');
    }
    if let Some(behind) = behind {
        path = [path, behind].join(&b':');
    }
    set(variables, "PATH", instead.unwrap_or(path));
}

/// The prompt of shells, kept from what a shell's own files say of it.
fn prompts(variables: &mut ShellVariables) {
    let value = |variables: &ShellVariables, name: &[u8]| {
        let known = variables.get(name).map(|known| known.value.clone());
        known.filter(|value| !value.is_empty())
    };
    let prompt = value(variables, b"PS1").unwrap_or_else(|| PROMPT.to_vec());
    let assigned = [b"PS1=\"".as_slice(), &prompt, b"\""].concat();
    let command = match value(variables, b"PROMPT_COMMAND") {
        None => [&assigned, b"; unset PROMPT_COMMAND".as_slice()].concat(),
        Some(own) => [
            own.as_slice(),
            b"; PROMPT_COMMAND=\"${PROMPT_COMMAND%%; PROMPT_COMMAND=*}\"; ",
            &assigned,
        ]
        .concat(),
    };
    set(variables, "PS1", prompt);
    set(variables, "PROMPT_COMMAND", command);
}

fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| !byte.is_ascii_digit())
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}
