//! `server`: render, check, plan and apply what a description says.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use nd_fetch::FetchOptions;
use nd_host::{ProgramError, Programs, SystemPrograms};
use nd_terminal::{Failure, FailureKind, unified_diff};
use serde_json::{Value, json};

use super::{args::Context, description::DescriptionArgs};
use crate::server::{
    Action, Allowed, ApplyError, ConfigFile, Credentials, Description, FilePath, Fit, HostName,
    Machine, Progress, Role, State, Step, StepError, SyntaxError, check_syntax, files, plan_move,
    steps,
};

/// Set up the servers and clients of a repository from one description
#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    /// Print the description, such as that of the Neurodesk project to begin an own one with
    Describe(DescriptionArgs),
    /// Print the configuration files of a role, or write them below a folder
    Render(RenderArgs),
    /// Let the real programs read the configuration files, and show how the machine differs
    Check(CheckArgs),
    /// Show which steps of a set-up are done, pending or different; or how to move a Stratum 0
    Plan(PlanArgs),
    /// Do the steps of a set-up in order, from where they stopped
    Apply(ApplyArgs),
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    /// The publisher
    Stratum0,
    /// A replica
    Stratum1,
    /// The proxy of a site
    Proxy,
    /// A machine that mounts the repository
    Client,
}

impl RoleArg {
    fn role(self) -> Role {
        match self {
            Self::Stratum0 => Role::Stratum0,
            Self::Stratum1 => Role::Stratum1,
            Self::Proxy => Role::Proxy,
            Self::Client => Role::Client,
        }
    }
}

/// A folder in place of the machine.
#[derive(Debug, Args)]
struct RootArgs {
    /// Folder that stands for the root of a machine; only steps of files are looked at and done there
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Arguments of `server render`.
#[derive(Debug, Args)]
pub(super) struct RenderArgs {
    /// What the machine is for
    role: RoleArg,
    #[command(flatten)]
    description: DescriptionArgs,
    /// Folder below which the files are written, instead of printed
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// Arguments of `server check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// What the machine is for
    role: RoleArg,
    #[command(flatten)]
    description: DescriptionArgs,
    #[command(flatten)]
    root: RootArgs,
}

/// What is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlanArg {
    /// The publisher
    Stratum0,
    /// A replica
    Stratum1,
    /// The proxy of a site
    Proxy,
    /// A machine that mounts the repository
    Client,
    /// To move the publisher to another machine
    Move,
}

impl PlanArg {
    /// The role; none for a move.
    fn role(self) -> Option<Role> {
        match self {
            Self::Stratum0 => Some(Role::Stratum0),
            Self::Stratum1 => Some(Role::Stratum1),
            Self::Proxy => Some(Role::Proxy),
            Self::Client => Some(Role::Client),
            Self::Move => None,
        }
    }
}

/// Arguments of `server plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// What the machine is for, or `move`
    what: PlanArg,
    #[command(flatten)]
    description: DescriptionArgs,
    #[command(flatten)]
    root: RootArgs,
    /// End with exit code 3 when not everything is done
    #[arg(long)]
    check: bool,
    /// The machine that is the publisher now
    #[arg(long, value_name = "HOST", required_if_eq("what", "move"))]
    from: Option<HostName>,
    /// The machine that becomes the publisher
    #[arg(long, value_name = "HOST", required_if_eq("what", "move"))]
    to: Option<HostName>,
}

/// Arguments of `server apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    /// What the machine is for
    role: RoleArg,
    #[command(flatten)]
    description: DescriptionArgs,
    #[command(flatten)]
    root: RootArgs,
    /// Make a file system on this device, if it is empty
    #[arg(long, value_name = "DEVICE")]
    format: Option<FilePath>,
    /// Replace files that somebody changed; what they held is kept in `/var/lib/cvmfs-sync/replaced`
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(context: &Context, command: &ServerCommand) -> Result<(), Failure> {
    match command {
        ServerCommand::Describe(args) => {
            let (_, text) = args.read(context)?;
            args.load(context)?;
            context.printer.data(&text)
        }
        ServerCommand::Render(args) => render(context, args),
        ServerCommand::Check(args) => check(context, args),
        ServerCommand::Plan(args) => plan(context, args),
        ServerCommand::Apply(args) => apply(context, args),
    }
}

