//! What a run would do: pure, from what should be published and what is.

use std::collections::BTreeSet;

use nd_names::ImageName;
use serde::Serialize;

use super::{
    actual::{Actual, CONTAINERS, ContainerState, image_path},
    desired::{Desired, DesiredImage},
    menus::MenuStep,
    modules::{ModuleEdit, Orphans, reconcile},
};

/// What is done to one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepAction {
    /// It is published for the first time.
    Add,
    /// Its image is another one now.
    Refresh,
    /// It was disabled and is published again.
    Restore,
    /// Its commands say that it is gone, and its image goes.
    Disable,
    /// All of it goes.
    Remove,
}

impl StepAction {
    /// Whether users lose something by it.
    pub fn takes_away(self) -> bool {
        matches!(self, Self::Disable | Self::Remove)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Refresh => "refresh",
            Self::Restore => "restore",
            Self::Disable => "disable",
            Self::Remove => "remove",
        }
    }
}

/// One container that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncStep {
    /// What is done.
    pub action: StepAction,
    /// Which image.
    #[serde(serialize_with = "stem")]
    pub image: ImageName,
    /// Why.
    pub reason: &'static str,
    /// Bytes of the image file, where a release record tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Directories that become catalogues of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalogs: Vec<String>,
}

fn stem<S: serde::Serializer>(name: &ImageName, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(name)
}

/// Why nothing of a plan may be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Refusal {
    /// The catalogue is empty, and something is published.
    #[error("the catalogue lists no image, and {installed} are published")]
    EmptyCatalogue {
        /// How many are published.
        installed: usize,
    },
    /// More would be taken away than is usual.
    #[error(
        "{wanted} of {installed} containers would be taken away, and {allowed} may be in one run"
    )]
    TooMany {
        /// How many would go.
        wanted: usize,
        /// How many may.
        allowed: usize,
        /// How many are published.
        installed: usize,
    },
}

/// What happens to containers that the catalogue does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stale {
    /// Their commands say so, and their image goes.
    #[default]
    Disable,
    /// They go with everything that belongs to them, those that were disabled earlier as well.
    Remove,
}

/// What may be taken away in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ceiling {
    /// A tenth, and three in any case.
    #[default]
    Tenth,
    /// Everything.
    None,
}

impl Ceiling {
    fn allows(self, installed: usize) -> usize {
        match self {
            Self::Tenth => (installed / 10).max(3),
            Self::None => usize::MAX,
        }
    }
}

/// How fast earlier runs were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, Serialize)]
pub struct Pace {
    /// Bytes of image files that were published.
    pub bytes: u64,
    /// Milliseconds that it took.
    pub millis: u64,
}

/// What a run would cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Estimate {
    /// Bytes of images that are known; what is fetched, and about what the storage grows by.
    pub bytes: u64,
    /// Images of which no size is known.
    pub unknown: usize,
    /// Seconds, by the pace of earlier runs; unknown before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What decides a plan besides its two states.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// The folder where users see the repository, such as `/cvmfs/software.example.org`.
    pub mount: String,
    /// What happens to containers that are not listed.
    pub stale: Stale,
    /// How many of them may go.
    pub ceiling: Ceiling,
    /// Only these images, when there are any; module files stay as they are then.
    pub only: BTreeSet<ImageName>,
    /// Images that are published anew.
    pub refresh: BTreeSet<ImageName>,
    /// How fast earlier runs were.
    pub pace: Pace,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SyncPlan {
    /// The revision that it is made for, where there are revisions.
    pub based_on: Option<u64>,
    /// Containers in the order in which they change: first what comes, then what goes.
    pub steps: Vec<SyncStep>,
    /// Module files that change besides those of containers that come.
    pub modules: Vec<ModuleEdit>,
    /// The menu, when it changes; nobody looked unless somebody said which menu there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub menu: Option<MenuStep>,
    /// Why none of it may be done.
    pub refused: Option<Refusal>,
    /// What it would cost.
    pub cost: Estimate,
}

