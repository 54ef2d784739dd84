//! Building by a program of the machine.

use std::{collections::BTreeMap, path::Path, time::Instant};

use nd_builder::{Built, PlannedBase, StepKey, StepName, StepResult, import_base};
use nd_host::Invocation;
use nd_instructions::Op;
use nd_oci::{Image, Layout};
use nd_report::{Event, Reporter, StepId, StepOutcome};
use neurodocker::{ApptainerOptions, render_apptainer};

use super::{Base, Engine, EngineError, EngineKind, Inputs, Job, commands, stubs::without_stubs};
use crate::{
    base::import,
    machine::Redacted,
    output::in_oci_types,
    pipeline::{HostFiles, PipelineError},
    stage::{CACHE_CONTEXT, CACHE_FOLDER},
};

/// Number of the engine as a unit of work, beside steps and outputs.
const WORK: StepId = StepId(u32::MAX - 3);

/// An engine of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Outside(pub EngineKind);

impl Engine for Outside {
    fn build(&self, job: &Job<'_>) -> Result<Built, PipelineError> {
        let (kind, workshop) = (self.0, job.workshop);
        if !workshop.secrets.is_empty() {
            return Err(EngineError::Secrets.into());
        }
        let program = kind
            .programs()
            .iter()
            .find_map(|name| workshop.programs.find(name));
        let program = program.ok_or(EngineError::Missing {
            engine: kind.name(),
            program: kind.programs().first().copied().unwrap_or_default(),
        })?;
        let temporary = workshop.store.temporary();
        let work = tempfile::tempdir_in(temporary).map_err(PipelineError::io(temporary))?;
        let files = HostFiles::write(temporary, &job.planned.build_only)?;
        let inputs = self.inputs(job, &program, work.path(), &files)?;
        let started = Instant::now();
        self.run(job, &program, &inputs)?;
        let image = import(
            &inputs.out,
            &inputs.tag,
            inputs.architecture,
            workshop.store,
        )?;
        let image = in_oci_types(workshop.store, image.image)?;
        let mut built = built(job, &image, started)?;
        let stage = job.planned.plan.stages.last();
        let base = match stage.map(|stage| &stage.base) {
            Some(PlannedBase::Image { layers, .. }) => layers.clone(),
            _ => Vec::new(),
        };
        let mounts: Vec<String> = inputs.mounts.into_iter().map(|(_, to)| to).collect();
        let store = workshop.store;
        if let Some(layer) = without_stubs(store, &base, &built.layers, &mounts, job.wish.layers)? {
            built.layers.push(layer);
            let step = built.steps.last().cloned();
            built.steps.extend(step.map(|step| StepResult {
                name: StepName {
                    title: "remove what the engine left where it mounts".to_owned(),
                    origin: None,
                },
                seconds: 0.0,
                layer: Some(layer),
                ..step
            }));
        }
        Ok(built)
    }
}

impl Outside {
    /// Writes bases, Dockerfile and definition into `work`.
    fn inputs(
        self,
        job: &Job<'_>,
        program: &Path,
        work: &Path,
        files: &HostFiles,
    ) -> Result<Inputs, PipelineError> {
        let (workshop, planned) = (job.workshop, job.planned);
        let compiled = &job.prepared.compiled;
        let mut bases = Vec::new();
        for (number, (reference, image)) in planned.images.iter().enumerate() {
            let image = with_history(workshop, in_oci_types(workshop.store, image.clone())?)?;
            let layout = work.join(format!("base-{number}"));
            let archive = work.join(format!("base-{number}.tar"));
            let name = format!("localhost/nd-base:{}", &image.digest.hex()[..16]);
            Layout::create(&layout)
                .and_then(|new| new.put_image(workshop.store, &image.digest, Some("base")))
                .map_err(crate::output::OutputError::from)?;
            if matches!(self.0, EngineKind::Buildah | EngineKind::Docker) {
                let file = fs_err::File::create_new(&archive);
                let file = file.map_err(PipelineError::io(&archive))?;
                let tags = [name.clone()];
                image
                    .write_docker_archive(workshop.store, &tags, std::io::BufWriter::new(file))
                    .map_err(crate::output::OutputError::from)?;
            }
            bases.push(Base {
                reference: reference.clone(),
                name,
                layout,
                archive,
                digest: image.digest,
            });
        }
        let write = |name: &str, text: &str| {
            let path = work.join(name);
            fs_err::write(&path, text).map_err(PipelineError::io(&path))?;
            Ok::<_, PipelineError>(path)
        };
        let named = |base: &Base| match self.0 {
            EngineKind::Buildah | EngineKind::Docker => base.name.clone(),
            _ => base.reference.clone(),
        };
        let dockerfile = rebased(&job.prepared.dockerfile, &bases, named);
        let dockerfile = write("Dockerfile", &dockerfile)?;
        let mut contexts = Vec::new();
        let cache = planned.folder.join(CACHE_FOLDER);
        if cache.is_dir() {
            contexts.push((CACHE_CONTEXT.to_owned(), cache));
        }
        contexts.extend(job.prepared.locals.iter().cloned());
        let definition = if self.0 == EngineKind::Apptainer {
            let main = bases
                .iter()
                .find(|base| base.reference == compiled.base_image);
            let options = ApptainerOptions {
                base: main.map(|base| ("oci".to_owned(), base.layout.display().to_string())),
                contexts: contexts
                    .iter()
                    .map(|(key, path)| (key.clone(), path.display().to_string()))
                    .collect::<BTreeMap<_, _>>(),
            };
            render_apptainer(&compiled.definition, &options)?
        } else {
            job.prepared.definition.clone()
        };
        let definition = write("definition", &definition)?;
        let buildx = self.0 == EngineKind::Docker
            && workshop
                .programs
                .check(&Invocation::new(program).args(["buildx", "version"]))
                .is_ok();
        if self.0 == EngineKind::Docker && !buildx && mounts_files(job) {
            return Err(EngineError::NeedsBuildkit.into());
        }
        let storage = self.storage(job, work)?;
        Ok(Inputs {
            context: planned.folder.clone(),
            dockerfile,
            definition,
            bases,
            contexts,
            mounts: self.mounts(job, files),
            architecture: compiled.identity.architecture,
            tag: format!(
                "localhost/nd/{}:{}",
                image_word(&compiled.identity.name),
                key(job)
            ),
            out: work.join("out"),
            epoch: job.prepared.epoch(),
            offline: workshop.offline,
            buildx,
            storage,
            is_root: rustix::process::geteuid().is_root(),
        })
    }

