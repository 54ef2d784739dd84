//! What each directive does.

use nd_instructions::{CopySource as ContextKind, Op};
use nd_jinja::Value;
use nd_report::{Diagnostic, Severity, Span};
use nd_yaml::{Map, Node};

use crate::{
    codes, is_confined,
    raw::{Action, Directive},
    resolved::{CopySource, GeneratedFile},
    text::{WordsError, split_words},
};

use super::{
    Compiler,
    prologue::{lines, pair},
    value::{is_list, text_of},
};

/// Most directives that a recipe may apply, those counted twice that are included twice.
const APPLY_LIMIT: usize = 100_000;

/// What a `COPY --from=IMAGE` of a Dockerfile is told.
const NO_OPTIONS: &str = "`copy` has no options: a container is one stage on one `base-image`, and \
                          files come from the recipe's folder or are declared";

impl Compiler<'_, '_> {
    /// Applies one directive whose condition holds.
    pub(super) fn apply(&mut self, directive: &Directive<'_>) {
        let place = directive.key.span;
        self.applied += 1;
        if self.applied > APPLY_LIMIT {
            self.limit(place, &format!("more than {APPLY_LIMIT} directives"));
            return;
        }
        match &directive.action {
            Action::Install(node) => self.install(node, place),
            Action::Run(node) => self.apply_run(directive.node, node, place),
            Action::Workdir(node) => {
                if let Some(path) = self.render_text(node) {
                    self.emit(Op::Workdir { path }, Some(place));
                }
            }
            Action::User(node) => {
                if let Some(user) = self.render_text(node) {
                    self.emit(Op::User { user }, Some(place));
                }
            }
            Action::Entrypoint(node) => self.entrypoint(node, place),
            Action::Environment(map) => self.environment(map, place),
            Action::Copy(node) => self.copy(node, place),
            Action::Variables(node) => {
                if let Some(map) = node.as_map() {
                    for entry in map {
                        self.define(entry);
                    }
                } else {
                    let message = "variables directive must be a mapping";
                    self.error(codes::WRONG_TYPE, node.span, message);
                }
            }
            Action::Group { children, with } => self.apply_group(children, *with),
            Action::Include { name, with } => self.apply_include(name, *with, place),
            Action::File(file) => self.declare(file),
            Action::Deploy(deploy) => self.add_deploy(deploy),
            Action::Template { name, parameters } => {
                self.apply_template(name, parameters, place);
            }
            Action::Boutique(node) => self.boutique(node, place),
            Action::Test => {}
        }
    }

    /// Splits text as a shell does, or reports.
    fn words(&mut self, text: &str, place: Span) -> Option<Vec<String>> {
        match split_words(text) {
            Ok(words) => Some(words),
            Err(problem @ (WordsError::Quotation | WordsError::Escape)) => {
                self.error(
                    codes::BAD_WORDS,
                    place,
                    format!("cannot split into words: {problem}"),
                );
                None
            }
        }
    }

    /// Text as words, or a list as it is; `None` for other types.
    fn words_or_list(&mut self, value: &Value, place: Span, what: &str) -> Option<Vec<String>> {
        if let Some(text) = value.as_str() {
            return self.words(text, place);
        }
        if is_list(value) {
            return Some(items(value).map(|item| text_of(&item)).collect());
        }
        self.error(
            codes::RENDERED_TYPE,
            place,
            format!("{what} directive must be a string or list"),
        );
        None
    }

