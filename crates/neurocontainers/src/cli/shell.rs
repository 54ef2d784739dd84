//! `shell`.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Args;
use nd_builder::{LayerTree, Surroundings, layer_trees};
use nd_report::{Event, Reporter as _};
use nd_runtime::{Access, Bind, RunOutput, RunSpec, RuntimeError, SandboxImage, SandboxRuntime};
use nd_terminal::{Failure, FailureKind, Pty, has_terminal};

use super::{
    looking::{LookArgs, SecretArgs, check_secrets, step},
    session::Session,
};
use crate::pipeline::{self, Workshop};

/// The best shell there is.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; fi; exec sh";

/// Arguments of `shell`.
#[derive(Debug, Args)]
pub(super) struct ShellArgs {
    #[command(flatten)]
    look: LookArgs,
    #[command(flatten)]
    secrets: SecretArgs,
    /// State after this step: its number, `FILE:LINE`, `:LINE`, or the start of its title
    #[arg(long, value_name = "STEP")]
    at: Option<String>,
    /// Show the current folder under its own path and start there; what is written into it stays
    #[arg(long)]
    bind: bool,
    /// Command to run instead of a shell
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// The command `shell`: builds what is missing, then runs a shell or a command in it. What that
/// writes is thrown away.
pub(super) fn run(session: &Session, args: &ShellArgs) -> Result<(), Failure> {
    let store = session.store()?;
    let secrets = args.secrets.read(session)?;
    let workshop = Workshop {
        offline: args.look.offline(),
        secrets: &secrets,
        ..session.workshop(&store)?
    };
    let (prepared, mut planned) = args.look.plan(session, &workshop)?;
    check_secrets(&planned, &secrets)?;
    let around = match &args.at {
        None => None,
        Some(text) => {
            let place = step(&planned, text)?;
            let around = planned.plan.surroundings(place).unwrap_or_default();
            planned.plan = planned.plan.until(place);
            Some(around)
        }
    };
    let wish = args.look.wish();
    let built = pipeline::steps(&workshop, &prepared, &planned, &wish)
        .map_err(|error| session.failure(error))?;
    let around = around.unwrap_or_else(|| Surroundings {
        env: built.state.run_env(),
        cwd: built.state.directory().to_owned(),
        user: Some(built.state.user.clone()).filter(|user| !user.is_empty()),
    });
    let (ids, emulator) = (planned.ids, planned.emulator.take());
    // Others may build while a person looks.
    drop(planned);
    let mut note = |text: &str| session.reporter.event(Event::Note { text });
    let trees = layer_trees(&store, &built.layers, ids, &session.cancel, &mut note)?;
    let image = SandboxImage {
        lowers: trees.iter().rev().map(LayerTree::path).collect(),
        env: around.env,
        user: around.user,
        working_dir: Some(around.cwd),
    };
    let output = enter(
        session,
        &SandboxRuntime::new(image, ids).emulated(emulator),
        &spec(session, args),
    )?;
    match u8::try_from(output.status) {
        Ok(0) => Ok(()),
        Ok(code) => {
            // A command that could not be executed said nothing itself.
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                session.printer.error_line(line);
            }
            Err(Failure::told(FailureKind::Program(code)))
        }
        Err(_) => Err(Failure::told(FailureKind::Failed)),
    }
}

fn spec(session: &Session, args: &ShellArgs) -> RunSpec {
    let mut spec = if args.command.is_empty() {
        RunSpec::new(["/bin/sh", "-c", SHELL])
    } else {
        RunSpec::new(args.command.clone())
    };
    spec.env
        .push(("TERM".into(), session.terminal_kind().into()));
    spec.cancel = session.cancel.clone();
    if args.bind {
        let here: PathBuf = session.environment.working_directory().into();
        spec.cwd = Some(here.clone());
        spec.binds.push(Bind {
            host: here.clone(),
            inside: here,
            access: Access::ReadWrite,
        });
    }
    spec
}

/// Runs a command on a terminal of its own where there is a person, else on our streams.
fn enter(
    session: &Session,
    runtime: &SandboxRuntime,
    spec: &RunSpec,
) -> Result<RunOutput, Failure> {
    let fail = |error: RuntimeError| Failure::from(error);
    if !has_terminal() {
        return runtime.connected(spec).map_err(fail);
    }
    let (pty, far) = Pty::open()?;
    let over = AtomicBool::new(false);
    session
        .printer
        .paused(|| {
            std::thread::scope(|scope| {
                let relay = scope.spawn(|| pty.relay(&|| over.load(Ordering::Acquire)));
                let output = runtime.on_terminal(spec, far);
                over.store(true, Ordering::Release);
                // What could not be shown any more cannot be told either.
                let _ = relay.join();
                output
            })
        })
        .map_err(fail)
}
