//! From instructions to a plan.

use indexmap::IndexMap;
use nd_instructions::{
    Base, CopySource, Definition, Instruction, Network, Op, Origin, Script, Stage, expand,
    install_script, user_script,
};
use nd_names::{Architecture, Sha256};

use super::{
    Action, BuildPlan, CopyInput, CopySpec, ImageLayer, ImageState, InputError, Inputs,
    MAIN_CONTEXT, MountSpec, PLAN_SCHEMA, PlannedBase, PlannedStage, RunSpec, Step, StepKey,
};

/// A base image: its layers lie in the store.
#[derive(Debug, Clone)]
pub struct BaseInfo {
    /// Its layers, the lowest first.
    pub layers: Vec<ImageLayer>,
    /// Its configuration.
    pub state: ImageState,
}

/// Everything besides the instructions that a plan depends on.
#[derive(Debug)]
pub struct PlanContext<'a> {
    /// Architecture of the image.
    pub platform: Architecture,
    /// Name of the id mode: modes never share layers.
    pub ids: &'a str,
    /// Latest modification time in any layer, seconds since 1970.
    pub epoch: i64,
    /// The base images, by reference as the instructions write it.
    pub bases: &'a IndexMap<String, BaseInfo>,
    /// Values for build arguments.
    pub build_args: &'a IndexMap<String, String>,
}

/// Why there can be no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A stage starts from an image that was not prepared.
    #[error("base image `{reference}` was not prepared")]
    UnknownBase {
        /// The reference.
        reference: String,
    },
    /// A stage is named that does not come earlier.
    #[error("no earlier stage is named `{name}`")]
    UnknownStage {
        /// The name.
        name: String,
    },
    /// The definition has no stage.
    #[error("the definition has no stage")]
    NoStage,
    /// A `Copy` from an image that is no stage.
    #[error("copying from the image `{reference}` is not supported: declare it as a stage")]
    CopyFromImage {
        /// The reference.
        reference: String,
    },
    /// A variable reference is malformed or refused its expansion.
    #[error("cannot expand `{text}`")]
    Expand {
        /// The text.
        text: String,
        /// Why.
        #[source]
        source: nd_instructions::ExpandError,
    },
    /// An input of a step is missing or unreadable.
    #[error("{}cannot use an input", place(origin.as_ref()))]
    Input {
        /// Who asked for it.
        origin: Option<Origin>,
        /// What is wrong.
        #[source]
        source: Box<InputError>,
    },
    /// An instruction this version does not know.
    #[error("an instruction of this definition is newer than this program")]
    UnknownInstruction,
}

fn place(origin: Option<&Origin>) -> String {
    origin.map_or_else(String::new, |o| format!("{}:{}: ", o.file, o.line))
}

impl BuildPlan {
    /// Resolves `definition` completely. Reads nothing but through `inputs`.
    pub fn new(
        definition: &Definition,
        context: &PlanContext<'_>,
        inputs: &dyn Inputs,
    ) -> Result<Self, PlanError> {
        if definition.stages.is_empty() {
            return Err(PlanError::NoStage);
        }
        let mut stages: Vec<PlannedStage> = Vec::new();
        let mut tips: Vec<StepKey> = Vec::new();
        for stage in &definition.stages {
            let mut planner =
                StagePlanner::start(definition, stage, context, inputs, &stages, &tips)?;
            for instruction in &stage.body {
                planner.follow(instruction)?;
            }
            let (planned, tip) = planner.finish(stage);
            stages.push(planned);
            tips.push(tip);
        }
        Ok(Self {
            schema: PLAN_SCHEMA,
            platform: context.platform,
            ids: context.ids.to_owned(),
            epoch: context.epoch,
            stages,
        })
    }
}

struct StagePlanner<'a> {
    definition: &'a Definition,
    context: &'a PlanContext<'a>,
    inputs: &'a dyn Inputs,
    earlier: &'a [PlannedStage],
    tips: &'a [StepKey],
    base: PlannedBase,
    tip: StepKey,
    state: ImageState,
    args: IndexMap<String, String>,
    accounts: Vec<String>,
    steps: Vec<Step>,
}

