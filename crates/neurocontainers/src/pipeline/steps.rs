//! The steps of a plan: as they come, or from exactly what was locked.

use nd_builder::{BuildOptions, Built, HostMount, StepState, forget};
use neurocontainers_recipe::lock::LockedContainer;

use super::{BuildWish, PipelineError, Planned, Prepared, Workshop, build::HostFiles};
use crate::{
    engines::{Engine, EngineKind, Job, Outside},
    lock::{self, ForSteps, LockProblem},
    machine::Redacted,
};

/// Does the steps that are missing. With a lock, what was built is compared with it; steps from the
/// cache that differ are done anew, from the archives that were locked.
pub fn steps(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    planned: &Planned,
    wish: &BuildWish,
) -> Result<Built, PipelineError> {
    let job = Job {
        workshop,
        prepared,
        planned,
        wish,
    };
    let Some(lock) = &prepared.lock else {
        return match wish.engine {
            EngineKind::Embedded => Embedded { archives: None }.build(&job),
            other => Outside(other).build(&job),
        };
    };
    let compression = wish.layers.of_layers();
    let states = planned
        .plan
        .states(workshop.store, planned.ids, compression)?;
    let missing = states.iter().any(|state| *state != StepState::Cached);
    let archives = archives_for(workshop, lock, missing)?;
    let archives = archives.as_ref();
    let built = Embedded { archives }.build(&job)?;
    let mut changes = lock::compare(workshop, prepared, planned, &built, lock)?;
    if changes.is_empty() {
        return Ok(built);
    }
    if built.steps.iter().any(|step| step.cached) {
        // They may have been done when the archives were in another state.
        forget(&planned.plan, workshop.store, compression).map_err(super::build::build_failed)?;
        let archives = archives_for(workshop, lock, true)?;
        let archives = archives.as_ref();
        let built = Embedded { archives }.build(&job)?;
        changes = lock::compare(workshop, prepared, planned, &built, lock)?;
        if changes.is_empty() {
            return Ok(built);
        }
    }
    Err(LockProblem::Drift {
        path: lock::shown(&prepared.folder),
        changes,
    }
    .into())
}

/// The locked archives, if steps need them.
fn archives_for(
    workshop: &Workshop<'_>,
    lock: &LockedContainer,
    missing: bool,
) -> Result<Option<ForSteps>, PipelineError> {
    if !missing {
        return Ok(None);
    }
    let unfetchable = lock.unfetchable();
    if workshop.offline && !unfetchable.is_empty() {
        return Err(LockProblem::Unfetchable(unfetchable).into());
    }
    if lock.archives.is_empty() {
        return Ok(None);
    }
    Ok(Some(lock::archives(workshop, lock)?.for_steps(workshop)?))
}

/// This program, with archives that were locked.
struct Embedded<'a> {
    archives: Option<&'a ForSteps>,
}

impl Engine for Embedded<'_> {
    fn build(&self, job: &Job<'_>) -> Result<Built, PipelineError> {
        run(job.workshop, job.planned, job.wish, self.archives)
    }
}

fn run(
    workshop: &Workshop<'_>,
    planned: &Planned,
    wish: &BuildWish,
    archives: Option<&ForSteps>,
) -> Result<Built, PipelineError> {
    let (mirrors, build_only) = match archives {
        None => (&planned.mirrors, planned.build_only.clone()),
        Some(archives) => {
            let lists = &planned.archives.lists;
            let mut only = workshop.machine.build_only(&archives.mirrors, lists);
            ForSteps::configure(&mut only);
            only.share_lists = false;
            (&archives.mirrors, only)
        }
    };
    let redactor = workshop.machine.redactor(mirrors);
    let reporter = Redacted {
        to: workshop.reporter,
        redactor: redactor.clone(),
    };
    let files = HostFiles::write(workshop.store.temporary(), &build_only)?;
    let mut host_mounts = files.mounts.clone();
    if let Some(archives) = archives {
        let (source, target) = archives.mount();
        // Settings may be mounted below the same folder.
        host_mounts.insert(0, HostMount { source, target });
    }
    let options = BuildOptions {
        ids: planned.ids,
        emulator: planned.emulator.as_ref(),
        compression: wish.layers.of_layers(),
        contexts: &planned.contexts,
        host_mounts,
        shared: &files.shared,
        host_env: build_only.env,
        offline: workshop.offline,
        limits: workshop.limits,
        budget: workshop.budget,
        secrets: workshop.secrets,
        look_in: workshop.look_in,
        reporter: &reporter,
        cancel: workshop.cancel,
    };
    nd_builder::build(&planned.plan, workshop.store, &options).map_err(|error| {
        let text = redactor.line(error.to_string().as_bytes());
        PipelineError::Build {
            text: String::from_utf8_lossy(&text).into_owned(),
            source: Box::new(error),
        }
    })
}

/// Forgets what was done of a plan, so that it is done anew.
pub fn forget_steps(
    workshop: &Workshop<'_>,
    planned: &Planned,
    wish: &BuildWish,
) -> Result<(), PipelineError> {
    let compression = wish.layers.of_layers();
    forget(&planned.plan, workshop.store, compression).map_err(super::build::build_failed)
}
