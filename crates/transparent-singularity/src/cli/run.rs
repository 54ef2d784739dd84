//! Running programs of an image: `exec`, `shell`, `explain`.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use clap::Args;
use nd_launcher::{
    Call, Demand, HostFiles, LAUNCH_FILE, LAUNCHER_PROGRAM, LaunchFile, MountKind, NativePlan,
    PlanError, Policy, RuntimeChoice, SITE_POLICY, Start, VERBOSE_VARIABLE, What, own_account,
    plan, plan_native,
};
use nd_terminal::{Failure, FailureKind, Verbosity};
use serde_json::json;

use super::{Context, manage::having};
use crate::{InstallRecord, Site};

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Which image
    pub name: String,
    /// What runs it: `auto`, `native` (no runtime where that is possible), `apptainer`, `singularity`, or the path
    /// of a program [default: what the policy says]
    #[arg(long, value_name = "RUNTIME")]
    pub runtime: Option<OsString>,
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
    /// What runs it, as for `exec`
    #[arg(long, value_name = "RUNTIME")]
    pub runtime: Option<OsString>,
    /// The image, when several have the command
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
}

/// How something in an installation starts here and now, and by what the policy and the user say.
struct Decided {
    starting: Starting,
    /// As `runtime` has it in a policy.
    runtime: OsString,
    /// Whether the image has to be what was installed, which the launcher asks.
    demanded: bool,
}

/// How something starts.
enum Starting {
    /// Without a runtime.
    Native(Box<NativePlan>),
    /// By a runtime; with the reason when the native start was wanted.
    Call(Call, Option<String>),
}

/// What is started, and what the user says of it.
struct Wanted<'a> {
    what: What<'a>,
    arguments: &'a [&'a OsStr],
    runtime: Option<&'a OsStr>,
}

/// The start of something in an installation: as the launcher would decide it here and now.
fn starting(
    context: &Context,
    site: &Site,
    record: &InstallRecord,
    wanted: &Wanted<'_>,
) -> Result<Decided, Failure> {
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
    if let Some(word) = wanted.runtime {
        let runtime = RuntimeChoice::parse(word.into()).ok_or_else(|| {
            let text = format!("`{}` is no runtime", word.display());
            Failure::new(FailureKind::Usage, text)
                .hint("`auto`, `native`, `apptainer`, `singularity`, or the path of a program")
        })?;
        policy
            .choose(runtime)
            .map_err(|error| Failure::new(FailureKind::Refused, error))?;
    }
    let environment: Vec<(&OsStr, &OsStr)> = context.environment.variables().collect();
    let start = Start {
        launch: &launch,
        folder: &folder,
        policy: &policy,
        environment: &environment,
        cwd: Some(context.environment.working_directory()),
        what: wanted.what,
        arguments: wanted.arguments,
    };
    let failed = |error: PlanError| {
        let kind = match error {
            PlanError::NoRuntime { .. } => FailureKind::Tool,
            _ => FailureKind::Failed,
        };
        Failure::new(kind, error)
    };
    let decided = |starting| Decided {
        starting,
        runtime: policy.runtime.word().to_owned(),
        demanded: policy.demand_digest != Demand::Nothing,
    };
    let mut reason = None;
    if policy.runtime == RuntimeChoice::Native {
        let ask = |table: &str, numbers: &[u32]| ask_names(context, table, numbers);
        match own_account(&ask) {
            None => reason = Some("nothing knows a name and a home for this account".to_owned()),
            Some(account) => match plan_native(&start, &account, &HostFiles).map_err(failed)? {
                Ok(plan) => return Ok(decided(Starting::Native(Box::new(plan)))),
                Err(unfit) => reason = Some(unfit.to_string()),
            },
        }
    }
    let call = plan(&start, &HostFiles).map_err(failed)?;
    Ok(decided(Starting::Call(call, reason)))
}

