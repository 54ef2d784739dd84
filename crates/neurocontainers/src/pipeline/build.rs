//! Base, stage, plan, build.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use indexmap::IndexMap;
use nd_builder::{
    BaseInfo, BuildError, BuildPlan, Contexts, HostMount, PlanContext, PlannedBase, SharedDir,
    import_base,
};
use nd_records::{BuildSummary, TestReport};
use nd_sandbox::{Emulator, IdMode};

use super::{
    PipelineError, Prepared, Workshop, alone::Alone, bases::base, history, outputs, steps::steps,
    summary,
};
use crate::{
    base::{Base, BaseArchives, BaseError},
    check::TestWish,
    downloads::{Downloads, fetch_files},
    emulation::emulator,
    engines::EngineKind,
    lock::{self, LockProblem},
    machine::{BuildOnly, Mirrors, apt_lists},
    output::Compression,
    recipes::Places,
    stage::{CACHE_CONTEXT, CACHE_FOLDER, StagePlan, StageSources},
};

/// Where a base image is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChoice {
    /// The reference it stands for; the recipe's base image when absent, or every one for a way that
    /// fits all.
    pub reference: Option<String>,
    /// From where.
    pub from: BaseFrom,
}

/// Ways to a base image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BaseFrom {
    /// The cache or a registry that the user's configuration names; then the distribution's archive,
    /// where the recipe says so; then the registry of the name itself.
    #[default]
    Auto,
    /// A registry: one that the user's configuration names, then that of the name itself.
    Registry,
    /// The distribution's archive, as the recipe says.
    Bootstrap,
    /// An OCI layout or archive.
    Path(PathBuf),
}

/// How a container is built.
#[derive(Debug, Clone)]
pub struct BuildWish {
    /// Where base images are taken from; the later one counts.
    pub bases: Vec<BaseChoice>,
    /// Whether archives are asked for changes even if they were today.
    pub refresh: bool,
    /// How layers are compressed.
    pub layers: Compression,
    /// How the SIF is compressed.
    pub sif: Compression,
    /// What is tested.
    pub tests: TestWish,
    /// Who builds.
    pub engine: EngineKind,
}

/// A plan with all it needs.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: BuildPlan,
    /// The build folder.
    pub folder: PathBuf,
    /// The recipe's base.
    pub base: Base,
    /// Where the packages of the recipe's base come from.
    pub archives: BaseArchives,
    /// Ids of the build.
    pub ids: IdMode,
    /// Runs its programs, if they are of another architecture than the machine's.
    pub emulator: Option<Emulator>,
    /// What was downloaded for it.
    pub downloads: Downloads,
    pub(crate) images: Vec<(String, nd_oci::Image)>,
    pub(super) contexts: Contexts,
    pub(crate) mirrors: Mirrors,
    pub(crate) build_only: BuildOnly,
    staged_from_cache: bool,
    _alone: Alone,
}

/// A built and tested container.
#[derive(Debug)]
pub struct Finished {
    /// What was made and how.
    pub summary: BuildSummary,
    /// Results of the tests.
    pub reports: Vec<TestReport>,
}

/// Prepares bases and build folder, and plans the build.
pub fn plan(
    workshop: &Workshop<'_>,
    places: &Places,
    prepared: &Prepared,
    wish: &BuildWish,
) -> Result<Planned, PipelineError> {
    let compiled = &prepared.compiled;
    let mut promised = BTreeMap::new();
    if let Some(lock) = &prepared.lock {
        let changes = lock::check_plan(prepared, lock);
        if !changes.is_empty() {
            let path = lock::shown(&prepared.folder);
            return Err(LockProblem::Drift { path, changes }.into());
        }
        promised.extend(lock.urls.iter().map(|one| (one.url.clone(), one.sha256)));
    }
    let architecture = compiled.identity.architecture;
    let emulator = emulator(architecture, &**workshop.programs)?;
    let mut bases: IndexMap<String, BaseInfo> = IndexMap::new();
    let mut images = Vec::new();
    let mut main = None;
    for reference in references(compiled) {
        let base = base(workshop, prepared, wish, &reference, emulator.as_ref())?;
        let info =
            import_base(workshop.store, workshop.store, &base.image).map_err(build_failed)?;
        bases.insert(reference.clone(), info);
        images.push((reference.clone(), base.image.clone()));
        if main.is_none() || reference == compiled.base_image {
            main = Some(base);
        }
    }
    let base = main.ok_or_else(|| BaseError::NoBase {
        reference: compiled.base_image.clone(),
    })?;
    let folder = prepared.build_folder(places);
    let alone = Alone::wait(&folder, workshop.reporter, workshop.cancel)?;
    let downloads = fetch_files(workshop, prepared, &promised, wish.refresh)?;
    let sources = StageSources {
        recipe: &prepared.folder.path,
        downloads: &downloads,
        dockerfile: &prepared.dockerfile,
    };
    let staged = StagePlan::new(compiled, &sources)?.apply(&folder)?;
    let mut contexts = Contexts::new(&folder);
    let cache = folder.join(CACHE_FOLDER);
    if cache.is_dir() {
        contexts = contexts.with(CACHE_CONTEXT, cache);
    }
    for (key, path) in &prepared.locals {
        if !path.is_dir() {
            let (key, path) = (key.clone(), path.clone());
            return Err(PipelineError::Local { key, path });
        }
        contexts = contexts.with(key, path);
    }
    let ids = IdMode::choose(workshop.environment, &**workshop.programs);
    let context = PlanContext {
        platform: architecture,
        ids: ids.name(),
        epoch: prepared.epoch(),
        bases: &bases,
        build_args: &IndexMap::new(),
    };
    let plan = BuildPlan::new(&compiled.definition, &context, &contexts)?;
    let archives = base.archives(workshop.store, &**workshop.programs)?;
    let mirrors = Mirrors::find(&archives.public, workshop.machine.sources());
    let build_only = workshop.machine.build_only(&mirrors, &archives.lists);
    Ok(Planned {
        plan,
        folder,
        base,
        archives,
        ids,
        emulator,
        downloads,
        images,
        contexts,
        mirrors,
        build_only,
        staged_from_cache: staged.cached,
        _alone: alone,
    })
}

