//! Installation templates: a file for each program, expanded into instructions.
//!
//! A template has one or two methods (`binaries`, `source`); a method has arguments, download
//! addresses by version, dependencies by package manager, and directives whose text is rendered.

mod built_in;
mod expand;
mod file;
mod object;
mod words;

use std::{collections::BTreeMap, sync::Arc};

use indexmap::IndexMap;
use nd_instructions::Op;
use nd_report::{FileId, Sink};

pub(crate) use expand::rename_self;
use file::Template;
pub(crate) use object::{Installs, call_method, install_debs};
pub(crate) use words::{quote, split};

/// A set of templates: the built-in ones, and those that a caller adds.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    added: BTreeMap<String, Arc<Template>>,
    refused: BTreeMap<String, String>,
    without_built_in: bool,
}

/// What a template says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateInfo {
    /// Name that recipes use.
    pub name: String,
    /// Home page of the program.
    pub url: Option<String>,
    /// What its users must know before they use it, its licence above all.
    pub alert: Option<String>,
    /// Its methods: name, required arguments, arguments with defaults, versions with an address.
    pub methods: Vec<MethodInfo>,
}

/// What a method of a template takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodInfo {
    /// `binaries` or `source`.
    pub name: String,
    /// Arguments that a call must give.
    pub required: Vec<String>,
    /// Other arguments with their default values, as written.
    pub optional: Vec<(String, String)>,
    /// Versions that have an address; `*` stands for any.
    pub versions: Vec<String>,
}

/// How much a call may leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// Arguments and versions are checked, undefined values are errors, booleans are `true` and
    /// `false`, `rpm` and `dnf` are `yum`.
    Strict,
    /// As NeuroContainers' builder: undefined values are empty, nothing is checked, booleans are
    /// `True` and `False`, a package manager is known by its exact name.
    Compat,
}

/// Value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// Text; of a number or date, what Python's `str` gives.
    Text(String),
    /// A boolean.
    Bool(bool),
    /// A list; its items are words that need no splitting.
    List(Vec<String>),
}

impl From<&str> for Argument {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A call of a template.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The template.
    pub name: &'a str,
    /// Its arguments, `method` among them when given.
    pub arguments: &'a IndexMap<String, Argument>,
    /// Package manager as the recipe names it.
    pub package_manager: &'a str,
    /// `x86_64` or `aarch64`; the argument `arch` unless the call has one.
    pub architecture: &'a str,
    /// How much the call may leave open.
    pub strictness: Strictness,
}

/// What a call becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    /// The instructions in order.
    pub ops: Vec<Op>,
    /// What users of the program must know.
    pub alert: Option<String>,
}

/// What sort of problem a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// There is no such template.
    UnknownTemplate,
    /// The file that holds the template could not be read as one.
    UnreadableTemplate,
    /// The template has no such method.
    UnknownMethod,
    /// A required argument is missing.
    MissingArgument,
    /// The method has no such argument.
    UnknownArgument,
    /// No address is known for this version.
    UnknownVersion,
    /// The package manager is unknown, and packages are to be installed.
    PackageManager,
    /// The template's text cannot be rendered; something undefined, or a call of `raise`.
    Render,
    /// Rendering does not come to an end.
    Recursion,
}

/// A problem with a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What sort.
    pub kind: ProblemKind,
    /// The argument it is about; `name` for the template itself.
    pub argument: Option<String>,
    /// What is wrong: lower case, no final period, names the template.
    pub message: String,
    /// What would have been right, nearest first.
    pub valid: Vec<String>,
}

impl Templates {
    /// The built-in templates.
    pub fn new() -> Self {
        Self::default()
    }

    /// No templates at all.
    pub fn empty() -> Self {
        Self {
            without_built_in: true,
            ..Self::default()
        }
    }

    /// Adds the template that `bytes` hold under `name`, before a built-in one of that name.
    ///
    /// Gives false, with diagnostics in `sink`, if they hold none.
    pub fn add(&mut self, name: &str, bytes: &[u8], file: FileId, sink: &mut Sink) -> bool {
        match Template::parse(bytes, file, sink) {
            Some(template) => {
                self.added.insert(name.to_owned(), Arc::new(template));
                true
            }
            None => false,
        }
    }

    /// Makes every call of `name` a problem that gives `why`: for a file that should hold the
    /// template and does not, so that no other template of the name stands in for it.
    pub fn refuse(&mut self, name: &str, why: String) {
        self.added.remove(name);
        self.refused.insert(name.to_owned(), why);
    }

    /// Names of all templates, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.added.keys().cloned().collect();
        if !self.without_built_in {
            names.extend(built_in::names().map(str::to_owned));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What is known about a template.
    pub fn info(&self, name: &str) -> Option<TemplateInfo> {
        self.find(name).map(|template| template.info(name))
    }

    /// Expands a call, or tells everything that is wrong with it.
    pub fn expand(&self, call: &Call<'_>) -> Result<Expansion, Vec<Problem>> {
        expand::expand(self, call)
    }

    fn find(&self, name: &str) -> Option<Arc<Template>> {
        if let Some(template) = self.added.get(name) {
            return Some(template.clone());
        }
        if self.without_built_in {
            return None;
        }
        built_in::find(name)
    }
}