/// Lines of a table of names from the machine's name service.
fn ask_names(context: &Context, table: &str, numbers: &[u32]) -> Option<Vec<u8>> {
    let programs = context.programs();
    let getent = nd_host::Programs::find(&programs, "getent")?;
    let mut asked = nd_host::Invocation::new(&getent).arg(table);
    for number in numbers {
        asked = asked.arg(number.to_string());
    }
    // A number without a name is no error: the others are printed.
    let cancel = nd_report::Cancel::default();
    let ran = nd_host::Programs::run(&programs, &asked, &mut |_, _| {}, &cancel);
    Some(ran.ok()?.stdout)
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

/// Becomes the launcher, which compares the image where that is demanded, and enters it, or leaves it to a runtime and says so.
fn become_launcher(
    context: &Context,
    verb: &str,
    runtime: OsString,
    folder: PathBuf,
    words: &[OsString],
) -> Result<(), Failure> {
    let launcher = super::install::launcher_path(&context.programs()).ok_or_else(|| {
        let text = format!("program `{LAUNCHER_PROGRAM}` is missing");
        Failure::new(FailureKind::Tool, text).hint("it belongs beside `transparent-singularity`")
    })?;
    let mut argv: Vec<OsString> =
        vec![LAUNCHER_PROGRAM.into(), verb.into(), runtime, folder.into()];
    argv.extend_from_slice(words);
    let verbose = context.printer.verbosity() > Verbosity::Normal;
    let variables = context
        .environment
        .variables()
        .chain(verbose.then_some((OsStr::new(VERBOSE_VARIABLE), OsStr::new("1"))));
    let error = nd_host::replace_process(&launcher, &argv, variables);
    Err(Failure::new(
        FailureKind::Tool,
        format!("cannot execute `{}`: {error}", launcher.display()),
    ))
}

pub(super) fn exec(context: &Context, args: &ExecArgs) -> Result<(), Failure> {
    let (site, record) = context.find(&args.name)?;
    let words: Vec<&OsStr> = args.words.iter().map(OsString::as_os_str).collect();
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::new(FailureKind::Usage, "nothing to run"));
    };
    let wanted = Wanted {
        what: What::Program(program),
        arguments,
        runtime: args.runtime.as_deref(),
    };
    let decided = starting(context, &site, &record, &wanted)?;
    match decided.starting {
        Starting::Call(call, reason) if !decided.demanded => {
            if let Some(reason) = reason {
                context.printer.detail(&left(&call, &reason));
            }
            become_call(context, &call)
        }
        _ => {
            let folder = site.folder(&record);
            become_launcher(context, "exec", decided.runtime, folder, &args.words)
        }
    }
}

/// That a start is left to a runtime, and why.
fn left(call: &Call, reason: &str) -> String {
    format!("left to `{}`: {reason}", call.program.display())
}

pub(super) fn shell(context: &Context, args: &ShellArgs) -> Result<(), Failure> {
    let (site, record) = context.find(&args.name)?;
    let wanted = Wanted {
        what: What::Shell,
        arguments: &[],
        runtime: None,
    };
    let decided = starting(context, &site, &record, &wanted)?;
    match decided.starting {
        Starting::Call(call, _) if !decided.demanded => become_call(context, &call),
        _ => become_launcher(context, "shell", decided.runtime, site.folder(&record), &[]),
    }
}

pub(super) fn explain(context: &Context, args: &ExplainArgs) -> Result<(), Failure> {
    let (site, record) = if let Some(name) = &args.image {
        context.find(name)?
    } else {
        let first = having(context, &args.command)?.into_iter().next();
        first.ok_or_else(|| Failure::new(FailureKind::Failed, "nothing is installed"))?
    };
    let arguments: Vec<&OsStr> = args.arguments.iter().map(OsString::as_os_str).collect();
    let wanted = Wanted {
        what: What::Command(OsStr::new(&args.command)),
        arguments: &arguments,
        runtime: args.runtime.as_deref(),
    };
    let (call, reason) = match starting(context, &site, &record, &wanted)?.starting {
        Starting::Call(call, reason) => (call, reason),
        Starting::Native(plan) => return explain_native(context, &record, &plan),
    };
    for note in &call.notes {
        context.printer.warn(&note.to_string());
    }
    if let Some(reason) = &reason {
        context.printer.warn(&left(&call, reason));
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

fn explain_native(
    context: &Context,
    record: &InstallRecord,
    plan: &NativePlan,
) -> Result<(), Failure> {
    for note in &plan.notes {
        context.printer.warn(&note.to_string());
    }
    if !context.is_json() {
        return context.printer.data(&format!("{plan}\n"));
    }
    let mounts: Vec<_> = plan
        .mounts
        .iter()
        .map(|mount| {
            json!({
                "source": mount.source,
                "target": mount.target,
                "writable": mount.kind != MountKind::ReadOnly,
            })
        })
        .collect();
    let words = std::iter::once(&plan.program).chain(&plan.arguments);
    context.printer.json(&json!({
        "schema_version": 1,
        "image": record.image,
        "root": plan.image,
        "mounts": mounts,
        "cwd": plan.cwd,
        "argv": words.map(|word| word.to_string_lossy()).collect::<Vec<_>>(),
    }))
}
