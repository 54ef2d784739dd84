//! Choosing where a base image comes from, and saying why.

use nd_report::Event;
use nd_sandbox::{Emulator, IdMode};
use neurocontainers_recipe::lock::{LockedBase, LockedContainer};

use super::{BaseFrom, BuildWish, PipelineError, Prepared, Workshop};
use crate::{
    base::{
        Base, BaseError, Bootstrap, Bootstrapper, FromRegistry, LockedState, RegistryPlaces, import,
    },
    lock::{self, LockProblem},
};

/// The base image that `reference` stands for, in the store.
pub(super) fn base(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    wish: &BuildWish,
    reference: &str,
    emulator: Option<&Emulator>,
) -> Result<Base, PipelineError> {
    let compiled = &prepared.compiled;
    let architecture = compiled.identity.architecture;
    let is_main = reference == compiled.base_image;
    let chosen = wish.bases.iter().rev().find(|choice| {
        let by_path = matches!(choice.from, BaseFrom::Path(_));
        match &choice.reference {
            Some(other) => other == reference,
            None => is_main || !by_path,
        }
    });
    let from = chosen.map(|choice| choice.from.clone()).unwrap_or_default();
    if let BaseFrom::Path(path) = &from {
        let path = workshop.environment.absolute(path);
        return Ok(import(&path, reference, architecture, workshop.store)?);
    }
    let bootstrap = compiled.bootstrap.as_ref().filter(|_| is_main);
    let bootstrap: Option<Bootstrap> = match bootstrap {
        Some(neurocontainers_recipe::raw::Bootstrap::Debian { suite }) => {
            Some(format!("debian:{suite}").parse()?)
        }
        None => None,
    };
    let registry = FromRegistry {
        workshop,
        reference,
        architecture,
        refresh: wish.refresh,
        pinned: pinned(prepared, reference),
    };
    let locked = prepared.lock.as_ref();
    let by_archive = locked.is_some_and(|lock| {
        let known = lock.bases.iter().find(|base| base.reference == reference);
        known.is_some_and(|base| base.bootstrap.is_some())
    });
    match (from, bootstrap) {
        (BaseFrom::Bootstrap, None) => Err(BaseError::NoBootstrap {
            reference: reference.into(),
        }
        .into()),
        (BaseFrom::Bootstrap, Some(bootstrap)) => {
            bootstrapped(workshop, prepared, wish, (reference, &bootstrap), emulator)
        }
        (BaseFrom::Registry, _) => Ok(registry.any(workshop.offline)?),
        // What was locked says where it came from.
        (BaseFrom::Auto | BaseFrom::Path(_), Some(bootstrap)) if by_archive => {
            bootstrapped(workshop, prepared, wish, (reference, &bootstrap), emulator)
        }
        (BaseFrom::Auto | BaseFrom::Path(_), bootstrap) => {
            let first = registry.named();
            match (first, bootstrap) {
                (Ok(Some(base)), _) => Ok(base),
                (Err(error @ BaseError::Cancelled(_)), _) => Err(error.into()),
                (first, Some(bootstrap)) => {
                    if let Err(error) = first {
                        let text = format!(
                            "{}; bootstrapping it instead",
                            nd_report::with_causes(&error)
                        );
                        workshop.reporter.event(Event::Note { text: &text });
                    }
                    bootstrapped(workshop, prepared, wish, (reference, &bootstrap), emulator)
                }
                (Err(error), None) => match registry.from(RegistryPlaces::Own) {
                    Ok(base) => Ok(base),
                    Err(_) => Err(error.into()),
                },
                (Ok(None), None) => Ok(registry.from(RegistryPlaces::Own)?),
            }
        }
    }
}

/// Digest of the manifest that a lock promises for a base of a registry.
fn pinned<'a>(prepared: &'a Prepared, reference: &str) -> Option<&'a str> {
    let lock = prepared.lock.as_ref()?;
    let known = lock.bases.iter().find(|base| base.reference == reference)?;
    known.bootstrap.is_none().then_some(&known.image[..])
}

fn bootstrapped(
    workshop: &Workshop<'_>,
    prepared: &Prepared,
    wish: &BuildWish,
    (reference, bootstrap): (&str, &Bootstrap),
    emulator: Option<&Emulator>,
) -> Result<Base, PipelineError> {
    let architecture = prepared.compiled.identity.architecture;
    let bootstrapper = Bootstrapper {
        programs: &**workshop.programs,
        store: workshop.store,
        clock: workshop.clock,
        machine: workshop.machine,
        reporter: workshop.reporter,
        cancel: workshop.cancel,
        ids: IdMode::choose(workshop.environment, &**workshop.programs),
        emulator,
        refresh: wish.refresh,
        offline: workshop.offline,
        locked: None,
        compression: wish.layers.of_layers(),
    };
    if let Some(lock) = &prepared.lock {
        let known = lock.bases.iter().find(|base| base.reference == reference);
        let Some(state) = known.and_then(locked_state) else {
            return Err(LockProblem::Missing {
                path: lock::shown(&prepared.folder),
                container: format!("{}, base {reference}", lock.name),
            }
            .into());
        };
        return locked_base(workshop, &bootstrapper, bootstrap, lock, state);
    }
    Ok(bootstrapper.prepare(bootstrap, reference, architecture)?)
}

/// The base of a locked state: what is in the store, else made from the archives as they were.
fn locked_base(
    workshop: &Workshop<'_>,
    bootstrapper: &Bootstrapper<'_>,
    bootstrap: &Bootstrap,
    lock: &LockedContainer,
    (reference, state): (&str, LockedState<'_>),
) -> Result<Base, PipelineError> {
    let architecture = lock
        .architecture
        .parse()
        .map_err(|_| BaseError::Distribution {
            what: lock.architecture.clone(),
        })?;
    let known = Bootstrapper {
        locked: Some(state),
        ..*bootstrapper
    };
    match known.prepare(bootstrap, reference, architecture) {
        Err(BaseError::Offline { .. }) => {}
        other => return Ok(other?),
    }
    let archives = lock::archives(workshop, lock)?;
    let anew = Bootstrapper {
        locked: Some(LockedState {
            archives: Some(&archives),
            ..state
        }),
        ..known
    };
    Ok(anew.prepare(bootstrap, reference, architecture)?)
}

/// What a lock says of the archives of a bootstrapped base.
fn locked_state(base: &LockedBase) -> Option<(&str, LockedState<'static>)> {
    let date: jiff::Timestamp = base.archive_date.as_deref()?.parse().ok()?;
    let state = LockedState {
        digest: base.archive_state.as_deref()?.parse().ok()?,
        date: date.as_second(),
        archives: None,
    };
    Some((&base.reference, state))
}
