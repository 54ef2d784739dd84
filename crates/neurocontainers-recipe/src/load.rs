//! Reading a recipe and all files it consists of.

use std::collections::HashMap;

use nd_report::{Diagnostic, FileId, Severity, Sink, Span};
use nd_yaml::{Limits, Node};

use crate::{
    Compat, Folder, LoadOptions, ReadError, RecipeFiles, Sources,
    check::TemplateCheck,
    codes,
    decode::{Decoder, Draft, decode_directives, decode_recipe},
    is_confined, raw,
    raw::{Action, Directive},
    rules,
};

/// Largest `build.yaml`, README and included file that is read, in bytes.
pub const FILE_LIMIT: usize = 4 << 20;

/// How deep files may include one another.
const INCLUDE_DEPTH: usize = 8;

/// Most files that one recipe may include.
const INCLUDE_COUNT: usize = 64;

/// A recipe that was read and checked.
#[derive(Debug)]
pub struct Recipe {
    pub(crate) root: Node,
    pub(crate) options: Settings,
    pub(crate) includes: HashMap<String, Include>,
    pub(crate) readme_file: Option<String>,
    pub(crate) sources: Sources,
}

/// What a recipe was read with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) compat: Compat,
    pub(crate) profile: crate::Profile,
}

/// A file of directives that was found by its name; `None` when it was not.
#[derive(Debug)]
pub(crate) struct Include {
    pub(crate) root: Option<Node>,
}

/// Reads and checks the recipe in `files`. `place` is how people call its folder
/// (`recipes/itksnap`); it stands before file names in diagnostics and origins.
///
/// Everything that is wrong goes to `sink`; with an error there is no recipe.
pub fn load(
    files: &dyn RecipeFiles,
    place: &str,
    options: &LoadOptions<'_>,
    sink: &mut Sink,
) -> Option<Recipe> {
    load_with_sources(files, place, options, sink).ok()
}

/// As [`load`], and gives the texts that were read when there is no recipe, so that what was
/// reported can be shown.
///
/// # Errors
///
/// The texts, when something is wrong with them.
pub fn load_with_sources(
    files: &dyn RecipeFiles,
    place: &str,
    options: &LoadOptions<'_>,
    sink: &mut Sink,
) -> Result<Recipe, Sources> {
    let mut found = Sink::new();
    let recipe = load_for_check(files, place, options, &mut found);
    let failed = found.has_errors();
    for diagnostic in found.into_diagnostics() {
        sink.push(diagnostic);
    }
    match recipe {
        Ok(recipe) if failed => Err(recipe.sources),
        recipe => recipe,
    }
}

/// As [`load_with_sources`], for those who want to know all that is wrong: a recipe whose mistakes
/// leave it understandable is given in spite of them, so that compiling it can find more.
///
/// # Errors
///
/// The texts that were read, when they give no recipe.
pub fn load_for_check(
    files: &dyn RecipeFiles,
    place: &str,
    options: &LoadOptions<'_>,
    sink: &mut Sink,
) -> Result<Recipe, Sources> {
    let mut loader = Loader {
        files,
        place,
        settings: Settings {
            compat: options.compat,
            profile: options.profile,
        },
        rules: options.rules,
        folder_name: options.folder_name,
        sources: Sources::starting_at(options.first_file),
        includes: HashMap::new(),
    };
    loader.run(sink).ok_or(loader.sources)
}

impl Recipe {
    /// The recipe as written.
    pub fn raw(&self) -> Option<raw::Recipe<'_>> {
        let mut ignored = Sink::new();
        let mut out = self.decoder(&mut ignored);
        decode_recipe(&self.root, None, &mut out)?.complete()
    }

    /// Files that were read, the recipe first.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// How upstream's accidents are treated.
    pub fn compat(&self) -> Compat {
        self.options.compat
    }

    pub(crate) fn decoder<'s>(&self, sink: &'s mut Sink) -> Decoder<'s> {
        Decoder {
            compat: self.options.compat,
            profile: self.options.profile,
            sink,
        }
    }
}

