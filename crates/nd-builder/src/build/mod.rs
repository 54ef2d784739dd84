//! Building: the steps of a plan that the store does not hold yet, one after the other.

mod budget;
mod chain;
mod error;
mod record;
mod shared;
mod stage_inputs;
mod trees;
mod upkeep;
mod work;

use std::{cell::Cell, io::Seek as _, os::fd::OwnedFd, path::PathBuf, time::Instant};

use nd_oci::{BlobSource, Compression, Image};
use nd_report::{Cancel, Event, Reporter, StepId, StepOutcome};
use nd_rootfs::{Kind, LayerEntry};
use nd_sandbox::{Emulator, IdMode, Limits};
use nd_store::Store;

use crate::{
    engine::message::{Done, Ended, Job, RunJob, fd},
    plan::{
        Action, BaseInfo, BuildPlan, Contexts, CopyInput, CopySpec, ImageLayer, ImageState,
        PlannedBase, RunSpec, Step, StepKey,
    },
    secret::{Secret, Veil},
};
pub use budget::{Devices, LayerBudget};
pub(crate) use chain::Chain;
pub use error::{BuildError, EngineFailure, StepExit, StepName};
pub(crate) use record::{Slot, StepRecord};
use shared::Shared;
pub use shared::SharedDir;
use stage_inputs::{Mounts, pack};
use trees::names;
pub use trees::{LayerTree, layer_trees};
pub use upkeep::{prune, prune_where};
use work::{Desk, Ending, Heard, Order};

/// A file or directory of the build machine that steps see read-only and that leaves no trace in
/// the image: package sources, certificates, settings. No key knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostMount {
    /// Where it is on the machine.
    pub source: PathBuf,
    /// Absolute path in the image.
    pub target: String,
}

/// Everything about a build that does not change its result.
#[derive(Clone)]
pub struct BuildOptions<'a> {
    /// Ids of steps; must have the name that the plan was made for.
    pub ids: IdMode,
    /// Who runs programs of another architecture than this machine's, if the plan is for one and the
    /// machine does not do it by itself.
    pub emulator: Option<&'a Emulator>,
    /// How new layers are compressed.
    pub compression: Compression,
    /// Where inputs lie; the same that made the plan.
    pub contexts: &'a Contexts,
    /// What of the machine steps see.
    pub host_mounts: Vec<HostMount>,
    /// What scripts share while the build goes on.
    pub shared: &'a [SharedDir],
    /// Variables of the machine (proxies); a step's own of the same name win.
    pub host_env: Vec<(String, String)>,
    /// Gives no step a network, whatever it asks for.
    pub offline: bool,
    /// How much one step may take.
    pub limits: Limits,
    /// What one layer of a base may hold.
    pub budget: LayerBudget,
    /// Values for steps whose script names them.
    pub secrets: &'a [Secret],
    /// Who is asked to look in when a script fails.
    pub look_in: Option<&'a dyn LookIn>,
    /// Hears what happens.
    pub reporter: &'a dyn Reporter,
    /// The caller's wish to stop.
    pub cancel: &'a Cancel,
}

/// Looks at what a failed script has left.
pub trait LookIn: Sync {
    /// Called once for a script that failed, while its changes are still there; they go when this
    /// returns. `shell` starts a shell over them, with what the script had, on the far end of a
    /// pseudo-terminal of that kind (`TERM`), and returns at once: when the shell has ended, nobody
    /// holds that end any more.
    fn look(
        &self,
        failed: &StepName,
        exit: StepExit,
        shell: &mut dyn FnMut(OwnedFd, &str) -> Result<(), BuildError>,
    );
}

impl std::fmt::Debug for BuildOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildOptions")
            .field("ids", &self.ids)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

/// A built image: its blobs and indexes lie in the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// All layers, the lowest first, those of the base among them.
    pub layers: Vec<ImageLayer>,
    /// The configuration.
    pub state: ImageState,
    /// The steps of the last stage, in order.
    pub steps: Vec<StepResult>,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepResult {
    /// Its key.
    pub key: StepKey,
    /// What it does and where it was written.
    pub name: StepName,
    /// Whether it was taken from the store.
    pub cached: bool,
    /// How long it took when it was done.
    pub seconds: f64,
    /// Its layer; none if it changed nothing.
    pub layer: Option<ImageLayer>,
    /// Entries of the layer.
    pub entries: u64,
    /// Bytes of the uncompressed layer.
    pub uncompressed: u64,
}