    fn install(&mut self, node: &Node, place: Span) {
        let Some(value) = self.render(node) else {
            return;
        };
        let Some(mut packages) = self.words_or_list(&value, node.span, "install") else {
            return;
        };
        packages.retain(|package| !package.is_empty());
        if !self.can_install() {
            let found = Diagnostic::new(
                codes::PACKAGE_MANAGER,
                Severity::Error,
                format!("unsupported package manager: {}", self.package_manager),
            )
            .at(place, "packages are installed here")
            .at(self.raw.build.pkg_manager.span, "with this");
            self.sink
                .push(found.hint("`pkg-manager` is `apt` or `yum`"));
            return;
        }
        if !self.upstream {
            if packages.is_empty() {
                let message = "`install` has no packages; nothing is installed";
                self.warn(codes::NOTHING_TO_RUN, place, message);
                return;
            }
            for package in &packages {
                if package.contains(char::is_whitespace) {
                    let shown: String = package.chars().take(60).collect();
                    let message = format!("`{shown}` is one entry with several words");
                    self.warn(codes::PACKAGE_WORDS, node.span, message);
                }
            }
        }
        self.emit(
            Op::Install {
                packages,
                options: None,
            },
            Some(place),
        );
    }

    fn entrypoint(&mut self, node: &Node, place: Span) {
        self.has_entrypoint = true;
        let argv = if let (false, Some(list)) = (self.upstream, node.as_seq()) {
            let all: Vec<_> = list.iter().map(|item| self.render_text(item)).collect();
            let Some(argv) = all.into_iter().collect::<Option<Vec<_>>>() else {
                return;
            };
            argv
        } else {
            let Some(text) = self.render_text(node) else {
                return;
            };
            if self.upstream || !text.trim().contains(char::is_whitespace) {
                vec![text]
            } else {
                let Some(argv) = self.words(&text, node.span) else {
                    return;
                };
                let found = Diagnostic::new(
                    codes::ENTRYPOINT_WORDS,
                    Severity::Warning,
                    format!("the entry point is split into {} words", argv.len()),
                )
                .at(node.span, "");
                self.sink
                    .push(found.hint("write a list to say where words begin and end"));
                argv
            }
        };
        self.emit(Op::Entrypoint { argv }, Some(place));
    }

    fn environment(&mut self, map: &Map, place: Span) {
        for entry in map {
            let name = self.render_text(&entry.key);
            let value = self.render_text(&entry.value);
            if let (Some(name), Some(value)) = (name, value)
                && (self.upstream || self.check_variable(&name, entry.key.span))
            {
                let at = if map.len() == 1 {
                    place
                } else {
                    entry.key.span
                };
                self.emit(
                    Op::Env {
                        pairs: vec![pair(&name, &value)],
                    },
                    Some(at),
                );
            }
        }
    }