struct Loader<'f> {
    files: &'f dyn RecipeFiles,
    place: &'f str,
    settings: Settings,
    rules: bool,
    folder_name: Option<&'f str>,
    sources: Sources,
    includes: HashMap<String, Include>,
}

impl Loader<'_> {
    fn run(&mut self, sink: &mut Sink) -> Option<Recipe> {
        let shown = format!("{}/build.yaml", self.place.trim_end_matches('/'));
        let bytes = match self.files.read(Folder::Recipe, "build.yaml", FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(problem) => {
                self.sources.add(shown.clone(), String::new());
                let message = match problem {
                    ReadError::Absent => format!("recipe file not found: {shown}"),
                    other => format!("cannot read `{shown}`: {other}"),
                };
                sink.push(Diagnostic::new(codes::UNREADABLE, Severity::Error, message));
                return None;
            }
        };
        let file = self.sources.next_id();
        let root = self.parse(shown, &bytes, sink)?;
        self.check_rules(file, &root, sink);
        let settings = self.settings;
        let mut out = Decoder {
            compat: settings.compat,
            profile: settings.profile,
            sink,
        };
        let recipe = decode_recipe(&root, self.folder_name, &mut out)?;
        let directives = recipe
            .build
            .as_ref()
            .and_then(|build| build.directives.as_deref());
        self.follow_includes(directives.unwrap_or_default(), 0, sink);
        self.check_webapp(&recipe, sink);
        let readme_file = self.read_readme(&recipe, sink);
        let mut check = TemplateCheck {
            upstream: settings.compat.is_upstream(),
            sources: &self.sources,
            sink,
        };
        check.recipe(&recipe);
        if let Some(text) = &readme_file
            && !settings.compat.is_upstream()
        {
            check.readme_file(text);
        }
        recipe.complete()?;
        Some(Recipe {
            root,
            options: settings,
            includes: std::mem::take(&mut self.includes),
            readme_file,
            sources: std::mem::take(&mut self.sources),
        })
    }

    /// What breaks later, in the recipe or in a file that it includes.
    fn check_rules(&self, file: FileId, root: &Node, sink: &mut Sink) {
        if let Some(source) = self.sources.get(file).filter(|_| self.rules) {
            let text = &source.text;
            rules::check(&rules::Subject { text, root }, sink);
        }
    }

    /// The picture of a web application is a file beside the recipe.
    fn check_webapp(&self, recipe: &Draft<'_>, sink: &mut Sink) {
        let webapp = recipe.deploy.as_ref().and_then(|deploy| deploy.webapp);
        let icon = webapp.and_then(|webapp| webapp.map.get("icon"));
        let Some((node, name)) = icon.and_then(|node| Some((node, node.as_str()?))) else {
            return;
        };
        let there = is_confined(name) && self.files.kind(Folder::Recipe, name).is_some();
        if self.rules && !there {
            let message = format!("`{name}` is not in the recipe's folder");
            let found = Diagnostic::new(codes::WEBAPP_ICON, Severity::Warning, message);
            sink.push(found.at(node.span, ""));
        }
    }

    /// Parses a file and keeps its text.
    fn parse(&mut self, shown: String, bytes: &[u8], sink: &mut Sink) -> Option<Node> {
        let file = self.sources.next_id();
        let mut found = Sink::new();
        let node = nd_yaml::parse(
            bytes,
            file,
            &Limits {
                bytes: FILE_LIMIT,
                ..Limits::default()
            },
            &mut found,
        );
        // The text is kept even if it is none, so that diagnostics show what they speak of.
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        };
        self.sources.add(shown, text);
        for mut diagnostic in found.into_diagnostics() {
            if self.settings.compat.is_upstream()
                && diagnostic.code == nd_yaml::codes::DUPLICATE_KEY
            {
                diagnostic.severity = Severity::Warning;
            }
            sink.push(diagnostic);
        }
        node
    }

    /// Reads the files that directives include, and those that these include.
    fn follow_includes(&mut self, directives: &[Directive<'_>], depth: usize, sink: &mut Sink) {
        for directive in directives {
            match &directive.action {
                Action::Group { children, .. } => self.follow_includes(children, depth, sink),
                Action::Include { name, .. } => {
                    if let Some(text) = name.as_str() {
                        self.include(text, name.span, depth, sink);
                    }
                }
                _ => {}
            }
        }
    }

    fn include(&mut self, name: &str, place: Span, depth: usize, sink: &mut Sink) {
        if self.includes.contains_key(name) {
            return;
        }
        if depth >= INCLUDE_DEPTH || self.includes.len() >= INCLUDE_COUNT {
            let message = format!("includes are nested too deeply at `{name}`");
            let found = Diagnostic::new(codes::INCLUDE_DEPTH, Severity::Error, message);
            sink.push(found.at(place, ""));
            return;
        }
        let bytes = match self.files.read(Folder::Include, name, FILE_LIMIT) {
            Ok(bytes) => bytes,
            Err(problem) => {
                // Whether it is needed depends on conditions; compiling reports what is.
                if !matches!(problem, ReadError::Absent) {
                    let message = format!("cannot read include `{name}`: {problem}");
                    let found = Diagnostic::new(codes::UNREADABLE, Severity::Error, message);
                    sink.push(found.at(place, "included here"));
                }
                self.includes
                    .insert(name.to_owned(), Include { root: None });
                return;
            }
        };
        let file = self.sources.next_id();
        let root = self.parse(name.to_owned(), &bytes, sink);
        self.includes
            .insert(name.to_owned(), Include { root: None });
        let Some(root) = root else {
            return;
        };
        self.check_rules(file, &root, sink);
        let mut out = Decoder {
            compat: self.settings.compat,
            profile: self.settings.profile,
            sink,
        };
        if let Some(directives) = include_directives(&root, &mut out) {
            if !self.settings.compat.is_upstream() {
                let sources = &self.sources;
                TemplateCheck {
                    upstream: false,
                    sources,
                    sink,
                }
                .directives(&directives);
            }
            self.follow_includes(&directives, depth + 1, sink);
        }
        self.includes
            .insert(name.to_owned(), Include { root: Some(root) });
    }

    /// The file `README.md`, when the recipe has no text of its own.
    fn read_readme(&mut self, recipe: &Draft<'_>, sink: &mut Sink) -> Option<String> {
        let readme = recipe.about.readme;
        if readme.is_some_and(|node| node.as_str().is_none_or(|text| !text.trim().is_empty())) {
            return None;
        }
        let shown = format!("{}/README.md", self.place.trim_end_matches('/'));
        match self.files.read(Folder::Recipe, "README.md", FILE_LIMIT) {
            Ok(bytes) => {
                if let Ok(text) = std::str::from_utf8(&bytes) {
                    self.sources.add(shown, text.to_owned());
                    Some(text.to_owned())
                } else {
                    let message = format!("`{shown}` is not valid UTF-8");
                    sink.push(Diagnostic::new(codes::UNREADABLE, Severity::Error, message));
                    None
                }
            }
            Err(ReadError::Absent) => None,
            Err(problem) => {
                let message = format!("cannot read `{shown}`: {problem}");
                sink.push(Diagnostic::new(codes::UNREADABLE, Severity::Error, message));
                None
            }
        }
    }
}

/// The directives of an included file.
pub(crate) fn include_directives<'d>(
    root: &'d Node,
    out: &mut Decoder<'_>,
) -> Option<Vec<Directive<'d>>> {
    let Some(map) = root.as_map() else {
        out.wrong_type(root, "an included file", "a mapping");
        return None;
    };
    if let Some(node) = map.get("directives") {
        decode_directives(node, "`directives`", out)
    } else {
        out.missing(root.span, "the included file", "directives");
        None
    }
}
