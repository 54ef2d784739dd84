//! What templates of a recipe see: names, variables, declared files.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use indexmap::IndexMap;
use nd_jinja::{CallError, Object, ObjectRepr, Value, failure};

use crate::{
    resolved::{DeclaredFile, FileSource, Identity},
    text::with_digest,
};

/// Where declared files are mounted during a `run`.
pub(super) const CACHE_ROOT: &str = "/.neurocontainer-cache";

/// Where local contexts are mounted during a `run`.
pub(super) const LOCAL_ROOT: &str = "/.neurocontainer-local";

/// The state that rendering shares with compiling.
#[derive(Debug)]
pub(super) struct World {
    fixed: Fixed,
    state: Mutex<State>,
}

/// What stays the same for a whole compile.
#[derive(Debug)]
struct Fixed {
    identity: Identity,
    options: Value,
    parallel_jobs: u32,
    local_contexts: Vec<String>,
    upstream: bool,
    upstream_home: String,
}

/// What changes from directive to directive.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Variables.
    variables: HashMap<String, Value>,
    /// How often a scope was entered and not left.
    scopes: usize,
    /// What variables were before they were set inside a scope.
    replaced: Vec<(String, Option<Value>)>,
    /// Declared files by name.
    pub(super) files: IndexMap<String, DeclaredFile>,
    /// The `run` that is being rendered.
    pub(super) run: Option<RunMounts>,
    /// Whether a `copy` is being rendered, which takes declared files by their names.
    pub(super) copying: bool,
    /// Whether `get_file` was used where nothing is mounted.
    pub(super) misplaced: bool,
}

/// What a `run` asked for so far.
#[derive(Debug, Default)]
pub(super) struct RunMounts {
    /// Its cache id.
    pub(super) cache_id: String,
    /// Names of declared files, and what they are called inside the mount.
    pub(super) files: IndexMap<String, String>,
    /// The first declared file of each name inside the mount.
    pub(super) first: HashMap<String, String>,
    /// Keys of local contexts.
    pub(super) locals: Vec<String>,
}

/// A scope that was entered.
#[derive(Debug)]
#[must_use]
pub(super) struct Scope {
    /// How much had been replaced.
    mark: usize,
}

impl State {
    /// Sets a variable.
    pub(super) fn set(&mut self, name: String, value: Value) {
        if self.scopes == 0 {
            self.variables.insert(name, value);
            return;
        }
        let old = self.variables.insert(name.clone(), value);
        self.replaced.push((name, old));
    }

    /// Names of variables.
    pub(super) fn variable_names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// Enters a scope: variables that are set from here on are so until it is left.
    pub(super) fn enter(&mut self) -> Scope {
        self.scopes += 1;
        Scope {
            mark: self.replaced.len(),
        }
    }
}

impl Scope {
    /// Leaves the scope.
    pub(super) fn leave(self, state: &mut State) {
        state.scopes = state.scopes.saturating_sub(1);
        for (name, old) in state.replaced.drain(self.mark..).rev() {
            match old {
                Some(old) => state.variables.insert(name, old),
                None => state.variables.remove(&name),
            };
        }
    }
}