/// Brings an image on disk into the store as a base; layers that are there already are not read.
pub fn import_base(
    store: &Store,
    blobs: &dyn BlobSource,
    image: &Image,
) -> Result<BaseInfo, BuildError> {
    let mut layers = Vec::new();
    for ((blob, diff_id), descriptor) in image
        .layers
        .iter()
        .zip(&image.diff_ids)
        .zip(image.manifest.layers())
    {
        if !store.has_blob(&blob.digest) {
            store.put_blob(blobs.open(&blob.digest)?, Some(&blob.digest))?;
        }
        layers.push(ImageLayer {
            diff_id: *diff_id,
            digest: blob.digest,
            size: descriptor.size(),
            compression: blob.compression,
        });
    }
    Ok(BaseInfo {
        layers,
        state: ImageState::of(&image.config),
    })
}

/// Forgets the results of all steps of a plan, so that the next build does them anew: whoever knows
/// more than their keys do (the state of an archive) may find them to be others than wanted.
pub fn forget(plan: &BuildPlan, store: &Store, compression: Compression) -> Result<(), BuildError> {
    for step in plan.stages.iter().flat_map(|stage| &stage.steps) {
        StepRecord::remove(store, step.key, compression)?;
    }
    Ok(())
}

/// Builds what the plan says. Steps whose results the store holds are taken from there; if all are,
/// no process is started.
///
/// A build that is killed leaves nothing under a final name, and the next one goes on after the
/// last finished step. Two builds of the same step share its work.
pub fn build(
    plan: &BuildPlan,
    store: &Store,
    options: &BuildOptions<'_>,
) -> Result<Built, BuildError> {
    if plan.ids != options.ids.name() {
        return Err(BuildError::IdMode {
            planned: plan.ids.clone(),
            chosen: options.ids.name(),
        });
    }
    let mut builder = Builder {
        plan,
        options,
        desk: Desk {
            emulator: options.emulator,
            budget: options.budget,
            reserve: options.limits.reserve,
            ..Desk::new(store, options.ids, options.cancel)
        },
        stages: vec![None; plan.stages.len()],
        next: 0,
        tidied: false,
        kept_said: Cell::new(false),
        shared: Shared::new(options.shared),
    };
    let last = plan.stages.len().saturating_sub(1);
    let done = builder.stage(last);
    builder.shared.empty(&builder.desk);
    done?;
    // Also when nothing was built: what a killed build left may be all that is left to do, and its
    // processes may have been dying still when this one began.
    builder.desk.tidy();
    let state = plan.stages.last().map(|stage| stage.result.clone());
    let (chain, steps) = builder.stages[last].take().unwrap_or_default();
    Ok(Built {
        layers: chain.layers,
        state: state.unwrap_or_default(),
        steps,
    })
}

/// How a script ended that was not stopped by us.
fn exit_of(ended: Ended) -> Option<StepExit> {
    match ended {
        Ended::Code(code) => Some(StepExit::Code(code)),
        Ended::Signal(signal) => Some(StepExit::Signal(signal)),
        Ended::TimedOut => Some(StepExit::TimedOut),
        Ended::OutOfMemory => Some(StepExit::OutOfMemory),
        Ended::DiskFull => Some(StepExit::DiskFull),
        Ended::Cancelled => None,
    }
}

struct Builder<'a> {
    plan: &'a BuildPlan,
    options: &'a BuildOptions<'a>,
    desk: Desk<'a>,
    stages: Vec<Option<(Chain, Vec<StepResult>)>>,
    next: u32,
    /// Whether this build has looked for what dead ones left.
    tidied: bool,
    /// Whether it was said what keeps steps to their limits.
    kept_said: Cell<bool>,
    shared: Shared<'a>,
}

