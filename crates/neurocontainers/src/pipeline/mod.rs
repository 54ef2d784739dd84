//! From a recipe to a tested container: prepare, stage, plan, build, write, test.
//!
//! Each part gives a value that the next one takes; nothing that is up to date is done again.

mod alone;
mod bases;
mod build;
mod error;
mod history;
mod outputs;
mod prepare;
mod steps;
mod summary;

use std::sync::Arc;

use nd_host::{Clock, Environment, Programs};
use nd_report::{Cancel, Event, Reporter, StepId, StepOutcome};
use nd_sandbox::Limits;
use nd_store::Store;

pub(crate) use build::HostFiles;
pub use build::{BaseChoice, BaseFrom, BuildWish, Finished, Planned, build, plan};
pub use error::PipelineError;
pub use history::{Maker, PastBuild, PastLayer, history};
pub use outputs::{OutputState, Outputs};
pub use prepare::{Dating, Prepared, Wish, prepare};
pub use steps::{forget_steps, steps};

use crate::{downloads::Remote, machine::Machine};

/// What it takes to read a recipe: neither a store nor the machine's settings.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// Variables and working directory.
    pub environment: &'a Environment,
    /// Programs of others.
    pub programs: &'a Arc<dyn Programs>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who fetches the few recipes' READMEs that lie behind a URL.
    pub remote: &'a dyn Remote,
}

/// What every part works with.
#[derive(Clone, Copy)]
pub struct Workshop<'a> {
    /// Variables and working directory.
    pub environment: &'a Environment,
    /// Programs of others.
    pub programs: &'a Arc<dyn Programs>,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Settings of the machine.
    pub machine: &'a Machine,
    /// What is kept between runs.
    pub store: &'a Store,
    /// Hears what happens.
    pub reporter: &'a dyn Reporter,
    /// The caller's wish to stop.
    pub cancel: &'a Cancel,
    /// Whether no connection is made, neither by us nor by steps.
    pub offline: bool,
    /// How much each step may take.
    pub limits: Limits,
    /// What one layer of a base may hold.
    pub budget: nd_builder::LayerBudget,
    /// What steps may read and nobody may keep.
    pub secrets: &'a [nd_builder::Secret],
    /// Who looks in when a step fails.
    pub look_in: Option<&'a dyn nd_builder::LookIn>,
}

impl Workshop<'_> {
    /// The part of it that reads recipes.
    pub fn desk(&self) -> Desk<'_> {
        Desk {
            environment: self.environment,
            programs: self.programs,
            clock: self.clock,
            remote: self,
        }
    }
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Workshop<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workshop")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Numbers of units of work besides the steps of a plan, which count from 0.
mod work {
    use nd_report::StepId;

    pub(super) const LAYOUT: StepId = StepId(u32::MAX - 1);
    pub(super) const SIF: StepId = StepId(u32::MAX - 2);
}

impl Workshop<'_> {
    /// Does a unit of work and says so: what it gives, whether it was there, and seconds.
    fn unit<T, E>(
        &self,
        id: StepId,
        title: &str,
        bytes: Option<u64>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, f64), E> {
        let started = std::time::Instant::now();
        self.reporter.event(Event::Started { id, title, bytes });
        let result = work();
        let took = started.elapsed();
        let outcome = match &result {
            Ok(_) => StepOutcome::Done,
            Err(_) => StepOutcome::Failed,
        };
        self.reporter.event(Event::Finished { id, outcome, took });
        Ok((result?, took.as_secs_f64()))
    }

    /// Says that a unit of work was done before.
    pub(crate) fn cached(&self, id: StepId, title: &str) {
        let bytes = None;
        self.reporter.event(Event::Started { id, title, bytes });
        self.reporter.event(Event::Finished {
            id,
            outcome: StepOutcome::Cached,
            took: std::time::Duration::ZERO,
        });
    }
}
