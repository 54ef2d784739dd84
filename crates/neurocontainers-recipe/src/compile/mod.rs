//! Raw to resolved: one concrete container, everything rendered.

mod about;
mod deploy;
mod directive;
mod engine;
mod file;
mod group;
mod installation;
mod prologue;
mod readme;
mod run;
mod value;
mod world;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use indexmap::IndexMap;
use nd_instructions::{
    Base, CopySource as ContextKind, Definition, Instruction, Op, Origin, PackageManager, Stage,
};
use nd_report::{Code, Diagnostic, Severity, Sink, Span};
use nd_yaml::Node;
use neurodocker::Templates;

use crate::{
    Recipe, RecipeFiles, Request, codes, raw,
    resolved::{Compiled, Deploy, Staging},
    variants,
};

use engine::Engine;
pub(crate) use engine::parser;
use prologue::{Prologue, STARTUP, pair};
use world::World;

/// Most instructions that a recipe may give.
const INSTRUCTION_LIMIT: usize = 20_000;

/// Most bytes that all templates of a recipe may render to together.
const RENDER_LIMIT: usize = 32 << 20;

/// Compiles the container that `request` means. Everything that is wrong goes to `sink`; with an
/// error there is no result. `files` is read for what the recipe copies, and asked for the text
/// behind `readme_url`.
pub fn compile(
    recipe: &Recipe,
    request: &Request,
    files: &dyn RecipeFiles,
    sink: &mut Sink,
) -> Option<Compiled> {
    let mut found = Sink::new();
    let compiled = compile_with(recipe, request, files, &mut found);
    let failed = found.has_errors();
    for diagnostic in found.into_diagnostics() {
        sink.push(diagnostic);
    }
    compiled.filter(|_| !failed)
}

fn compile_with(
    recipe: &Recipe,
    request: &Request,
    files: &dyn RecipeFiles,
    sink: &mut Sink,
) -> Option<Compiled> {
    let raw = recipe.raw()?;
    let upstream = recipe.compat().is_upstream();
    let concrete = variants::select(&raw, request, upstream, sink)?;
    let identity = variants::resolve_identity(&raw, concrete, request, upstream, sink)?;
    let world = Arc::new(World::new(
        identity,
        request.parallel_jobs,
        request.local_contexts.clone(),
        upstream,
        request.upstream_home.clone(),
    ));
    Compiler {
        recipe,
        raw: &raw,
        files,
        upstream,
        engine: Engine::new(&world),
        templates: request.templates.clone(),
        world,
        sink,
        body: Vec::new(),
        package_manager: String::new(),
        bins: Vec::new(),
        path: Vec::new(),
        deploy_places: DeployPlaces::default(),
        has_entrypoint: false,
        staging: Staging::default(),
        cache_ids: IndexMap::new(),
        copied_paths: HashSet::new(),
        copied_files: HashMap::new(),
        include_depth: 0,
        applied: 0,
        rendered: 0,
        over_limit: false,
    }
    .run()
}

/// Where `deploy` directives gave what.
#[derive(Debug, Default)]
struct DeployPlaces {
    bins: Option<Span>,
    path: Option<Span>,
}

struct Compiler<'r, 's> {
    recipe: &'r Recipe,
    raw: &'r raw::Recipe<'r>,
    files: &'r dyn RecipeFiles,
    upstream: bool,
    engine: Engine,
    templates: Option<Arc<Templates>>,
    world: Arc<World>,
    sink: &'s mut Sink,
    body: Vec<Instruction>,
    package_manager: String,
    bins: Vec<String>,
    path: Vec<String>,
    deploy_places: DeployPlaces,
    has_entrypoint: bool,
    staging: Staging,
    /// Texts of directives by cache id, to tell equal ones from unlucky ones.
    cache_ids: IndexMap<String, String>,
    /// Paths in the build context that something is copied from.
    copied_paths: HashSet<String>,
    /// Paths of declared files that are copied, by their names.
    copied_files: HashMap<String, String>,
    include_depth: usize,
    applied: usize,
    rendered: usize,
    over_limit: bool,
}

impl Compiler<'_, '_> {
    fn run(mut self) -> Option<Compiled> {
        if let Some(variables) = self.raw.variables {
            for entry in variables {
                self.define(entry);
            }
        }
        for file in &self.raw.files {
            self.declare(file);
        }
        let readme = self.resolve_readme();
        let base_image = self.base_image();
        let package_manager = self.render_text(self.raw.build.pkg_manager);
        self.package_manager = package_manager.unwrap_or_default();
        let definition_manager = self.definition_manager();
        let prologue = self.prologue();
        for op in prologue.ops() {
            self.emit(op, None);
        }
        self.apply_all(&self.raw.build.directives);
        let deploy = self.resolve_deploy();
        self.epilogue(deploy.as_ref(), prologue.default_template);
        let about = self.resolve_about();

        let base_image = base_image?;
        let (readme, readme_url) = readme?;
        let mut staging = std::mem::take(&mut self.staging);
        staging.cache_texts = std::mem::take(&mut self.cache_ids);
        staging.files = std::mem::take(&mut self.world.state().files)
            .into_values()
            .collect();
        Some(Compiled {
            identity: self.world.identity().clone(),
            definition: Definition {
                package_manager: definition_manager,
                stages: vec![Stage {
                    name: None,
                    base: Base::Image(base_image.clone()),
                    body: self.body,
                }],
            },
            package_manager: self.package_manager,
            base_image,
            bootstrap: self
                .raw
                .build
                .bootstrap
                .as_ref()
                .map(|base| base.value.clone()),
            readme,
            readme_url,
            deploy: deploy?,
            staging,
            about: about?,
            fix_locale_def: self.raw.build.fix_locale_def,
        })
    }