impl<'a> StagePlanner<'a> {
    fn start(
        definition: &'a Definition,
        stage: &Stage,
        context: &'a PlanContext<'a>,
        inputs: &'a dyn Inputs,
        earlier: &'a [PlannedStage],
        tips: &'a [StepKey],
    ) -> Result<Self, PlanError> {
        let first = |diff_ids: &[Sha256]| {
            StepKey::of_base(diff_ids, context.platform, context.ids, context.epoch)
        };
        let (base, tip, state) = match &stage.base {
            Base::Image(reference) => {
                let info = context
                    .bases
                    .get(reference)
                    .ok_or_else(|| PlanError::UnknownBase {
                        reference: reference.clone(),
                    })?;
                let diff_ids: Vec<_> = info.layers.iter().map(|layer| layer.diff_id).collect();
                let base = PlannedBase::Image {
                    reference: reference.clone(),
                    layers: info.layers.clone(),
                };
                (base, first(&diff_ids), info.state.clone())
            }
            Base::Stage(name) => {
                let at = find_stage(earlier, name)?;
                (
                    PlannedBase::Stage { stage: at },
                    tips[at],
                    earlier[at].result.clone(),
                )
            }
            Base::Scratch => (PlannedBase::Scratch, first(&[]), ImageState::default()),
        };
        Ok(Self {
            definition,
            context,
            inputs,
            earlier,
            tips,
            base,
            tip,
            state,
            args: IndexMap::new(),
            accounts: vec!["root".into()],
            steps: Vec::new(),
        })
    }

    fn finish(self, stage: &Stage) -> (PlannedStage, StepKey) {
        let planned = PlannedStage {
            name: stage.name.clone(),
            base: self.base,
            steps: self.steps,
            result: self.state,
        };
        (planned, self.tip)
    }