    /// Whether a variable can have this name; says so where no command can use it.
    fn check_variable(&mut self, name: &str, span: Span) -> bool {
        let broken = name.is_empty()
            || name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control());
        let usual = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let shown: String = name.chars().take(60).collect();
        let shown = shown.escape_debug();
        if broken {
            let message = format!("`{shown}` cannot be the name of a variable");
            self.error(codes::ENVIRONMENT_NAME, span, message);
        } else if !usual {
            let message = format!("no command can use a variable with the name `{shown}`");
            self.warn(codes::ENVIRONMENT_NAME, span, message);
        }
        !broken
    }

    fn copy(&mut self, node: &Node, place: Span) {
        self.world.state().copying = true;
        let value = self.render(node);
        self.world.state().copying = false;
        let Some(value) = value else {
            return;
        };
        let Some(mut words) = self.words_or_list(&value, node.span, "copy") else {
            return;
        };
        if !self.upstream {
            words.retain(|word| !word.is_empty());
        }
        let dest = words.pop().filter(|_| !words.is_empty());
        let Some(dest) = dest else {
            let message = "copy directive requires source and destination";
            self.error(codes::COPY_ARGUMENTS, node.span, message);
            return;
        };
        let mut sources = Vec::new();
        for word in words {
            if let Some(source) = self.copy_source(word, node, place) {
                sources.push(source);
            }
        }
        if sources.is_empty() {
            return;
        }
        let op = Op::Copy {
            from: ContextKind::Context,
            sources,
            dest,
            owner: None,
        };
        self.emit(op, Some(place));
    }

    /// Stages one source of a `copy`; gives its path in the build context.
    fn copy_source(&mut self, word: String, node: &Node, place: Span) -> Option<String> {
        let guest = self
            .world
            .state()
            .files
            .get(&word)
            .map(|file| file.guest_name.clone());
        let origin = self.origin(place);
        let source = match guest {
            Some(guest) if self.upstream => guest,
            Some(guest) => self.unique_path(&word, guest),
            None => {
                if !self.upstream && !self.check_source(&word, node) {
                    return None;
                }
                word.clone()
            }
        };
        let declared = self.world.state().files.contains_key(&word);
        self.copied_paths.insert(source.clone());
        self.staging.copy_sources.push(CopySource {
            source: source.clone(),
            declared_name: declared.then_some(word),
            origin,
        });
        Some(source)
    }

    /// A path in the build context where nothing else lies: files of equal names get folders.
    fn unique_path(&mut self, name: &str, guest: String) -> String {
        if let Some(known) = self.copied_files.get(name) {
            return known.clone();
        }
        let taken = |path: &str| {
            matches!(path, "README.md" | "build.yaml") || self.copied_paths.contains(path)
        };
        let mut path = guest;
        if taken(&path) {
            // Every file takes at most one number.
            path = format!("declared-{}/{path}", self.copied_files.len());
            while taken(&path) {
                path.insert_str(0, "declared/");
            }
        }
        self.copied_files.insert(name.to_owned(), path.clone());
        path
    }

    /// Whether a source names something below the recipe's folder.
    fn check_source(&mut self, word: &str, node: &Node) -> bool {
        let path = word.strip_prefix("./").unwrap_or(word);
        let path = path.strip_suffix('/').unwrap_or(path);
        if !is_confined(path) {
            let message = format!("copy source `{word}` is not a path below the recipe's folder");
            self.error(codes::UNSAFE_PATH, node.span, message);
            return false;
        }
        let globs = path.contains(['*', '?', '[']);
        if !globs && self.files.kind(crate::Folder::Recipe, path).is_none() {
            let found = Diagnostic::new(
                codes::SOURCE_MISSING,
                Severity::Error,
                format!(
                    "copy source `{word}` is neither a declared file nor in the recipe's folder"
                ),
            )
            .at(node.span, "");
            let files = self.world.state();
            let meant = crate::text::nearest(word, files.files.keys().map(String::as_str));
            let found = match meant {
                Some(meant) => found.hint(format!("did you mean `{meant}`?")),
                None if word.starts_with("--") => found.hint(NO_OPTIONS),
                None => found,
            };
            drop(files);
            self.sink.push(found);
            return false;
        }
        true
    }

    fn boutique(&mut self, node: &Node, place: Span) {
        let name = if self.upstream {
            match node.get("name") {
                Some(name) => nd_yaml::python_str(&name.value),
                None => "tool".to_owned(),
            }
        } else {
            let Some(value) = self.render(node) else {
                return;
            };
            let name = node.get("name").and_then(|name| self.render_text(name));
            let Some(name) = name.filter(|name| is_confined(name) && !name.contains('/')) else {
                let message = "the name of a descriptor must be a plain file name";
                self.error(codes::UNSAFE_PATH, node.span, message);
                return;
            };
            let text = match serde_json::to_string_pretty(&value) {
                Ok(text) => text + "\n",
                Err(problem) => {
                    let message = format!("the descriptor cannot be written as JSON: {problem}");
                    self.error(codes::RENDERED_TYPE, node.span, message);
                    return;
                }
            };
            self.staging.generated.push(GeneratedFile {
                path: format!("{name}.json"),
                contents: text,
            });
            name
        };
        self.emit(lines("mkdir -p /boutique"), Some(place));
        let op = Op::Copy {
            from: ContextKind::Context,
            sources: vec![format!("{name}.json")],
            dest: format!("/boutique/{name}.json"),
            owner: None,
        };
        self.emit(op, Some(place));
    }
}

/// Items of a list.
pub(super) fn items(value: &Value) -> impl Iterator<Item = Value> + use<> {
    value.try_iter().into_iter().flatten()
}