impl Builder<'_> {
    /// Builds a stage, and those it needs, once. Stages need earlier ones only.
    fn stage(&mut self, number: usize) -> Result<Chain, BuildError> {
        if let Some((chain, _)) = &self.stages[number] {
            return Ok(chain.clone());
        }
        let plan = self.plan;
        let stage = &plan.stages[number];
        let mut chain = match &stage.base {
            PlannedBase::Image { layers, .. } => Chain::of(layers, self.options.ids),
            PlannedBase::Stage { stage } => self.stage(*stage)?,
            PlannedBase::Scratch => Chain::default(),
        };
        if self.options.budget.devices == Devices::Refused
            && matches!(stage.base, PlannedBase::Image { .. })
        {
            self.refuse_devices(&chain)?;
        }
        let mut results = Vec::with_capacity(stage.steps.len());
        let mut parent = None;
        for (place, step) in stage.steps.iter().enumerate() {
            let result = self.step(step, &chain)?;
            if !result.cached {
                let slot = Slot {
                    key: step.key,
                    parent,
                    action: step.action.clone(),
                };
                slot.put(self.desk.store, &stage.steps[..=place])?;
            }
            if let Some(layer) = result.layer {
                chain.push(layer, self.options.ids);
            }
            parent = Some(step.key);
            results.push(result);
        }
        self.stages[number] = Some((chain.clone(), results));
        Ok(chain)
    }

    /// Refuses layers with device nodes, also of a base whose steps are all kept.
    fn refuse_devices(&self, chain: &Chain) -> Result<(), BuildError> {
        let reporter = self.options.reporter;
        // Whoever unpacks a layer keeps its index.
        let _trees = self.desk.trees(chain, &mut |text| {
            reporter.event(Event::Note { text });
        })?;
        for layer in &chain.layers {
            let layer_digest = layer.digest;
            let index = self.desk.store.layer_index(&layer.diff_id)?;
            let index = index.ok_or(BuildError::NoBlob {
                layer: layer_digest,
            })?;
            let mut devices = index.entries.iter().filter_map(|entry| match entry {
                LayerEntry::Entry(entry) if matches!(entry.kind, Kind::Device { .. }) => {
                    Some(&entry.path)
                }
                _ => None,
            });
            if let Some(first) = devices.next() {
                return Err(BuildError::Devices {
                    layer: layer_digest,
                    first: first.clone(),
                    count: 1 + devices.count(),
                });
            }
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, chain: &Chain) -> Result<StepResult, BuildError> {
        self.desk.check()?;
        let id = StepId(self.next);
        self.next += 1;
        let name = StepName {
            title: step.title.clone(),
            origin: step.origin.clone(),
        };
        let reporter = self.options.reporter;
        reporter.event(Event::Started {
            id,
            title: &name.to_string(),
            bytes: None,
        });
        let started = Instant::now();
        let done = self.record_of(step, &name, chain, id);
        let outcome = match &done {
            Ok((_, true)) => StepOutcome::Cached,
            Ok((_, false)) => StepOutcome::Done,
            Err(_) => StepOutcome::Failed,
        };
        reporter.event(Event::Finished {
            id,
            outcome,
            took: started.elapsed(),
        });
        let (record, cached) = done?;
        Ok(record.result(step.key, name, cached))
    }

    /// The record of a step, found or made; whether it was found.
    fn record_of(
        &mut self,
        step: &Step,
        name: &StepName,
        chain: &Chain,
        id: StepId,
    ) -> Result<(StepRecord, bool), BuildError> {
        let compression = self.options.compression;
        let tip = chain.tip();
        let find = |store| {
            let record = StepRecord::find(store, step.key, compression)?;
            Ok::<_, BuildError>(record.filter(|record| record.on == tip))
        };
        if let Some(record) = find(self.desk.store)? {
            return Ok((record, true));
        }
        let reporter = self.options.reporter;
        let mut note = |text: &str| reporter.event(Event::Note { text });
        let _lock = self.desk.lock(step.key.digest(), &mut note)?;
        if let Some(record) = find(self.desk.store)? {
            return Ok((record, true));
        }
        if !self.tidied {
            self.tidied = true;
            self.desk.tidy();
        }
        let started = Instant::now();
        let mut record = self.make(step, name, chain, id)?;
        record.seconds = started.elapsed().as_secs_f64();
        record.put(self.desk.store, step.key, compression)?;
        Ok((record, false))
    }

    fn make(
        &mut self,
        step: &Step,
        name: &StepName,
        chain: &Chain,
        id: StepId,
    ) -> Result<StepRecord, BuildError> {
        let reporter = self.options.reporter;
        let mut note = |text: &str| reporter.event(Event::Note { text });
        let (job, more, _others) = match &step.action {
            Action::Run(spec) => {
                let (job, more) = self.run_job(spec, name)?;
                (job, more, Vec::new())
            }
            Action::Copy(spec) => self.copy_job(spec, name, &mut note)?,
            Action::Directory { path } => (
                Job::Directory { path: path.clone() },
                Vec::new(),
                Vec::new(),
            ),
        };
        let leases = self.desk.trees(chain, &mut note)?;
        let store = self.desk.store;
        let blob = store.new_blob_file()?;
        let tree = self.desk.new_tree()?;
        let order = Order {
            lowers: names(&leases),
            limits: self.options.limits,
            epoch: self.plan.epoch,
            compression: self.options.compression,
            job,
            blob: blob
                .as_file()
                .try_clone()
                .map_err(BuildError::io("copy a descriptor"))?,
            more,
        };
        let veil = Veil::new(self.secrets_of(step));
        let ending = self
            .desk
            .run(&tree, order, &veil, &mut |heard| match heard {
                Heard::Line(line) => reporter.event(Event::Output { id, line }),
                Heard::Note(text) => reporter.event(Event::Note { text }),
                // The same for every step.
                Heard::Kept(text) => {
                    if !self.kept_said.replace(true) {
                        reporter.event(Event::Note { text });
                    }
                }
                Heard::Failing(ended, shell) => {
                    if let (Some(look_in), Some(exit)) = (self.options.look_in, exit_of(ended)) {
                        look_in.look(name, exit, shell);
                    }
                }
            })?;
        if let Ending::Done(Done { layer: Some(_) }, _) = &ending
            && !veil.is_empty()
        {
            self.refuse_secrets(name, &veil, blob.as_file())?;
        }
        let mut record = StepRecord::new(chain.tip(), 0.0);
        match ending {
            Ending::Done(done, index) => {
                // Blob, index, tree, and the record, which says that all are there, last.
                if let (Some(layer), Some(index)) = (done.layer, index) {
                    store.keep_blob(blob, &layer.digest)?;
                    store.put_layer(&layer.digest, &layer.diff_id, &index)?;
                    drop(tree.keep(&chain.key_of(&layer.diff_id, self.options.ids))?);
                    record.entries = layer.entries;
                    record.uncompressed = layer.uncompressed;
                    record.layer = Some(ImageLayer {
                        diff_id: layer.diff_id,
                        digest: layer.digest,
                        size: layer.size,
                        compression: self.options.compression,
                    });
                }
                Ok(record)
            }
            Ending::Exit(ended, tail) => Err(BuildError::Script {
                step: name.clone(),
                exit: exit_of(ended).ok_or(BuildError::Cancelled)?,
                tail,
            }),
            Ending::Failed(source) => Err(BuildError::Step {
                step: name.clone(),
                source,
            }),
        }
    }

    /// The secrets that a step names.
    fn secrets_of(&self, step: &Step) -> impl Iterator<Item = &Secret> {
        self.options
            .secrets
            .iter()
            .filter(move |secret| secret.is_for(step))
    }

    /// Refuses a layer that holds a secret.
    fn refuse_secrets(
        &self,
        name: &StepName,
        veil: &Veil,
        blob: &std::fs::File,
    ) -> Result<(), BuildError> {
        let fail = || BuildError::io("look for secrets in a layer");
        let mut blob = blob.try_clone().map_err(fail())?;
        blob.rewind().map_err(fail())?;
        let layer = self.options.compression.decoder(blob).map_err(fail())?;
        if veil.is_seen_in(layer).map_err(fail())? {
            let step = name.clone();
            return Err(BuildError::SecretKept { step });
        }
        Ok(())
    }

    fn run_job(
        &self,
        spec: &RunSpec,
        name: &StepName,
    ) -> Result<(Job, Vec<std::os::fd::OwnedFd>), BuildError> {
        let options = self.options;
        let mut mounts = Mounts::new(fd::MORE, options.ids.owner().is_some());
        let shared = self.shared.of_script(&spec.script, &self.desk)?;
        let settings = shared.iter().flat_map(|(dir, _)| &dir.mounts);
        for mount in options.host_mounts.iter().chain(settings) {
            mounts
                .host(&mount.source, &mount.target)
                .map_err(|source| BuildError::HostMount {
                    path: mount.source.display().to_string(),
                    source,
                })?;
        }
        for (dir, open) in shared {
            mounts.shared(open, &dir.target);
        }
        for mount in &spec.mounts {
            mounts
                .context(
                    options.contexts,
                    &mount.context,
                    &mount.source,
                    &mount.target,
                )
                .map_err(|source| BuildError::Input {
                    step: name.clone(),
                    source: Box::new(source),
                })?;
        }
        let job = RunJob {
            spec: spec.clone(),
            host_env: options.host_env.clone(),
            mounts: mounts.list,
            limits: options.limits,
            offline: options.offline,
            secrets: options
                .secrets
                .iter()
                .filter(|secret| secret.is_named_in(&spec.script))
                .cloned()
                .collect(),
            look_in: options.look_in.is_some(),
        };
        Ok((Job::Run(Box::new(job)), mounts.descriptors))
    }

    fn copy_job(
        &mut self,
        spec: &CopySpec,
        name: &StepName,
        note: &mut dyn FnMut(&str),
    ) -> Result<(Job, Vec<std::os::fd::OwnedFd>, Vec<LayerTree>), BuildError> {
        let epoch = self.plan.epoch;
        let tar = pack(&spec.sources, self.options.contexts, epoch, self.desk.store)?;
        let tar = tar.map_err(|source| BuildError::Input {
            step: name.clone(),
            source: Box::new(source),
        })?;
        let mut stages: Vec<(usize, Vec<String>)> = Vec::new();
        let mut leases = Vec::new();
        for source in &spec.sources {
            if let CopyInput::Stage { stage, .. } = source
                && !stages.iter().any(|(number, _)| number == stage)
            {
                let chain = self.stage(*stage)?;
                let trees = self.desk.trees(&chain, note)?;
                stages.push((*stage, names(&trees)));
                leases.extend(trees);
            }
        }
        let job = Job::Copy {
            spec: spec.clone(),
            tar: fd::MORE,
            stages,
        };
        Ok((job, vec![tar.into()], leases))
    }
}