    fn follow(&mut self, instruction: &Instruction) -> Result<(), PlanError> {
        let origin = instruction.origin.as_ref();
        match &instruction.op {
            Op::Run {
                script,
                mounts,
                network,
            } => {
                let mounts = mounts
                    .iter()
                    .map(|mount| {
                        let source = mount.source.trim_start_matches('/');
                        Ok(MountSpec {
                            context: mount.context.clone(),
                            source: source.into(),
                            target: mount.target.clone(),
                            digest: self.input(&mount.context, source, origin)?,
                        })
                    })
                    .collect::<Result<_, PlanError>>()?;
                let text = script.shell();
                if !text.trim().is_empty() {
                    let title = format!("run {}", first_line(script));
                    self.run_titled(title, text, mounts, *network, origin);
                }
            }
            Op::Install { packages, options } => {
                if !packages.is_empty() {
                    let script = Script::Lines(install_script(
                        self.definition.package_manager,
                        packages,
                        options.as_deref(),
                    ))
                    .shell();
                    let title = format!("install {}", packages.join(" "));
                    self.run_titled(title, script, Vec::new(), Network::Host, origin);
                }
            }
            Op::Env { pairs } => {
                let values = pairs
                    .iter()
                    .map(|pair| Ok((pair.name.clone(), self.expand(&pair.value)?)))
                    .collect::<Result<Vec<_>, PlanError>>()?;
                self.state.env.extend(values);
            }
            Op::Label { pairs } => {
                for pair in pairs {
                    let value = self.expand(&pair.value)?;
                    self.state.labels.insert(pair.name.clone(), value);
                }
            }
            Op::Arg { name, default } => {
                let value = match (self.context.build_args.get(name), default) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(default)) => Some(self.expand(default)?),
                    (None, None) => None,
                };
                if let Some(value) = value {
                    self.args.insert(name.clone(), value);
                }
            }
            Op::Workdir { path } => {
                let path = self.state.absolute(&self.expand(path)?);
                let path = match path.trim_end_matches('/') {
                    "" => "/".to_owned(),
                    trimmed => trimmed.to_owned(),
                };
                self.state.cwd.clone_from(&path);
                if path != "/" {
                    self.step(
                        Action::Directory { path: path.clone() },
                        format!("workdir {path}"),
                        origin,
                    );
                }
            }
            Op::User { user } => self.user(user, origin)?,
            Op::Entrypoint { argv } => {
                self.state.entrypoint.clone_from(argv);
                self.state.cmd.clear();
            }
            Op::Copy {
                from,
                sources,
                dest,
                owner,
            } => {
                self.copy(from, sources, dest, owner.as_deref(), origin)?;
            }
            _ => return Err(PlanError::UnknownInstruction),
        }
        Ok(())
    }

    fn user(&mut self, user: &str, origin: Option<&Origin>) -> Result<(), PlanError> {
        let user = self.expand(user)?;
        if !self.accounts.contains(&user) {
            if let Some(script) = user_script(&user) {
                let script = Script::Lines(script).shell();
                let before = std::mem::replace(&mut self.state.user, "root".into());
                let title = format!("create user {user}");
                self.run_titled(title, script, Vec::new(), Network::Host, origin);
                self.state.user = before;
            }
            self.accounts.push(user.clone());
        }
        self.state.user = user;
        Ok(())
    }

    fn copy(
        &mut self,
        from: &CopySource,
        sources: &[String],
        dest: &str,
        owner: Option<&str>,
        origin: Option<&Origin>,
    ) -> Result<(), PlanError> {
        let sources = sources
            .iter()
            .map(|source| {
                let path = self.expand(source)?;
                match from {
                    CopySource::Context => {
                        let path = path.trim_start_matches('/').to_owned();
                        let digest = self.input(MAIN_CONTEXT, &path, origin)?;
                        Ok(CopyInput::Context { path, digest })
                    }
                    CopySource::Stage(name) => {
                        let stage = find_stage(self.earlier, name)?;
                        Ok(CopyInput::Stage {
                            stage,
                            path,
                            key: self.tips[stage],
                        })
                    }
                    CopySource::Image(reference) => Err(PlanError::CopyFromImage {
                        reference: reference.clone(),
                    }),
                }
            })
            .collect::<Result<Vec<_>, PlanError>>()?;
        let mut dest = self.state.absolute(&self.expand(dest)?);
        if sources.len() > 1 && !dest.ends_with('/') {
            dest.push('/');
        }
        let title = format!("copy to {dest}");
        let owner = owner.map(|o| self.expand(o)).transpose()?;
        self.step(
            Action::Copy(CopySpec {
                sources,
                dest,
                owner,
            }),
            title,
            origin,
        );
        Ok(())
    }

    fn run_titled(
        &mut self,
        title: String,
        script: String,
        mounts: Vec<MountSpec>,
        network: Network,
        origin: Option<&Origin>,
    ) {
        let mut env = self.state.run_env();
        // As in a Dockerfile, an ENV of the same name wins over a build argument.
        for (name, value) in &self.args {
            if !env.iter().any(|(known, _)| known == name) {
                env.push((name.clone(), value.clone()));
            }
        }
        let user = match self.state.user.as_str() {
            "" | "root" | "0" | "0:0" => None,
            user => Some(user.to_owned()),
        };
        // Tools that write times into what they make (compilers, byte code) then agree.
        if !env.iter().any(|(known, _)| known == "SOURCE_DATE_EPOCH") {
            env.push(("SOURCE_DATE_EPOCH".into(), self.context.epoch.to_string()));
        }
        let cwd = self.state.directory().to_owned();
        let spec = RunSpec {
            script,
            env,
            cwd,
            user,
            network,
            mounts,
        };
        self.step(Action::Run(spec), title, origin);
    }

    fn step(&mut self, action: Action, title: String, origin: Option<&Origin>) {
        self.tip = self.tip.then(&action);
        self.steps.push(Step {
            key: self.tip,
            action,
            title,
            origin: origin.cloned(),
        });
    }

    fn input(
        &self,
        context: &str,
        path: &str,
        origin: Option<&Origin>,
    ) -> Result<Sha256, PlanError> {
        self.inputs
            .digest(context, path)
            .map_err(|source| PlanError::Input {
                origin: origin.cloned(),
                source: Box::new(source),
            })
    }

    fn expand(&self, text: &str) -> Result<String, PlanError> {
        expand(text, &|name: &str| {
            self.state
                .env
                .get(name)
                .or_else(|| self.args.get(name))
                .cloned()
        })
        .map_err(|source| PlanError::Expand {
            text: text.into(),
            source,
        })
    }
}

/// What people recognise a script by: its first line.
fn first_line(script: &Script) -> &str {
    let mut texts: Box<dyn Iterator<Item = &str>> = match script {
        Script::Commands(commands) => Box::new(commands.iter().flat_map(|text| text.lines())),
        Script::Lines(text) => Box::new(text.lines()),
    };
    let says = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
    let line = texts.find(says).unwrap_or_default().trim();
    line.trim_end_matches(['\\', ' '])
}

fn find_stage(earlier: &[PlannedStage], name: &str) -> Result<usize, PlanError> {
    earlier
        .iter()
        .position(|stage| stage.name.as_deref() == Some(name))
        .or_else(|| name.parse().ok().filter(|&at: &usize| at < earlier.len()))
        .ok_or_else(|| PlanError::UnknownStage { name: name.into() })
}