impl SyncPlan {
    /// Compares what should be published with what is.
    pub fn new(desired: &Desired, actual: &Actual, options: &PlanOptions) -> Self {
        let chosen = |name: &ImageName| options.only.is_empty() || options.only.contains(name);
        let mut steps: Vec<SyncStep> = desired
            .images
            .iter()
            .filter(|image| chosen(&image.name))
            .filter_map(|image| coming(image, actual, options))
            .collect();
        let wanted: BTreeSet<&ImageName> = desired.images.iter().map(|image| &image.name).collect();
        let stale = actual
            .containers
            .iter()
            .filter(|(name, _)| chosen(name) && !wanted.contains(name));
        steps.extend(stale.filter_map(|(name, state)| going(name, state, options.stale)));
        let orphans = match options.stale {
            Stale::Disable => Orphans::Keep,
            Stale::Remove => Orphans::Remove,
        };
        let modules = if options.only.is_empty() {
            // A container that comes brings its own modules.
            let comes: BTreeSet<String> = steps
                .iter()
                .filter(|step| !step.action.takes_away())
                .map(|step| format!("/{}/{}", step.image.app, step.image.version))
                .collect();
            let mut edits = reconcile(desired, actual, &options.mount, orphans);
            edits.retain(|edit| {
                let path = edit.path.strip_suffix(".lua").unwrap_or(&edit.path);
                !comes.iter().any(|end| path.ends_with(end))
            });
            edits
        } else {
            Vec::new()
        };
        let refused = refusal(desired, actual, &steps, options.ceiling);
        Self {
            based_on: None,
            cost: estimate(&steps, options.pace),
            steps,
            modules,
            menu: None,
            refused,
        }
    }

    /// Whether everything is as it should be.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
            && self.modules.is_empty()
            && self.menu.is_none()
            && self.refused.is_none()
    }
}

fn coming(image: &DesiredImage, actual: &Actual, options: &PlanOptions) -> Option<SyncStep> {
    let (action, reason) = match actual.containers.get(&image.name) {
        None => (StepAction::Add, "it is not published"),
        Some(ContainerState::Incomplete) => (StepAction::Add, "an installation was interrupted"),
        Some(ContainerState::Disabled) => (StepAction::Restore, "it is listed again"),
        Some(ContainerState::Installed { tree, .. }) => {
            if options.refresh.contains(&image.name) {
                (StepAction::Refresh, "it was asked for")
            } else if matches!((tree, &image.recorded.tree), (Some(a), Some(b)) if a != b) {
                (StepAction::Refresh, "its release has another tree")
            } else {
                return None;
            }
        }
    };
    let stem = image.name.stem();
    Some(SyncStep {
        action,
        image: image.name.clone(),
        reason,
        bytes: image.recorded.bytes,
        catalogs: vec![format!("{CONTAINERS}/{stem}"), image_path(&stem)],
    })
}

fn going(name: &ImageName, state: &ContainerState, stale: Stale) -> Option<SyncStep> {
    let (action, reason) = match (state, stale) {
        // An interrupted installation that nobody wants: it shows nothing to anybody.
        (ContainerState::Incomplete, _) | (ContainerState::Disabled, Stale::Disable) => {
            return None;
        }
        (ContainerState::Disabled, Stale::Remove) => (StepAction::Remove, "it is disabled"),
        (ContainerState::Installed { .. }, Stale::Disable) => {
            (StepAction::Disable, "the catalogue does not list it")
        }
        (ContainerState::Installed { .. }, Stale::Remove) => {
            (StepAction::Remove, "the catalogue does not list it")
        }
    };
    Some(SyncStep {
        action,
        image: name.clone(),
        reason,
        bytes: None,
        catalogs: Vec::new(),
    })
}

fn refusal(
    desired: &Desired,
    actual: &Actual,
    steps: &[SyncStep],
    ceiling: Ceiling,
) -> Option<Refusal> {
    let installed = actual.installed();
    if desired.images.is_empty() && installed > 0 && ceiling == Ceiling::Tenth {
        return Some(Refusal::EmptyCatalogue { installed });
    }
    // What was disabled earlier is no loss any more.
    let lost = |step: &&SyncStep| step.action.takes_away() && actual.is_installed(&step.image);
    let wanted = steps.iter().filter(lost).count();
    let allowed = ceiling.allows(installed);
    (wanted > allowed).then_some(Refusal::TooMany {
        wanted,
        allowed,
        installed,
    })
}