fn render(context: &Context, args: &RenderArgs) -> Result<(), Failure> {
    let description = args.description.load(context)?;
    let files = files(&description, args.role.role(), None)?;
    let printer = &context.printer;
    if let Some(root) = &args.root {
        let root = context.environment.absolute(root);
        fs_err::create_dir_all(&root)?;
        if fs_err::canonicalize(&root)?.parent().is_none() {
            let text = "the files of this machine are written by `server apply`";
            return Err(Failure::new(FailureKind::Refused, text));
        }
        let machine = machine(context, root, None)?;
        for file in &files {
            machine.put_file(file)?;
            printer.note(&file.path);
        }
    } else if context.json() {
        let list: Vec<Value> = files
            .iter()
            .map(|file| {
                let (path, text) = (&file.path, file.content.over(None));
                json!({ "path": path, "mode": format!("{:o}", file.mode), "text": text })
            })
            .collect();
        printer.json(&json!({ "schema_version": 1, "files": list }))?;
    } else {
        for file in &files {
            let text = file.content.over(None);
            printer.data(&format!("==> {} ({:o})\n{text}", file.path, file.mode))?;
        }
    }
    if let Some(path) = geo(&description, args.role.role()) {
        printer.note(&format!(
            "`/etc/cvmfs/server.local` gets its licence from `{path}` by `server apply`"
        ));
    }
    Ok(())
}

fn check(context: &Context, args: &CheckArgs) -> Result<(), Failure> {
    let description = args.description.load(context)?;
    let credentials = credentials(context, &description, args.role.role())?;
    let files = files(&description, args.role.role(), credentials.as_ref())?;
    let programs = SystemPrograms::new(&context.environment);
    let machine = machine_of(context, &args.root, None)?;
    let printer = &context.printer;
    let mut found = Vec::new();
    let (mut pending, mut malformed) = (0, 0);
    for file in &files {
        let folder = tempfile::tempdir()?;
        let family = description.host.packages;
        let wrong = check_syntax(file, family, folder.path(), &programs, &context.cancel).map_err(
            |error| match error {
                SyntaxError::Program(error) => program_failure(error),
                SyntaxError::Io { .. } => error.into(),
            },
        )?;
        malformed += usize::from(wrong.is_some());
        let now = machine.text(&file.path)?;
        let diff = difference(file, now.as_deref());
        pending += usize::from(!diff.is_empty());
        if let Some(wrong) = &wrong {
            printer.error_line(&format!("{}: {wrong}", file.path));
        }
        if !context.json() && !diff.is_empty() {
            printer.data(&diff)?;
        }
        found.push(json!({ "path": file.path, "problem": wrong, "difference": diff }));
    }
    if context.json() {
        printer.json(&json!({ "schema_version": 1, "files": found }))?;
    }
    if malformed > 0 {
        let text = format!("{malformed} files are not what their programs read");
        return Err(Failure::new(FailureKind::Failed, text));
    }
    if pending > 0 {
        let text = format!("{pending} of {} files differ", files.len());
        return Err(Failure::new(FailureKind::Pending, text));
    }
    Ok(())
}

/// How a file differs; a secret only that it does.
fn difference(file: &ConfigFile, now: Option<&str>) -> String {
    match file.content.fit(now) {
        Fit::Same => String::new(),
        _ if file.secret => format!("{}: differs, and holds secrets\n", file.path),
        _ => unified_diff(&file.path, now.unwrap_or(""), &file.content.over(now)),
    }
}

fn plan(context: &Context, args: &PlanArgs) -> Result<(), Failure> {
    let description = args.description.load(context)?;
    let Some(role) = args.what.role() else {
        let (Some(from), Some(to)) = (&args.from, &args.to) else {
            let text = "a move needs `--from` and `--to`";
            return Err(Failure::new(FailureKind::Usage, text));
        };
        return show_move(context, &description, from, to);
    };
    let credentials = credentials(context, &description, role)?;
    let steps = steps(&description, role, credentials.as_ref())?;
    let programs = SystemPrograms::new(&context.environment);
    let machine = machine_of(context, &args.root, Some(&programs))?;
    let planned = machine.plan(&steps).map_err(failure)?;
    if context.json() {
        let list: Vec<Value> = planned
            .iter()
            .map(|(step, state)| as_json(step, state))
            .collect();
        let others = steps.len() - planned.len();
        context.printer.json(
            &json!({ "schema_version": 1, "role": role, "steps": list, "not_in_a_folder": others }),
        )?;
    } else {
        for (step, state) in &planned {
            let (state, why) = match state {
                State::Done => ("done", String::new()),
                State::Pending(why) => ("pending", format!(" ({why})")),
                State::Different(why) => ("different", format!(" ({why})")),
            };
            let line = format!("{state:<9}  {}: {}{why}", step.id, step.title);
            context.printer.data(&line)?;
        }
        say_left_out(context, steps.len() - planned.len());
    }
    let open = planned
        .iter()
        .filter(|(_, state)| *state != State::Done)
        .count();
    if args.check && open > 0 {
        let text = format!("{open} of {} steps are not done", planned.len());
        return Err(Failure::new(FailureKind::Pending, text));
    }
    Ok(())
}