impl World {
    pub(super) fn new(
        identity: Identity,
        parallel_jobs: u32,
        local_contexts: Vec<String>,
        upstream: bool,
        upstream_home: String,
    ) -> Self {
        let options = Value::from_object(Namespace(identity.options.clone()));
        Self {
            fixed: Fixed {
                identity,
                options,
                parallel_jobs,
                local_contexts,
                upstream,
                upstream_home,
            },
            state: Mutex::default(),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.fixed.identity
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a bare name is always there, so that a variable of this name hides something.
    pub(super) fn is_builtin(name: &str) -> bool {
        matches!(
            name,
            "context" | "local" | "arch" | "parallel_jobs" | "get_file" | "has_local" | "get_local"
        )
    }

    fn get_file(&self, name: &str) -> Result<String, CallError> {
        let mut state = self.state();
        let state = &mut *state;
        let Some(file) = state.files.get(name) else {
            return Err(failure(format!("declared file not available: {name}")));
        };
        if state.copying && !self.fixed.upstream {
            return Ok(name.to_owned());
        }
        let Some(run) = &mut state.run else {
            state.misplaced = true;
            return Ok(format!("{CACHE_ROOT}/{}", file.guest_name));
        };
        let guest = if let Some(guest) = run.files.get(name) {
            guest.clone()
        } else {
            let mut guest = file.guest_name.clone();
            let place = self.place_of(file);
            let first = run
                .first
                .entry(guest.clone())
                .or_insert_with(|| name.to_owned());
            let other = state.files.get(first.as_str());
            if other.is_some_and(|other| self.place_of(other) != place) {
                guest = with_digest(&guest, &place);
            }
            run.files.insert(name.to_owned(), guest.clone());
            guest
        };
        Ok(format!("{CACHE_ROOT}/{}/{guest}", run.cache_id))
    }

    /// What tells a file from another one of the same guest name.
    fn place_of(&self, file: &DeclaredFile) -> String {
        let source = match file.source() {
            FileSource::Url(url) => url,
            _ => &file.name,
        };
        if !self.fixed.upstream {
            return source.to_owned();
        }
        // Upstream takes the path of the download in the user's cache.
        let digest = nd_names::Sha256::of(source);
        format!(
            "{}/.cache/neurocontainers/{digest}",
            self.fixed.upstream_home
        )
    }

    fn has_local(&self, key: &str) -> bool {
        self.fixed.local_contexts.iter().any(|known| known == key)
    }

    fn get_local(&self, key: &str) -> Result<String, CallError> {
        if !self.has_local(key) {
            return Err(failure(format!("local context not available: {key}")));
        }
        if let Some(run) = &mut self.state().run
            && !run.locals.iter().any(|known| known == key)
        {
            run.locals.push(key.to_owned());
        }
        Ok(format!("{LOCAL_ROOT}/{key}"))
    }
}

/// Names that templates use without a dot: variables first, then what is always there.
#[derive(Debug)]
pub(super) struct Names(pub(super) Arc<World>);

impl Object for Names {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Some(value) = self.0.state().variables.get(name) {
            return Some(value.clone());
        }
        match name {
            "context" | "local" => Some(Value::from_object(Context(Arc::clone(&self.0)))),
            "arch" | "parallel_jobs" | "get_file" | "has_local" | "get_local" => {
                builtin(&self.0, name)
            }
            _ => None,
        }
    }
}

/// What `context` and `local` are.
#[derive(Debug)]
struct Context(Arc<World>);

impl Object for Context {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        builtin(&self.0, name).or_else(|| self.0.state().variables.get(name).cloned())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<context>")
    }
}

/// What the context has whatever the recipe defines.
fn builtin(world: &Arc<World>, name: &str) -> Option<Value> {
    let Fixed {
        identity,
        options,
        parallel_jobs,
        ..
    } = &world.fixed;
    Some(match name {
        "name" => Value::from(identity.name.as_str()),
        "version" => Value::from(identity.version.as_str()),
        "original_version" => Value::from(identity.original_version.as_str()),
        "arch" => Value::from(identity.architecture.as_str()),
        "variant" => Value::from(identity.variant.as_str()),
        "parallel_jobs" => Value::from(*parallel_jobs),
        "options" => options.clone(),
        "get_file" => {
            let world = Arc::clone(world);
            Value::from_function(move |name: &str| world.get_file(name))
        }
        "has_local" => {
            let world = Arc::clone(world);
            Value::from_function(move |key: &str| world.has_local(key))
        }
        "get_local" => {
            let world = Arc::clone(world);
            Value::from_function(move |key: &str| world.get_local(key))
        }
        _ => return None,
    })
}

/// Options by name.
#[derive(Debug)]
struct Namespace(IndexMap<String, bool>);

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).map(|value| Value::from(*value))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("namespace(")?;
        for (at, (name, value)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={}", if *value { "True" } else { "False" })?;
        }
        f.write_str(")")
    }
}