    fn prologue(&self) -> Prologue<'static> {
        let build = &self.raw.build;
        Prologue {
            package_manager: match self.package_manager.as_str() {
                "apt" => "apt",
                "yum" => "yum",
                "rpm" => "rpm",
                "dnf" if !self.upstream => "yum",
                _ => "",
            },
            default_template: build.add_default_template,
            tzdata: build.add_tzdata.unwrap_or(build.add_default_template),
            // Upstream blanks a line of the finished text instead.
            without_localedef: build.fix_locale_def && !self.upstream,
        }
    }

    /// The package manager of the instructions. Names that cannot install are `apt` here and give
    /// no `Install`.
    fn definition_manager(&self) -> PackageManager {
        self.package_manager.parse().unwrap_or(PackageManager::Apt)
    }

    /// Whether packages can be installed.
    fn can_install(&self) -> bool {
        match self.package_manager.as_str() {
            "apt" | "yum" | "rpm" => true,
            "dnf" => !self.upstream,
            _ => false,
        }
    }

    fn base_image(&mut self) -> Option<String> {
        let node = self.raw.build.base_image;
        let mut image = self.render_text(node)?;
        if !self.upstream {
            image = image.trim().to_owned();
        }
        if image.is_empty() {
            self.error(
                codes::NO_BASE_IMAGE,
                node.span,
                "base image cannot be empty",
            );
            return None;
        }
        if !self.upstream && image.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let shown: String = image.chars().take(60).collect();
            let message = format!("`{}` names no image", shown.escape_debug());
            self.error(codes::NO_BASE_IMAGE, node.span, message);
            return None;
        }
        let tagged = if self.upstream {
            image.contains(':')
        } else {
            let last = image.rsplit('/').next().unwrap_or_default();
            image.contains('@') || last.contains(':')
        };
        if !tagged {
            image.push_str(":latest");
        }
        Some(image)
    }

    fn epilogue(&mut self, deploy: Option<&Deploy>, default_template: bool) {
        if let Some(deploy) = deploy {
            for (name, values) in [("DEPLOY_PATH", &deploy.path), ("DEPLOY_BINS", &deploy.bins)] {
                self.emit(
                    Op::Env {
                        pairs: vec![pair(name, &values.join(":"))],
                    },
                    None,
                );
            }
        }
        for name in ["README.md", "build.yaml"] {
            let op = Op::Copy {
                from: ContextKind::Context,
                sources: vec![name.to_owned()],
                dest: format!("/{name}"),
                owner: None,
            };
            self.emit(op, None);
        }
        if default_template && !self.has_entrypoint {
            self.emit(
                Op::Entrypoint {
                    argv: vec![STARTUP.to_owned()],
                },
                None,
            );
        }
    }

    /// Adds an instruction that `place` asked for.
    fn emit(&mut self, op: Op, place: Option<Span>) {
        if self.body.len() >= INSTRUCTION_LIMIT {
            if let Some(place) = place {
                self.limit(
                    place,
                    &format!("more than {INSTRUCTION_LIMIT} instructions"),
                );
            }
            return;
        }
        let origin = place.map(|place| self.origin(place));
        self.body.push(Instruction { op, origin });
    }

    /// Reports once that the recipe grows beyond all bounds.
    fn limit(&mut self, place: Span, what: &str) {
        if !std::mem::replace(&mut self.over_limit, true) {
            self.error(codes::LIMIT, place, format!("the recipe gives {what}"));
        }
    }

    fn origin(&self, place: Span) -> Origin {
        let source = self.recipe.sources().get(place.file);
        Origin {
            file: source.map(|source| source.name.clone()).unwrap_or_default(),
            line: source.map_or(0, |source| source.line(place.start)),
            span: Some(place),
        }
    }

    fn error(&mut self, code: Code, place: Span, message: impl Into<String>) {
        self.sink
            .push(Diagnostic::new(code, Severity::Error, message).at(place, ""));
    }

    fn warn(&mut self, code: Code, place: Span, message: impl Into<String>) {
        if !self.upstream {
            self.sink
                .push(Diagnostic::new(code, Severity::Warning, message).at(place, ""));
        }
    }

    /// Whether the node's text mentions something, anywhere in it.
    fn mentions(node: &Node, needle: &str) -> bool {
        use nd_yaml::Value;
        match &node.value {
            Value::Str(text) => text.contains(needle),
            Value::Seq(items) => items.iter().any(|item| Self::mentions(item, needle)),
            Value::Map(map) => map.iter().any(|entry| {
                Self::mentions(&entry.key, needle) || Self::mentions(&entry.value, needle)
            }),
            _ => false,
        }
    }
}