fn as_json(step: &Step, state: &State) -> Value {
    let mut value = json!({
        "id": step.id,
        "title": step.title,
        "commands": step.commands(),
        "file": match &step.action {
            Action::File(file) => Some(&file.path),
            _ => None,
        },
    });
    if let (Some(all), Ok(Value::Object(state))) =
        (value.as_object_mut(), serde_json::to_value(state))
    {
        all.extend(state);
    }
    value
}

fn show_move(
    context: &Context,
    description: &Description,
    from: &HostName,
    to: &HostName,
) -> Result<(), Failure> {
    let moves = plan_move(description, from, to)?;
    if context.json() {
        return context
            .printer
            .json(&json!({ "schema_version": 1, "steps": moves }));
    }
    for (at, part) in moves.iter().enumerate() {
        let place = match serde_json::to_value(part.place)? {
            Value::String(place) => place,
            _ => String::new(),
        };
        context
            .printer
            .data(&format!("{}. {place}: {}", at + 1, part.title))?;
        for words in &part.commands {
            context.printer.data(&format!("     {}", words.join(" ")))?;
        }
    }
    Ok(())
}

fn apply(context: &Context, args: &ApplyArgs) -> Result<(), Failure> {
    let description = args.description.load(context)?;
    let role = args.role.role();
    let credentials = credentials(context, &description, role)?;
    let steps = steps(&description, role, credentials.as_ref())?;
    let programs = SystemPrograms::new(&context.environment);
    let machine = machine_of(context, &args.root, Some(&programs))?;
    let Some(_lock) = machine.lock()? else {
        let text = "another `server apply` is at work here";
        return Err(Failure::new(FailureKind::Busy, text));
    };
    let allowed = Allowed {
        format: args.format.clone(),
        replace: args.replace,
    };
    let printer = &context.printer;
    let (mut was, mut did) = (0, Vec::new());
    let applied = machine.apply(&steps, &allowed, &mut |step, progress| match progress {
        Progress::Was => was += 1,
        Progress::Doing(why) => printer.note(&format!("{}: {} ({why})", step.id, step.title)),
        Progress::Did => did.push(step.id.clone()),
    });
    if context.json() {
        printer.json(&json!({ "schema_version": 1, "was_done": was, "done": did }))?;
    } else {
        printer.note(&format!(
            "{was} steps were done, {} are done now",
            did.len()
        ));
        if args.root.root.is_some() {
            say_left_out(
                context,
                steps.iter().filter(|step| !step.is_of_files()).count(),
            );
        }
    }
    applied.map_err(failure)
}

fn say_left_out(context: &Context, count: usize) {
    if count > 0 {
        let text = format!("{count} steps need the machine itself and are left out in a folder");
        context.printer.note(&text);
    }
}

/// The file with account and licence of the geo database.
fn geo(description: &Description, role: Role) -> Option<&FilePath> {
    let section = description.stratum1.as_ref()?;
    section.geo.as_ref().filter(|_| role == Role::Stratum1)
}

fn credentials(
    context: &Context,
    description: &Description,
    role: Role,
) -> Result<Option<Credentials>, Failure> {
    let Some(path) = geo(description, role) else {
        return Ok(None);
    };
    let text = fs_err::read_to_string(context.environment.absolute(path.as_str()))?;
    let parsed = Credentials::parse(&text).map_err(|error| {
        Failure::new(FailureKind::Failed, error).hint(format!("the file is `{path}`"))
    })?;
    Ok(Some(parsed))
}

fn machine_of<'a>(
    context: &'a Context,
    args: &RootArgs,
    programs: Option<&'a dyn Programs>,
) -> Result<Machine<'a>, Failure> {
    match &args.root {
        Some(root) => machine(context, context.environment.absolute(root), None),
        None => machine(context, PathBuf::from("/"), programs),
    }
}

fn machine<'a>(
    context: &'a Context,
    root: PathBuf,
    programs: Option<&'a dyn Programs>,
) -> Result<Machine<'a>, Failure> {
    let fetch = FetchOptions::from_environment(&context.environment)?;
    Ok(Machine::open(
        root,
        programs,
        &context.cancel,
        context.now,
        fetch,
    )?)
}

fn program_failure(error: ProgramError) -> Failure {
    let kind = match &error {
        ProgramError::Cancelled { .. } => FailureKind::Interrupted,
        _ => FailureKind::Tool,
    };
    Failure::new(kind, error)
}

fn failure(error: ApplyError) -> Failure {
    let kind = match &error.source {
        StepError::Program(ProgramError::Cancelled { .. }) => FailureKind::Interrupted,
        StepError::Program(_) => FailureKind::Tool,
        StepError::Refused(_) => FailureKind::Refused,
        StepError::Io { .. } | StepError::NotSo(_) => FailureKind::Failed,
    };
    let replace =
        matches!(&error.source, StepError::Refused(why) if why.contains("something else"));
    let failure = Failure::new(kind, error);
    if replace {
        failure.hint("`server check` shows how files differ; `--replace` replaces them")
    } else {
        failure
    }
}
