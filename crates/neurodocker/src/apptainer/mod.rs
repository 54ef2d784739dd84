//! Definitions as Apptainer definition files.
//!
//! `%post` goes through the instructions in order: variables are exported as they come, each
//! `Run` is a subshell in the working directory of its time. Inputs reach the image as `%files`;
//! copies are laid aside there and put in place when their turn comes, because Apptainer copies
//! before `%post` whatever the order was. `USER` makes the account and no more: in Apptainer a
//! program runs as who starts it.

mod sections;
mod words;

use std::collections::BTreeMap;

use nd_instructions::{
    Base, CopySource, Definition, EnvPair, Instruction, Op, PackageManager, Script, Stage,
    install_script, user_script,
};

use words::{confined, double_quoted, export, file_word, for_post, single_line};

/// Where inputs lie until they are put in place.
const ASIDE: &str = "/.nd-build";

/// How a definition file is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApptainerOptions {
    /// Bootstrap agent and source (`localimage`, `/images/base.sif`) in place of `docker` and the
    /// image of the last stage.
    pub base: Option<(String, String)>,
    /// Folder of each named build context, seen from where `apptainer build` runs; a context that
    /// is not here is taken to lie in a folder of its own name.
    pub contexts: BTreeMap<String, String>,
}

/// Why a definition has no definition file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApptainerError {
    /// There is no stage.
    #[error("definition has no stage")]
    Empty,
    /// A stage builds on one that does not come before it.
    #[error("stage `{name}` is not defined before it is used")]
    UnknownStage {
        /// The stage that is asked for.
        name: String,
    },
    /// A path that cannot stand in `%files`: it leaves the build folder, or holds a line break or
    /// both sorts of quotes.
    #[error("`{path}` cannot be copied into an Apptainer image")]
    Path {
        /// The path.
        path: String,
    },
    /// An instruction that this crate does not know yet.
    #[error("instruction cannot be written for Apptainer")]
    UnknownInstruction,
}

/// Text of a definition file round what the instructions say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'t> {
    /// The first line.
    pub(crate) first_line: &'t str,
    /// What `%post` of the last stage ends with.
    pub(crate) end_of_post: &'t str,
    /// Whether build arguments can be given to `apptainer build`, which needs Apptainer 1.2.
    pub(crate) build_arguments: bool,
}

/// Writes a definition as Apptainer definition file.
pub fn render_apptainer(
    definition: &Definition,
    options: &ApptainerOptions,
) -> Result<String, ApptainerError> {
    let frame = Frame {
        first_line: "# Written by neurodocker; change the recipe, not this file.",
        end_of_post: "",
        build_arguments: false,
    };
    render_framed(definition, options, frame)
}

/// Writes a definition as Apptainer definition file with text of the caller's round it.
pub(crate) fn render_framed(
    definition: &Definition,
    options: &ApptainerOptions,
    frame: Frame<'_>,
) -> Result<String, ApptainerError> {
    let (last, before) = definition
        .stages
        .split_last()
        .ok_or(ApptainerError::Empty)?;
    let mut out = format!("{}\n\n", frame.first_line);
    for (index, stage) in before.iter().enumerate() {
        // Only those that something is copied from matter; all are cheap to name.
        let Some(name) = &stage.name else { continue };
        let mut writer = Writer::new(definition.package_manager, options);
        writer.build_arguments = frame.build_arguments;
        writer.stage(stage, &before[..index])?;
        out.push_str(&writer.finish(Some(name), None, ""));
        out.push('\n');
    }
    let mut writer = Writer::new(definition.package_manager, options);
    writer.build_arguments = frame.build_arguments;
    writer.stage(last, before)?;
    out.push_str(&writer.finish(None, options.base.as_ref(), frame.end_of_post));
    Ok(out)
}