    /// Files of the machine that steps see. Apptainer mounts over what is in an image already, and
    /// these are in none.
    fn mounts(self, job: &Job<'_>, files: &HostFiles) -> Vec<(std::path::PathBuf, String)> {
        if self.0 == EngineKind::Apptainer {
            for mount in &files.mounts {
                let text = format!(
                    "`{}` is a setting of this machine that apptainer cannot show to steps",
                    mount.target
                );
                job.workshop.reporter.event(Event::Note { text: &text });
            }
            return Vec::new();
        }
        let mounts = files.mounts.iter();
        mounts
            .map(|mount| (mount.source.clone(), mount.target.clone()))
            .collect()
    }

    /// Unmounts what buildah mounts for itself and leaves for its next run.
    fn tidy(job: &Job<'_>) {
        let Ok(cache) = job.workshop.environment.cache_dir() else {
            return;
        };
        let at = cache.join("engines/buildah/root/overlay");
        let mounts = fs_err::read_to_string("/proc/self/mounts").unwrap_or_default();
        let shown = at.display().to_string();
        let mounted = mounts
            .lines()
            .any(|line| line.split(' ').nth(1) == Some(&shown));
        if mounted && let Some(umount) = job.workshop.programs.find("umount") {
            // It would be there for the next run, too.
            let _ = job
                .workshop
                .programs
                .check(&Invocation::new(umount).arg(at));
        }
    }

    /// Buildah keeps images and layers in a folder of ours, so that nobody's images change.
    fn storage(self, job: &Job<'_>, work: &Path) -> Result<std::path::PathBuf, PipelineError> {
        let path = work.join("storage.conf");
        if self.0 == EngineKind::Buildah {
            let cache = job.workshop.environment.cache_dir();
            let cache = cache.map_err(|error| EngineError::Failed(error.to_string()))?;
            let folder = cache.join("engines/buildah");
            fs_err::create_dir_all(&folder).map_err(PipelineError::io(&folder))?;
            // A string of TOML, and of JSON at once.
            let at = |name: &str| serde_json::to_string(&folder.join(name));
            let text = format!(
                "[storage]\ndriver = \"overlay\"\ngraphroot = {}\nrunroot = {}\n",
                at("root")?,
                at("run")?
            );
            fs_err::write(&path, text).map_err(PipelineError::io(&path))?;
        }
        Ok(path)
    }

    fn run(self, job: &Job<'_>, program: &Path, inputs: &Inputs) -> Result<(), PipelineError> {
        let workshop = job.workshop;
        let redactor = workshop.machine.redactor(&job.planned.mirrors);
        let reporter = Redacted {
            to: workshop.reporter,
            redactor: redactor.clone(),
        };
        let started = Instant::now();
        let title = format!("build by {}", self.0.name());
        reporter.event(Event::Started {
            id: WORK,
            title: &title,
            bytes: None,
        });
        let mut result = Ok(());
        for invocation in commands(self.0, program, inputs) {
            let mut invocation = invocation;
            for (name, value) in &job.planned.build_only.env {
                invocation = invocation.env(name, value);
            }
            let ended = workshop.programs.run(
                &invocation,
                &mut |_, line| reporter.event(Event::Output { id: WORK, line }),
                workshop.cancel,
            );
            if let Err(error) = ended.and_then(nd_host::Finished::success) {
                let text = redactor.line(error.to_string().as_bytes());
                let text = String::from_utf8_lossy(&text).into_owned();
                result = Err(EngineError::Failed(text).into());
                break;
            }
        }
        if self.0 == EngineKind::Buildah {
            Self::tidy(job);
        }
        reporter.event(Event::Finished {
            id: WORK,
            outcome: match result {
                Ok(()) => StepOutcome::Done,
                Err(_) => StepOutcome::Failed,
            },
            took: started.elapsed(),
        });
        result
    }
}

