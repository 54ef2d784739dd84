//! Carrying a plan out: container by container, each of them whole or not at all.

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    path::{Path, PathBuf},
};

use nd_host::Clock;
use nd_names::{ImageName, Sha256};
use nd_report::{Cancel, Cancelled, Event, Reporter};
use nd_rootfs::{Index, Kind, PathError, TreeDigest, TreePath};
use serde::Serialize;

use super::{
    actual::{Actual, ContainerState},
    changes,
    desired::{Desired, DesiredImage},
    images::Images,
    menus::{Menu, MenuError, MenuStep},
    plan::{PlanOptions, Refusal, Stale, SyncPlan, SyncStep},
    prepare::{Prepared, Preparer},
    state::{State, StateError, StoppedRun},
    view::ViewError,
};
use crate::publisher::{ChangeSet, Edit, Message, Publisher, PublisherError};

/// Why a run ended early. What was published before stays published.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan may not be carried out.
    #[error(transparent)]
    Refused(Refusal),
    /// The repository cannot be changed.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    /// It cannot be looked at.
    #[error(transparent)]
    View(#[from] ViewError),
    /// What is remembered.
    #[error(transparent)]
    State(#[from] StateError),
    /// The menu.
    #[error(transparent)]
    Menu(#[from] MenuError),
    /// A path that is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A name that cannot be told to a publisher.
    #[error(transparent)]
    Message(#[from] crate::publisher::MessageError),
    /// What users see is not what was published.
    #[error("`{image}` reads back differently: {what}")]
    ReadBack {
        /// Which image.
        image: ImageName,
        /// What differs.
        what: String,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// There is too little room to begin with it.
    #[error("`{image}` may need {needed} bytes below `{}`, where {free} are free", place.display())]
    NoRoom {
        /// Which image.
        image: ImageName,
        /// Where.
        place: PathBuf,
        /// Bytes that it may need, and that have to stay free.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// No space is left.
    #[error("no space is left for `{image}`")]
    NoSpace {
        /// For which image.
        image: ImageName,
        /// Where.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What one run may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunLimits {
    /// Containers that come.
    pub containers: Option<usize>,
    /// Bytes of image files.
    pub bytes: Option<u64>,
    /// Hours of the day, in UTC, in which containers come: from the first up to the second, which may be
    /// on the next day.
    pub hours: Option<(u8, u8)>,
    /// Bytes that stay free on each disk that the run writes to.
    pub keep_free: u64,
}

/// What one run did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RunReport {
    /// What was put right of an earlier run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovered: Option<String>,
    /// The revision that users see now.
    pub revision: u64,
    /// Containers that changed.
    pub done: Vec<SyncStep>,
    /// Module files that changed besides.
    pub modules: usize,
    /// The menu, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub menu: Option<MenuStep>,
    /// Containers that failed, with the reason.
    pub failed: Vec<(String, String)>,
    /// Containers that were left for later, with the reason.
    pub postponed: Vec<(String, String)>,
}

impl RunReport {
    /// Whether the repository is as the catalogue has it.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.postponed.is_empty()
    }
}

/// Everything that a run needs.
pub struct Run<'a> {
    /// Where revisions are made.
    pub publisher: &'a mut dyn Publisher,
    /// Where images come from.
    pub images: &'a dyn Images,
    /// The menu that is published with them, if there is one.
    pub menu: Option<&'a Menu>,
    /// What becomes of them.
    pub preparer: &'a Preparer,
    /// What is remembered.
    pub state: &'a mut State,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// What the run may do.
    pub limits: RunLimits,
    /// The caller's wish to stop.
    pub cancel: &'a Cancel,
    /// Who is told.
    pub reporter: &'a dyn Reporter,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run")
            .field("publisher", &self.publisher.name())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Why one container did not come.
enum Stop {
    /// Others may.
    Image(Box<dyn Error + Send + Sync>),
    /// Nothing else will.
    Run(ApplyError),
}

impl<E: Into<ApplyError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Run(error.into())
    }
}

impl Run<'_> {
    /// Makes the repository hold what is desired. Containers that fail are remembered and left out; the
    /// order is that nobody is ever led to something that is gone: first what comes, then module files,
    /// then what goes.
    pub fn apply(
        &mut self,
        desired: &Desired,
        options: &PlanOptions,
    ) -> Result<RunReport, ApplyError> {
        let done = self.carry_out(desired, options);
        let memory = &mut self.state.memory;
        match &done {
            Ok(_) => memory.stopped = None,
            // Somebody wants to go on later.
            Err(
                ApplyError::Cancelled(_)
                | ApplyError::Publisher(PublisherError::Busy(_) | PublisherError::Cancelled(_)),
            ) => {}
            Err(error) => {
                memory.stopped = Some(StoppedRun {
                    reason: nd_report::with_causes(error),
                    at: self.clock.now().as_second(),
                });
            }
        }
        let saved = self.state.save();
        let report = done?;
        saved?;
        Ok(report)
    }

    fn carry_out(
        &mut self,
        desired: &Desired,
        options: &PlanOptions,
    ) -> Result<RunReport, ApplyError> {
        let mut report = RunReport {
            recovered: self.publisher.recover()?,
            ..RunReport::default()
        };
        let mut actual = Actual::read(&mut *self.publisher.view()?)?;
        let plan = SyncPlan::new(desired, &actual, options);
        if let Some(refusal) = plan.refused {
            return Err(ApplyError::Refused(refusal));
        }
        let (goes, comes): (Vec<SyncStep>, Vec<SyncStep>) = plan
            .steps
            .into_iter()
            .partition(|step| step.action.takes_away());
        if options.only.is_empty() {
            // What is not listed any more, or is there by now, fails no longer.
            let failed = &mut self.state.memory.failed;
            failed.retain(|name, _| comes.iter().any(|step| step.image.to_string() == *name));
        }
        let mut used = Used::default();
        for step in comes {
            self.cancel.check()?;
            let name = step.image.to_string();
            if let Some(reason) = self.postponed(&step, options, &used) {
                report.postponed.push((name, reason));
                continue;
            }
            let Some(image) = desired.images.iter().find(|image| image.name == step.image) else {
                continue;
            };
            self.room_for(&step)?;
            match self.bring(image, (desired, &mut actual), options, &mut used) {
                Ok(()) => {
                    self.state.memory.failed.remove(&name);
                    report.done.push(step);
                }
                Err(Stop::Image(error)) => {
                    let reason = nd_report::with_causes(&*error);
                    self.say(&format!("{name}: {reason}"));
                    let now = self.clock.now();
                    self.state.memory.fail(name.clone(), reason.clone(), now);
                    // Whatever ends the run, it is not fetched again at once.
                    self.state.save()?;
                    report.failed.push((name, reason));
                }
                Err(Stop::Run(error)) => return Err(error),
            }
        }
        report.modules = reconcile_modules(self.publisher, desired, options, self.cancel)?;
        // A menu leads to nothing that has not come, and no longer to what is about to go.
        if options.only.is_empty() {
            report.menu = self.publish_menu()?;
        }
        self.take_away(goes, options, &mut report)?;
        report.revision = self.publisher.state()?.revision;
        let now = self.clock.now().as_second();
        self.state.memory.ended = Some(now);
        if report.is_complete() && options.only.is_empty() {
            self.state.memory.complete = Some(now);
        }
        Ok(report)
    }

    /// Why a step has to wait, if it has.
    fn postponed(&self, step: &SyncStep, options: &PlanOptions, used: &Used) -> Option<String> {
        let now = self.clock.now();
        if let Some(failed) = self.state.memory.failed.get(&step.image.to_string())
            && failed.next > now.as_second()
            && !options.refresh.contains(&step.image)
        {
            let pause = failed.next - now.as_second();
            return Some(format!("it failed, and is tried again in {pause} s"));
        }
        let limits = &self.limits;
        if limits
            .containers
            .is_some_and(|most| used.containers >= most)
        {
            return Some("the run has its number of containers".into());
        }
        let bytes = used.bytes.saturating_add(step.bytes.unwrap_or(0));
        if limits.bytes.is_some_and(|most| bytes > most) {
            return Some("the run has its bytes".into());
        }
        if let Some((from, to)) = limits.hours {
            let hour = (now.as_second().rem_euclid(24 * 3600) / 3600) as u8;
            let inside = if from <= to {
                (from..to).contains(&hour)
            } else {
                hour >= from || hour < to
            };
            if !inside {
                return Some("it is not the time of day for it".into());
            }
        }
        None
    }

    /// Looks for room before anything of a container is fetched: the storage grows by about as much as
    /// the image has, and never by much more.
    fn room_for(&self, step: &SyncStep) -> Result<(), ApplyError> {
        let needed = self
            .limits
            .keep_free
            .saturating_add(step.bytes.unwrap_or(0));
        let own = self.preparer.temporary.as_path();
        let disks = self.publisher.disks().into_iter().chain([own]);
        for place in disks.filter(|_| needed > 0) {
            let free = nd_host::free_bytes(place).unwrap_or(u64::MAX);
            if free < needed {
                return Err(ApplyError::NoRoom {
                    image: step.image.clone(),
                    place: Path::to_owned(place),
                    needed,
                    free,
                });
            }
        }
        Ok(())
    }

    /// Publishes one container.
    fn bring(
        &mut self,
        image: &DesiredImage,
        (desired, actual): (&Desired, &mut Actual),
        options: &PlanOptions,
        used: &mut Used,
    ) -> Result<(), Stop> {
        let begun = self.clock.now();
        self.say(&format!("{}: fetching", image.name));
        let given = self
            .images
            .get(image)
            .map_err(|error| self.image_error(image, error.into()))?;
        let recorded = image.recorded.tree.as_deref();
        let prepared = self
            .preparer
            .prepare(&image.name, &given.path, recorded, self.cancel)
            .map_err(|error| self.image_error(image, error.into()))?;
        let Prepared {
            parts,
            modules,
            digest,
            beside,
            commands,
            notes,
        } = prepared;
        for note in notes {
            self.say(&format!("{}: {note}", image.name));
        }
        self.say(&format!("{}: publishing", image.name));
        let states = (desired, &*actual);
        let edits = changes::publish(image, parts, &modules, &commands, states, &options.mount)?;
        let change = ChangeSet {
            edits,
            message: message(&format!("added {}", image.name))?,
        };
        let published = self.publisher.publish(change, self.cancel);
        published.map_err(|error| self.publish_error(image, error))?;
        self.compare(image, digest, &beside)?;
        used.containers += 1;
        used.bytes = used.bytes.saturating_add(given.bytes);
        let took = self.clock.now().duration_since(begun).as_millis();
        let pace = &mut self.state.memory.pace;
        pace.bytes = pace.bytes.saturating_add(given.bytes);
        pace.millis = pace
            .millis
            .saturating_add(u64::try_from(took).unwrap_or_default());
        let state = ContainerState::Installed {
            commands,
            tree: Some(digest.to_string()),
        };
        actual.containers.insert(image.name.clone(), state);
        Ok(())
    }

    /// Compares what users see of a container with what was published.
    fn compare(
        &mut self,
        image: &DesiredImage,
        digest: TreeDigest,
        beside: &BTreeMap<TreePath, Sha256>,
    ) -> Result<(), ApplyError> {
        let index = self.publisher.read_back(&changes::folder(&image.name)?)?;
        let differs = |what: String| ApplyError::ReadBack {
            image: image.name.clone(),
            what,
        };
        for (path, content) in beside {
            let found = index.get(path.as_bytes()).map(|entry| &entry.kind);
            if !matches!(found, Some(Kind::File { content: found, .. }) if found == content) {
                return Err(differs(format!("`{path}`")));
            }
        }
        let inner = below(&index, &format!("{}.simg", image.name))
            .ok_or_else(|| differs("its image cannot be read".into()))?;
        let found = nd_rootfs::digests(&inner).tree;
        if found != digest {
            return Err(differs(format!("its tree is {found}, not {digest}")));
        }
        Ok(())
    }

    /// The menu as one revision, where it is another one.
    fn publish_menu(&mut self) -> Result<Option<MenuStep>, ApplyError> {
        let Some(menu) = self.menu else {
            return Ok(None);
        };
        let step = menu.step(&mut *self.publisher.view()?)?;
        if let Some(step) = &step {
            let change = ChangeSet {
                edits: vec![menu.edit()?],
                message: message("updated the menu")?,
            };
            self.publisher.publish(change, self.cancel)?;
            self.say(&format!("the menu: {}", step.reason));
        }
        Ok(step)
    }

    /// Everything that goes, as one revision.
    fn take_away(
        &mut self,
        steps: Vec<SyncStep>,
        options: &PlanOptions,
        report: &mut RunReport,
    ) -> Result<(), ApplyError> {
        let mut edits = Vec::new();
        for step in &steps {
            match options.stale {
                Stale::Remove => edits.push(Edit::Remove {
                    at: changes::folder(&step.image)?,
                }),
                Stale::Disable => {
                    let mut view = self.publisher.view()?;
                    edits.extend(changes::disable(&mut *view, &step.image)?);
                }
            }
        }
        if edits.is_empty() {
            return Ok(());
        }
        let what = match options.stale {
            Stale::Remove => "removed",
            Stale::Disable => "disabled",
        };
        let change = ChangeSet {
            edits,
            message: message(&format!(
                "{what} containers that the catalogue does not list"
            ))?,
        };
        self.publisher.publish(change, self.cancel)?;
        report.done.extend(steps);
        Ok(())
    }

    fn say(&self, text: &str) {
        self.reporter.event(Event::Note { text });
    }

    /// What is wrong with an image concerns it alone, unless the disk is full or the caller wants to
    /// stop.
    fn image_error(&self, image: &DesiredImage, error: Box<dyn Error + Send + Sync>) -> Stop {
        if let Err(stop) = self.cancel.check() {
            return Stop::Run(stop.into());
        }
        if is_full(&*error) {
            return Stop::Run(ApplyError::NoSpace {
                image: image.name.clone(),
                source: error,
            });
        }
        Stop::Image(error)
    }

    /// A tree that cannot be written concerns its image; anything else everybody.
    fn publish_error(&self, image: &DesiredImage, error: PublisherError) -> Stop {
        use nd_cvmfs::PublishError;
        match error {
            PublisherError::Unpack(_)
            | PublisherError::Index(_)
            | PublisherError::Cvmfs(PublishError::Contents(_) | PublishError::Marker(_)) => {
                self.image_error(image, error.into())
            }
            error => Stop::Run(error.into()),
        }
    }
}

/// Brings module files up to what is published now, as one revision; says how many changed.
pub fn reconcile_modules(
    publisher: &mut dyn Publisher,
    desired: &Desired,
    options: &PlanOptions,
    cancel: &Cancel,
) -> Result<usize, ApplyError> {
    let actual = Actual::read(&mut *publisher.view()?)?;
    let plan = SyncPlan::new(desired, &actual, options);
    if let Some(refusal) = plan.refused {
        return Err(ApplyError::Refused(refusal));
    }
    if plan.modules.is_empty() {
        return Ok(0);
    }
    let change = ChangeSet {
        edits: changes::modules(&plan.modules)?,
        message: message("reconciled module files to latest kept containers")?,
    };
    publisher.publish(change, cancel)?;
    Ok(plan.modules.len())
}

/// What a run has used up.
#[derive(Debug, Default)]
struct Used {
    containers: usize,
    bytes: u64,
}

fn message(text: &str) -> Result<Message, ApplyError> {
    Ok(text.parse()?)
}

/// The directory `dir` of a tree as a tree.
fn below(index: &Index, dir: &str) -> Option<Index> {
    let entries = index.subtree(dir.as_bytes()).get(1..)?;
    let entries = entries.iter().filter_map(|entry| {
        let mut entry = entry.clone();
        entry.path = TreePath::new(&entry.path.as_bytes()[dir.len() + 1..]).ok()?;
        Some(entry)
    });
    Index::from_entries(entries.collect()).ok()
}

fn is_full(error: &(dyn Error + 'static)) -> bool {
    nd_report::causes(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        })
}