/// Builds, writes and tests.
pub fn build(
    workshop: &Workshop<'_>,
    places: &Places,
    prepared: &Prepared,
    planned: &Planned,
    wish: &BuildWish,
) -> Result<Finished, PipelineError> {
    let started = Instant::now();
    let built = steps(workshop, prepared, planned, wish)?;
    let outputs = outputs::write(workshop, places, prepared, planned, &built, wish)?;
    history::remember(workshop, prepared, planned, &built, &outputs, wish)?;
    let reports =
        crate::check::run_tests(workshop, prepared, planned, &built, &outputs, &wish.tests)?;
    let finished = summary::write(prepared, planned, &built, &outputs, reports, started)?;
    Ok(finished)
}

/// External images that a definition starts from or copies from, in order.
fn references(compiled: &neurocontainers_recipe::Compiled) -> Vec<String> {
    use nd_instructions::Base as StageBase;
    let mut out: Vec<String> = Vec::new();
    for stage in &compiled.definition.stages {
        if let StageBase::Image(reference) = &stage.base
            && !out.contains(reference)
        {
            out.push(reference.clone());
        }
    }
    out
}

pub(super) fn build_failed(source: BuildError) -> PipelineError {
    PipelineError::Build {
        text: source.to_string(),
        source: Box::new(source),
    }
}

/// Settings of the machine as files that steps see; they go when the build ends.
pub(crate) struct HostFiles {
    _folder: tempfile::TempDir,
    pub(crate) mounts: Vec<HostMount>,
    pub(super) shared: Vec<SharedDir>,
}

impl HostFiles {
    pub(crate) fn write(temporary: &Path, build_only: &BuildOnly) -> Result<Self, PipelineError> {
        let fail = || PipelineError::io(temporary);
        let folder = tempfile::tempdir_in(temporary).map_err(fail())?;
        let mut number = 0;
        let mut mount = |target: &str, content: &[u8]| {
            let source = folder.path().join(number.to_string());
            number += 1;
            fs_err::write(&source, content).map_err(fail())?;
            let mode = std::fs::Permissions::from_mode(0o644);
            fs_err::set_permissions(&source, mode).map_err(fail())?;
            Ok(HostMount {
                source,
                target: target.to_owned(),
            })
        };
        let files = build_only.files.iter();
        let mounts = files.map(|(target, content)| mount(target, content));
        let mounts = mounts.collect::<Result<_, PipelineError>>()?;
        let mut shared = Vec::new();
        if build_only.share_lists {
            let (target, text) = apt_lists::SETTING;
            shared.push(SharedDir {
                target: apt_lists::DIRECTORY.into(),
                mounts: vec![mount(target, text.as_bytes())?],
                wanted: apt_lists::are_thrown_away,
            });
        }
        Ok(Self {
            _folder: folder,
            mounts,
            shared,
        })
    }
}

impl Planned {
    /// Whether nothing had to be prepared.
    pub(super) fn prepared_from_cache(&self) -> bool {
        self.base.cached && self.staged_from_cache
    }

    /// The recipe's base as the plan has it.
    pub fn base_layers(&self) -> usize {
        match self.plan.stages.last().map(|stage| &stage.base) {
            Some(PlannedBase::Image { layers, .. }) => layers.len(),
            _ => 0,
        }
    }
}
