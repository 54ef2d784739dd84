//! `lock`.

use clap::Args;
use nd_host::write_atomic;
use nd_terminal::{Failure, FailureKind};
use neurocontainers_recipe::lock::{Change, LOCK_FILE, LockedContainer, changes};
use serde_json::json;

use super::{
    limits::LimitArgs,
    looking::{LookArgs, SecretArgs, check_secrets},
    session::Session,
    session::sources,
};
use crate::{
    lock::{self, LockProblem},
    pipeline::{self, PipelineError, Prepared, Wish, Workshop},
    recipes::Places,
};

/// Arguments of `lock`.
#[derive(Debug, Args)]
pub(super) struct LockArgs {
    #[command(flatten)]
    look: LookArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    secrets: SecretArgs,
    /// Lock what there is now in place of what was locked, and show what changes
    #[arg(long, conflicts_with = "check")]
    update: bool,
    /// Write nothing; end with exit code 3 when what is built differs from the lock
    #[arg(long)]
    check: bool,
}

/// The command `lock`: builds what is missing, and reads the lock from it.
pub(super) fn run(session: &Session, args: &LockArgs) -> Result<(), Failure> {
    let places = session.places_of(&args.look.recipe.recipe, &args.look.recipe.places)?;
    let store = session.store()?;
    let secrets = args.secrets.read(session)?;
    let workshop = Workshop {
        offline: args.look.offline(),
        limits: args.limits.limits(),
        budget: args.limits.budget(),
        secrets: &secrets,
        ..session.workshop(&store)?
    };
    let wish = Wish {
        locked: args.check,
        ..args.look.recipe.wish()
    };
    let fail = |error| session.failure(error);
    let prepared = pipeline::prepare(&workshop.desk(), &places, &wish).map_err(fail)?;
    session.show(&prepared.warnings, &sources(&prepared.sources));
    if args.check {
        return check(session, &workshop, &places, &prepared, args);
    }
    let shown = lock::shown(&prepared.folder);
    let mut file = lock::read(&prepared.folder)
        .map_err(fail)?
        .unwrap_or_default();
    let before = file.container(&prepared.compiled.identity.name).cloned();
    if before.is_some() && !args.update {
        let text = format!("`{shown}` locks this container already");
        return Err(Failure::new(FailureKind::Failed, text)
            .hint("`--update` locks what there is now; `--check` looks whether it is still so"));
    }
    let locked = make(session, &workshop, &places, &prepared, args)?;
    let differs = before.as_ref().map(|before| changes(before, &locked));
    let (bases, steps) = counts(&locked);
    file.set(locked);
    // What is no change (lines of the recipe, the compressed bytes of a base that is made here) is
    // no reason to write another file either.
    if differs.as_ref().is_none_or(|differs| !differs.is_empty()) {
        let path = prepared.folder.path.join(LOCK_FILE);
        write_atomic(&path, file.to_string().as_bytes())?;
    }
    if session.json() {
        let differs = differs.unwrap_or_default();
        return session
            .printer
            .json(&json!({ "path": shown, "changes": texts(&differs) }));
    }
    let text = match differs {
        None => format!("{shown}: {bases} packages of the base, {steps} of steps\n"),
        Some(differs) if differs.is_empty() => format!("{shown}: nothing changed\n"),
        Some(differs) => texts(&differs).join("\n") + "\n",
    };
    session.printer.data(&text)
}

/// Builds, and reads the lock. Steps from the cache that an older state of the archives was
/// installed from are done anew, once.
fn make(
    session: &Session,
    workshop: &Workshop<'_>,
    places: &Places,
    prepared: &Prepared,
    args: &LockArgs,
) -> Result<LockedContainer, Failure> {
    let fail = |error| session.failure(error);
    let mut wish = args.look.wish();
    // A lock without its archives' state of this moment is none.
    wish.refresh |= args.update;
    let planned = pipeline::plan(workshop, places, prepared, &wish).map_err(fail)?;
    check_secrets(&planned, workshop.secrets)?;
    let built = pipeline::steps(workshop, prepared, &planned, &wish).map_err(fail)?;
    let first = lock::make(workshop, prepared, &planned, &built).map_err(fail)?;
    if first.stale.is_empty() {
        return Ok(first.locked);
    }
    wish.refresh = true;
    drop(planned);
    let again = || {
        let planned = pipeline::plan(workshop, places, prepared, &wish)?;
        pipeline::forget_steps(workshop, &planned, &wish)?;
        let built = pipeline::steps(workshop, prepared, &planned, &wish)?;
        lock::make(workshop, prepared, &planned, &built)?.settled()
    };
    again().map_err(fail)
}

fn check(
    session: &Session,
    workshop: &Workshop<'_>,
    places: &Places,
    prepared: &Prepared,
    args: &LockArgs,
) -> Result<(), Failure> {
    let wish = args.look.wish();
    let done = match pipeline::plan(workshop, places, prepared, &wish) {
        Ok(planned) => {
            check_secrets(&planned, workshop.secrets)?;
            pipeline::steps(workshop, prepared, &planned, &wish)
        }
        Err(error) => Err(error),
    };
    let shown = lock::shown(&prepared.folder);
    let changes = match done {
        Ok(_) => Vec::new(),
        Err(PipelineError::Lock(LockProblem::Drift { changes, .. })) => changes,
        Err(error) => return Err(session.failure(error)),
    };
    if session.json() {
        session
            .printer
            .json(&json!({ "path": shown, "changes": texts(&changes) }))?;
    } else if changes.is_empty() {
        session.printer.data(&format!("{shown}: as locked\n"))?;
    }
    if changes.is_empty() {
        return Ok(());
    }
    let problem = LockProblem::Drift {
        path: shown,
        changes,
    };
    let hint = problem.hint().unwrap_or_default();
    Err(Failure::new(FailureKind::Pending, problem).hint(hint))
}

fn texts(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

fn counts(locked: &LockedContainer) -> (usize, usize) {
    let bases = locked.bases.iter().map(|base| base.packages.len()).sum();
    let steps = locked
        .steps
        .iter()
        .map(|step| step.apt.len() + step.pip.len() + step.npm.len() + step.conda.len())
        .sum();
    (bases, steps)
}
