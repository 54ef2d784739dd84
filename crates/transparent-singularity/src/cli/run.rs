//! Running programs of an image: `exec`, `shell`, `explain`.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::Args;
use nd_launcher::{
    Call, HostFiles, LAUNCH_FILE, LaunchFile, Policy, SITE_POLICY, Start, What, plan,
};
use nd_terminal::{Failure, FailureKind};
use serde_json::json;

use super::{Context, manage::having};
use crate::{InstallRecord, Site};

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Which image
    pub name: String,
    /// What to run in it
    #[arg(required = true, last = true, value_name = "CMD")]
    pub words: Vec<OsString>,
}

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub struct ShellArgs {
    /// Which image
    pub name: String,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Which command
    #[arg(value_name = "CMD")]
    pub command: String,
    /// Its arguments
    #[arg(last = true, value_name = "ARG")]
    pub arguments: Vec<OsString>,
    /// The image, when several have the command
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
}

/// The call for something in an installation: as the launcher would decide it here and now.
fn call(
    context: &Context,
    site: &Site,
    record: &InstallRecord,
    what: What<'_>,
    arguments: &[&OsStr],
) -> Result<Call, Failure> {
    let folder = site.folder(record);
    let path = folder.join(LAUNCH_FILE);
    let bytes = fs_err::read(&path)?;
    let broken = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::new(
            FailureKind::Failed,
            format!("`{}`: {error}", path.display()),
        )
    };
    let launch = LaunchFile::parse(&bytes).map_err(|error| broken(&path, &error))?;
    let own = launch.policy.as_ref().map(|policy| folder.join(&**policy));
    let mut texts: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for path in [PathBuf::from(SITE_POLICY)].into_iter().chain(own) {
        match fs_err::read(&path) {
            Ok(bytes) => texts.push((path, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut policy = Policy::default();
    for (path, bytes) in &texts {
        policy
            .read_more(bytes)
            .map_err(|error| broken(path, &error))?;
    }
    let environment: Vec<(&OsStr, &OsStr)> = context.environment.variables().collect();
    let start = Start {
        launch: &launch,
        folder: &folder,
        policy: &policy,
        environment: &environment,
        cwd: Some(context.environment.working_directory()),
        what,
        arguments,
    };
    plan(&start, &HostFiles).map_err(|error| {
        let kind = match error {
            nd_launcher::PlanError::NoRuntime { .. } => FailureKind::Tool,
            _ => FailureKind::Failed,
        };
        Failure::new(kind, error)
    })
}

/// Becomes the call.
fn become_call(context: &Context, call: &Call) -> Result<(), Failure> {
    for note in &call.notes {
        context.printer.warn(&note.to_string());
    }
    let inherited: Vec<(&OsStr, &OsStr)> = context.environment.variables().collect();
    let error = nd_host::replace_process(&call.program, &call.argv, call.environment(&inherited));
    Err(Failure::new(
        FailureKind::Tool,
        format!("cannot execute `{}`: {error}", call.program.display()),
    ))
}

pub(super) fn exec(context: &Context, args: &ExecArgs) -> Result<(), Failure> {
    let (site, record) = context.find(&args.name)?;
    let words: Vec<&OsStr> = args.words.iter().map(OsString::as_os_str).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::new(FailureKind::Usage, "nothing to run"));
    };
    let call = call(context, &site, &record, What::Program(program), arguments)?;
    become_call(context, &call)
}

pub(super) fn shell(context: &Context, args: &ShellArgs) -> Result<(), Failure> {
    let (site, record) = context.find(&args.name)?;
    let call = call(context, &site, &record, What::Shell, &[])?;
    become_call(context, &call)
}

pub(super) fn explain(context: &Context, args: &ExplainArgs) -> Result<(), Failure> {
    let (site, record) = if let Some(name) = &args.image {
        context.find(name)?
    } else {
        let first = having(context, &args.command)?.into_iter().next();
        first.ok_or_else(|| Failure::new(FailureKind::Failed, "nothing is installed"))?
    };
    let arguments: Vec<&OsStr> = args.arguments.iter().map(OsString::as_os_str).collect();
    let what = What::Command(OsStr::new(&args.command));
    let call = call(context, &site, &record, what, &arguments)?;
    for note in &call.notes {
        context.printer.warn(&note.to_string());
    }
    let line = String::from_utf8_lossy(&call.to_shell()).into_owned();
    if context.is_json() {
        let text = |words: &[OsString]| -> Vec<String> {
            words
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect()
        };
        let set: std::collections::BTreeMap<_, _> = call
            .set
            .iter()
            .map(|(name, value)| (name.to_string_lossy(), value.to_string_lossy()))
            .collect();
        return context.printer.json(&json!({
            "schema_version": 1,
            "image": record.image,
            "program": call.program,
            "argv": text(&call.argv),
            "set": set,
            "unset": text(&call.unset),
            "shell": line,
        }));
    }
    context.printer.data(&format!("{}\n", line.trim_end()))
}