struct Writer<'a> {
    package_manager: PackageManager,
    options: &'a ApptainerOptions,
    base: (String, String),
    /// Stages of images that files are copied from, written before this one.
    sources: Vec<(String, String)>,
    /// Lines of `%files`, by stage they come from.
    files: Vec<(Option<String>, String)>,
    post: String,
    environment: Vec<String>,
    labels: Vec<(String, String)>,
    entrypoint: Option<Vec<String>>,
    workdir: String,
    accounts: Vec<String>,
    copies: usize,
    /// Mounts to take away at the end.
    mounts: Vec<String>,
    build_arguments: bool,
    /// Names and defaults of build arguments.
    arguments: Vec<(String, String)>,
}

impl<'a> Writer<'a> {
    fn new(package_manager: PackageManager, options: &'a ApptainerOptions) -> Self {
        Self {
            package_manager,
            options,
            base: ("docker".into(), String::new()),
            sources: Vec::new(),
            files: Vec::new(),
            post: String::new(),
            environment: Vec::new(),
            labels: Vec::new(),
            entrypoint: None,
            workdir: "/".into(),
            accounts: Vec::new(),
            copies: 0,
            mounts: Vec::new(),
            build_arguments: false,
            arguments: Vec::new(),
        }
    }

    /// Goes through a stage; one that builds on an earlier stage repeats it.
    fn stage(&mut self, stage: &Stage, before: &[Stage]) -> Result<(), ApptainerError> {
        let mut chain = vec![stage];
        let mut rest = before;
        loop {
            match &chain[chain.len() - 1].base {
                Base::Image(image) => {
                    self.base = source(image);
                    break;
                }
                Base::Scratch => {
                    self.base = ("scratch".into(), String::new());
                    break;
                }
                Base::Stage(name) => {
                    let at = rest
                        .iter()
                        .rposition(|stage| stage.name.as_ref() == Some(name))
                        .ok_or_else(|| ApptainerError::UnknownStage { name: name.clone() })?;
                    chain.push(&rest[at]);
                    rest = &rest[..at];
                }
            }
        }
        for stage in chain.into_iter().rev() {
            for instruction in &stage.body {
                self.instruction(instruction)?;
            }
        }
        Ok(())
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), ApptainerError> {
        match &instruction.op {
            Op::Run { script, mounts, .. } => {
                for mount in mounts {
                    let context = self.options.contexts.get(&mount.context);
                    let folder = context.unwrap_or(&mount.context).trim_end_matches('/');
                    let source = format!("{folder}/{}", mount.source.trim_matches('/'));
                    let source = source.trim_end_matches('/');
                    confined(&mount.source)?;
                    if !self.mounts.contains(&mount.target) {
                        self.add_file(None, source, &mount.target)?;
                        self.mounts.push(mount.target.clone());
                    }
                }
                self.run(&script.shell());
            }
            Op::Install { packages, options } => {
                let mut packages = packages.clone();
                packages.sort_unstable();
                packages.dedup();
                if !packages.is_empty() {
                    let text = install_script(self.package_manager, &packages, options.as_deref());
                    self.run(&Script::Lines(text).shell());
                }
            }
            Op::Env { pairs } => {
                if let Some(line) = export(pairs) {
                    self.environment.push(line.clone());
                    self.line(&line);
                }
            }
            Op::Arg { name, default } => {
                if let Some(default) = default {
                    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./:@+,-".contains(&b);
                    let name_is_plain =
                        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                    if self.build_arguments
                        && name_is_plain
                        && !default.is_empty()
                        && default.bytes().all(plain)
                    {
                        self.arguments.retain(|(known, _)| known != name);
                        self.arguments.push((name.clone(), default.clone()));
                        self.line(&format!("export {name}=\"{{{{ {name} }}}}\""));
                        return Ok(());
                    }
                    let pair = EnvPair {
                        name: name.clone(),
                        value: default.clone(),
                    };
                    if let Some(line) = export(&[pair]) {
                        self.line(&line);
                    }
                }
            }
            Op::Copy {
                from,
                sources,
                dest,
                owner,
            } => self.copy(from, sources, dest, owner.as_deref())?,
            Op::Workdir { path } => {
                self.workdir = self.absolute(path);
                let line = format!("mkdir -p {}", double_quoted(&self.workdir));
                self.line(&line);
            }
            Op::User { user } => {
                if !self.accounts.contains(user) {
                    self.accounts.push(user.clone());
                    if let Some(text) = user_script(user) {
                        self.run(&Script::Lines(text).shell());
                    }
                }
            }
            Op::Entrypoint { argv } => self.entrypoint = Some(argv.clone()),
            Op::Label { pairs } => {
                for pair in pairs {
                    let (name, value) = (single_line(&pair.name), single_line(&pair.value));
                    self.labels.retain(|(known, _)| *known != name);
                    self.labels.push((name, value));
                }
            }
            _ => return Err(ApptainerError::UnknownInstruction),
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        self.post.push_str(line);
        self.post.push('\n');
    }

    /// A script in a subshell, so that neither its directory nor its variables stay.
    fn run(&mut self, script: &str) {
        if script.trim().is_empty() {
            return;
        }
        // The script sees to failures itself, as it does in a build.
        let cd = format!("(\nset +e\ncd {} || exit", double_quoted(&self.workdir));
        self.line(&cd);
        self.line(&for_post(script.trim_end()));
        self.line(")");
    }

    fn absolute(&self, path: &str) -> String {
        if path.starts_with(['/', '$']) {
            path.to_owned()
        } else {
            format!("{}/{path}", self.workdir.trim_end_matches('/'))
        }
    }

    fn copy(
        &mut self,
        from: &CopySource,
        sources: &[String],
        dest: &str,
        owner: Option<&str>,
    ) -> Result<(), ApptainerError> {
        let stage = match from {
            CopySource::Context => None,
            CopySource::Stage(name) => Some(single_line(name)),
            CopySource::Image(image) => {
                let known = self.sources.iter().position(|(_, from)| from == image);
                let at = known.unwrap_or_else(|| {
                    let name = format!("nd-image-{}", self.sources.len());
                    self.sources.push((name, single_line(image)));
                    self.sources.len() - 1
                });
                Some(self.sources[at].0.clone())
            }
        };
        let folder = if sources.len() > 1 || dest.ends_with('/') || dest.ends_with("/.") {
            "folder"
        } else {
            "any"
        };
        for source in sources {
            confined(source)?;
            let aside = format!("{ASIDE}/{}", self.copies);
            self.copies += 1;
            let path = match (&stage, source.trim_matches('/')) {
                (_, "" | ".") if stage.is_none() => ".".to_owned(),
                (None, path) => path.trim_start_matches("./").to_owned(),
                (Some(_), path) => format!("/{path}"),
            };
            let name = path.rsplit('/').next().unwrap_or_default();
            let name = if name.is_empty() || name == "." {
                "all"
            } else {
                name
            };
            // A pattern may match several files, which then lie beside one another.
            let target = if name.contains(['*', '?', '[']) {
                format!("{aside}/")
            } else {
                format!("{aside}/{name}")
            };
            self.add_file(stage.clone(), &path, &target)?;
            if let Some(owner) = owner {
                let line = format!("chown -R {} {aside}", double_quoted(owner));
                self.line(&line);
            }
            let dest = double_quoted(&self.absolute(dest));
            let line = format!("nd_copy {aside} {dest} {folder}");
            self.line(&line);
        }
        Ok(())
    }

    fn add_file(
        &mut self,
        stage: Option<String>,
        source: &str,
        target: &str,
    ) -> Result<(), ApptainerError> {
        let line = format!("{} {}", file_word(source)?, file_word(target)?);
        self.files.push((stage, line));
        Ok(())
    }
}

/// Bootstrap agent and source of a base image: `AGENT://REST`, a path, or the name of an image in
/// a registry.
fn source(image: &str) -> (String, String) {
    let image = single_line(image);
    match image.split_once("://") {
        Some((agent, rest)) if agent.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') => {
            // A local image may be written as a URL of three slashes.
            (agent.to_owned(), rest.to_owned())
        }
        _ if image.starts_with(['/', '.']) => ("localimage".to_owned(), image),
        _ => ("docker".to_owned(), image),
    }
}