/// The image with a line of history for each layer, which buildah insists on.
fn with_history(
    workshop: &crate::pipeline::Workshop<'_>,
    image: Image,
) -> Result<Image, PipelineError> {
    let mut config = serde_json::to_value(&image.config)?;
    let lines = config["history"].as_array().cloned().unwrap_or_default();
    let empty = |line: &serde_json::Value| line["empty_layer"].as_bool().unwrap_or(false);
    if lines.iter().filter(|line| !empty(line)).count() == image.layers.len() {
        return Ok(image);
    }
    config["history"] = vec![serde_json::json!({"created_by": "base"}); image.layers.len()].into();
    let config = serde_json::to_vec(&config)?;
    let store = workshop.store;
    let (digest, size) = store.put_blob(&config[..], None)?;
    let mut manifest = serde_json::to_value(&image.manifest)?;
    manifest["config"]["digest"] = digest.oci().into();
    manifest["config"]["size"] = size.into();
    let (digest, _) = store.put_blob(&serde_json::to_vec(&manifest)?[..], None)?;
    Ok(Image::load(store, digest).map_err(crate::output::OutputError::from)?)
}

/// The Dockerfile with other names for bases. It is our own text: bases stand in lines of their own.
fn rebased(dockerfile: &str, bases: &[Base], named: impl Fn(&Base) -> String) -> String {
    let mut out = String::with_capacity(dockerfile.len());
    for line in dockerfile.split_inclusive('\n') {
        let base = line.strip_prefix("FROM ").and_then(|rest| {
            let word = rest.split_whitespace().next()?;
            let base = bases.iter().find(|base| base.reference == word)?;
            Some((base, &rest[word.len()..]))
        });
        match base {
            Some((base, rest)) => out.extend(["FROM ", &named(base), rest]),
            None => out.push_str(line),
        }
    }
    out
}

fn mounts_files(job: &Job<'_>) -> bool {
    let stages = &job.prepared.compiled.definition.stages;
    let instructions = stages.iter().flat_map(|stage| &stage.body);
    instructions
        .into_iter()
        .any(|one| matches!(&one.op, Op::Run { mounts, .. } if !mounts.is_empty()))
}

/// A word of a name of an image.
fn image_word(name: &str) -> String {
    let word = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars().map(word).collect()
}

/// Builds of other folders have other names.
fn key(job: &Job<'_>) -> String {
    let path = job.planned.folder.as_os_str().as_encoded_bytes();
    let digest = nd_names::Sha256::of(path);
    digest.hex()[..16].to_owned()
}

/// The image as if its layers were made by steps.
fn built(job: &Job<'_>, image: &Image, started: Instant) -> Result<Built, PipelineError> {
    let (store, planned) = (job.workshop.store, job.planned);
    let failed = |error: nd_builder::BuildError| EngineError::Failed(error.to_string());
    let layers = import_base(store, store, image).map_err(failed)?.layers;
    let base: Vec<_> = planned.base.image.diff_ids.clone();
    let on_base = base.len() <= layers.len()
        && base
            .iter()
            .zip(&layers)
            .all(|(diff_id, layer)| *diff_id == layer.diff_id);
    let own = if on_base {
        &layers[base.len()..]
    } else {
        &layers[..]
    };
    let stage = planned.plan.stages.last();
    let of_base = || {
        let (platform, ids) = (planned.plan.platform, &planned.plan.ids);
        StepKey::of_base(&base, platform, ids, planned.plan.epoch)
    };
    let key = stage
        .and_then(|stage| stage.steps.last())
        .map_or_else(of_base, |step| step.key);
    let config = serde_json::to_value(&image.config)?;
    let lines = config["history"].as_array().cloned().unwrap_or_default();
    let titles: Vec<String> = lines
        .iter()
        .filter(|line| !line["empty_layer"].as_bool().unwrap_or(false))
        .map(|line| line["created_by"].as_str().unwrap_or_default().to_owned())
        .collect();
    let skipped = layers.len() - own.len();
    let seconds = started.elapsed().as_secs_f64();
    let steps = own.iter().enumerate().map(|(number, layer)| {
        let known = titles.get(skipped + number);
        let known = known.filter(|_| titles.len() == layers.len());
        let title = match known {
            Some(title) if !title.is_empty() => title.clone(),
            _ => format!("layer {} by an engine of the machine", number + 1),
        };
        StepResult {
            key,
            name: StepName {
                title,
                origin: None,
            },
            cached: false,
            // One program made them all.
            seconds: if number == 0 { seconds } else { 0.0 },
            layer: Some(*layer),
            entries: 0,
            uncompressed: 0,
        }
    });
    let steps = steps.collect();
    let state = stage.map(|stage| stage.result.clone()).unwrap_or_default();
    Ok(Built {
        layers,
        state,
        steps,
    })
}