fn estimate(steps: &[SyncStep], pace: Pace) -> Estimate {
    let coming = steps.iter().filter(|step| !step.action.takes_away());
    let mut cost = Estimate::default();
    for step in coming {
        match step.bytes {
            Some(bytes) => cost.bytes = cost.bytes.saturating_add(bytes),
            None => cost.unknown += 1,
        }
    }
    if pace.bytes > 0 {
        let millis = u128::from(cost.bytes) * u128::from(pace.millis) / u128::from(pace.bytes);
        cost.seconds = u64::try_from(millis / 1000).ok();
    }
    cost
}

#[cfg(test)]
mod tests {
    //! Steps and ceilings.

    use nd_report::{FileId, Sink};

    use super::{
        StepAction::{Add, Disable, Refresh, Restore},
        *,
    };

    fn desired(names: &[String]) -> Desired {
        let lines: Vec<String> = names
            .iter()
            .map(|name| format!("{name} categories:x,\n"))
            .collect();
        Desired::read(&lines.concat(), FileId(0), &mut Sink::new()).unwrap()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("t{n}_1.0_20240101")).collect()
    }

    fn actual(names: &[String]) -> Actual {
        let state = ContainerState::Installed {
            commands: vec!["x".into()],
            tree: Some("tree1:sha256:00".into()),
        };
        Actual {
            containers: names
                .iter()
                .map(|name| (name.parse().unwrap(), state.clone()))
                .collect(),
            ..Actual::default()
        }
    }

    #[test]
    fn every_state_has_its_step() {
        let all = names(5);
        let mut have = actual(&all[1..5]);
        let state = |have: &mut Actual, at: usize, state| {
            have.containers.insert(all[at].parse().unwrap(), state);
        };
        state(&mut have, 1, ContainerState::Incomplete);
        state(&mut have, 2, ContainerState::Disabled);
        let mut want = desired(&all[..4]);
        want.images[3].recorded.tree = Some("tree1:sha256:11".into());
        let plan = SyncPlan::new(&want, &have, &PlanOptions::default());
        let actions: Vec<_> = plan.steps.iter().map(|step| step.action).collect();
        assert_eq!(actions, [Add, Add, Restore, Refresh, Disable]);
        assert_eq!(plan.refused, None);
        let only = PlanOptions {
            only: [all[2].parse().unwrap()].into(),
            ..PlanOptions::default()
        };
        assert_eq!(SyncPlan::new(&want, &have, &only).steps.len(), 1);
    }

    #[test]
    fn a_catalogue_that_shrinks_takes_nothing_away() {
        let all = names(100);
        let have = actual(&all);
        let plan = |left: usize, ceiling| {
            let options = PlanOptions {
                ceiling,
                ..PlanOptions::default()
            };
            SyncPlan::new(&desired(&all[..left]), &have, &options)
        };
        assert_eq!(plan(100, Ceiling::Tenth), SyncPlan::default());
        assert_eq!(plan(90, Ceiling::Tenth).refused, None);
        let refused = plan(89, Ceiling::Tenth).refused.unwrap();
        assert!(matches!(
            refused,
            Refusal::TooMany {
                wanted: 11,
                allowed: 10,
                ..
            }
        ));
        assert!(matches!(
            plan(0, Ceiling::Tenth).refused,
            Some(Refusal::EmptyCatalogue { installed: 100 })
        ));
        assert_eq!(plan(0, Ceiling::None).steps.len(), 100);
        // Three of a few may always go.
        let few = actual(&all[..4]);
        let plan = SyncPlan::new(&desired(&all[..1]), &few, &PlanOptions::default());
        assert_eq!((plan.steps.len(), plan.refused), (3, None));
    }

    #[test]
    fn removing_takes_what_was_disabled_as_well() {
        let all = names(2);
        let mut have = actual(&all);
        have.containers
            .insert(all[1].parse().unwrap(), ContainerState::Disabled);
        let options = PlanOptions {
            stale: Stale::Remove,
            ..PlanOptions::default()
        };
        let plan = SyncPlan::new(&desired(&all[..1]), &have, &options);
        assert_eq!(plan.steps[0].action, StepAction::Remove);
    }
}
