//! The variables that an image sets.

use std::collections::BTreeMap;

use nd_launcher::{ShellVariables, source_script};
use nd_rootfs::show;
use serde::{Deserialize, Serialize};

use crate::{ImageError, OpenImage};

/// Where runtimes look for scripts.
const FOLDER: &[u8] = b"/.singularity.d/env";
/// Larger scripts are programs.
const LONGEST: u64 = 1 << 20;
/// Scripts that the runtimes themselves put into every image. They set a prompt and library paths of
/// the runtime, and look for applications inside an image; what is deployed stands in none of them.
const OF_RUNTIMES: [&[u8]; 6] = [
    b"01-base.sh",
    b"91-environment.sh",
    b"94-appsbase.sh",
    b"95-apps.sh",
    b"99-base.sh",
    b"99-runtimevars.sh",
];

/// What the variables were read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvironmentSource {
    /// The configuration of an OCI image.
    Configuration,
    /// Scripts of a known form.
    Scripts,
    /// `env -0`, run in the image once.
    Run,
    /// The image says nothing.
    Nothing,
}

/// The variables that an image sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageEnvironment {
    /// Names and values, which may be any bytes.
    pub variables: BTreeMap<String, Vec<u8>>,
    /// What they were read from.
    pub source: EnvironmentSource,
}

impl ImageEnvironment {
    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.variables.get(name).map(Vec::as_slice)
    }

    /// The variables that `env -0` printed inside an image.
    pub fn of_run(printed: &[u8]) -> Self {
        let pairs = printed.split(|&byte| byte == 0).filter_map(|pair| {
            let at = pair.iter().position(|&byte| byte == b'=')?;
            let name = String::from_utf8(pair[..at].to_vec()).ok()?;
            Some((name, pair[at + 1..].to_vec()))
        });
        Self {
            variables: pairs.collect(),
            source: EnvironmentSource::Run,
        }
    }
}

/// The environment cannot be read from files: this script is more than assignments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeedsRun {
    /// The script.
    pub script: String,
    /// What the other scripts said.
    pub partial: ImageEnvironment,
}

/// Reads the variables of an image without running it.
///
/// The inner error says that they have to be asked for by running `env -0`.
///
/// # Errors
///
/// When the image cannot be read.
pub fn read_environment(
    image: &mut OpenImage,
) -> Result<Result<ImageEnvironment, NeedsRun>, ImageError> {
    if let Some(env) = &image.metadata.env {
        let pair = |(name, value): &(String, String)| (name.clone(), value.clone().into_bytes());
        let variables = env.iter().map(pair).collect();
        return Ok(Ok(ImageEnvironment {
            variables,
            source: EnvironmentSource::Configuration,
        }));
    }
    let mut source = EnvironmentSource::Nothing;
    let mut unknown = None;
    let mut shell = ShellVariables::new();
    for name in image.files.names(FOLDER)?.unwrap_or_default() {
        if !name.ends_with(b".sh") {
            continue;
        }
        let path = [FOLDER, b"/", &name].concat();
        let Some(script) = image.files.read(&path, LONGEST)? else {
            continue;
        };
        let mentions = script.windows(7).any(|part| part == b"DEPLOY_");
        if OF_RUNTIMES.contains(&name.as_slice()) && !mentions {
            continue;
        }
        source = EnvironmentSource::Scripts;
        let mut after = shell.clone();
        match source_script(&script, &mut after) {
            Ok(()) => shell = after,
            Err(_) => {
                unknown.get_or_insert(show(&path));
            }
        }
    }
    // Of a runtime's shell, `PATH` reaches programs whatever a script says of it.
    let reaches = |name: &[u8], exported: bool| exported || name == b"PATH";
    let variables = shell
        .into_iter()
        .filter(|(name, variable)| reaches(name, variable.exported))
        .filter_map(|(name, variable)| Some((String::from_utf8(name).ok()?, variable.value)))
        .collect();
    let environment = ImageEnvironment { variables, source };
    Ok(match unknown {
        None => Ok(environment),
        Some(script) => Err(NeedsRun {
            script,
            partial: environment,
        }),
    })
}
