//! What a template's text sees under the name `self`.

use std::{fmt, str::FromStr as _, sync::Arc};

use indexmap::IndexMap;
use nd_instructions::{PackageManager, install_script};
use nd_jinja::{CallError, Enumerator, Kwargs, Object, State, Value, failure, from_args};

use super::{
    Strictness,
    expand::render,
    file::{Directive, Method, Template},
    words::{quote, split},
};

/// Arguments, addresses and the installing functions.
pub(super) struct Instance {
    pub(super) template: Arc<Template>,
    pub(super) method: String,
    pub(super) arguments: IndexMap<String, String>,
    pub(super) package_manager: String,
    pub(super) strictness: Strictness,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("method", &self.method)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(super) fn method(&self) -> Option<&Method> {
        self.template.method(&self.method)
    }

    /// All pairs of the environment, as written.
    fn environment(&self) -> Value {
        let mut all: IndexMap<&str, &str> = IndexMap::new();
        for directive in self.method().into_iter().flat_map(|m| &m.directives) {
            if let Directive::Environment(pairs) = directive {
                all.extend(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            }
        }
        Value::from_pairs(all)
    }

    fn listed(&self, key: &str) -> &[String] {
        self.method()
            .and_then(|method| method.dependencies.iter().find(|(known, _)| known == key))
            .map_or(&[], |(_, entries)| entries)
    }

    /// Dependencies of a package manager, rendered.
    fn dependencies(self: &Arc<Self>, key: &str) -> Result<Vec<String>, CallError> {
        self.listed(key)
            .iter()
            .map(|entry| {
                render(
                    entry,
                    &Value::from_dyn_object(self.clone()),
                    self.strictness,
                )
                .map_err(|problem| failure(problem.message))
            })
            .collect()
    }
}

impl Installs for Arc<Instance> {
    fn listed(&self, key: &str) -> &[String] {
        Instance::listed(self, key)
    }

    fn install(&self, packages: &[String], options: Option<&str>) -> Result<String, CallError> {
        let manager = match (self.package_manager.as_str(), self.strictness) {
            (name @ ("apt" | "yum"), _) | (name, Strictness::Strict) => {
                PackageManager::from_str(name).map_err(|problem| failure(problem.to_string()))?
            }
            ("rpm", Strictness::Compat) => PackageManager::Yum,
            (name, Strictness::Compat) => {
                return Err(failure(format!("unsupported package manager: {name}")));
            }
        };
        let mut packages = packages.to_vec();
        if self.strictness == Strictness::Strict {
            packages.sort_unstable();
            packages.dedup();
        }
        Ok(install_script(manager, &packages, options))
    }

    fn install_dependencies(&self, options: Option<&str>) -> Result<String, CallError> {
        let key = match (self.package_manager.as_str(), self.strictness) {
            ("rpm" | "dnf", Strictness::Strict) => "yum",
            (name, _) => name,
        };
        if self.strictness == Strictness::Strict
            && self
                .method()
                .is_some_and(|method| !method.dependencies.is_empty())
        {
            PackageManager::from_str(key).map_err(|problem| failure(problem.to_string()))?;
        }
        let packages = self.dependencies(key)?;
        let mut text = String::new();
        if !packages.is_empty() {
            text = self.install(&packages, options)?;
        }
        if key == "apt" {
            let mut debs = self.dependencies("debs")?;
            debs.sort_unstable();
            if !debs.is_empty() {
                text.push('\n');
                text.push_str(&install_debs(&debs));
            }
        }
        Ok(text)
    }
}

/// The functions that a template's text calls.
pub(crate) trait Installs {
    /// Packages of the method under a key of `dependencies`, as they are written.
    fn listed(&self, key: &str) -> &[String];

    /// Shell text that installs packages, with options in place of the usual ones.
    fn install(&self, packages: &[String], options: Option<&str>) -> Result<String, CallError>;

    /// Shell text that installs what the method depends on.
    fn install_dependencies(&self, options: Option<&str>) -> Result<String, CallError>;

    /// Whether it is more than upstream's: `words` and `quote` are there, and `install` heeds its
    /// options.
    fn is_more(&self) -> bool {
        true
    }
}

/// Calls one of them: `install`, `install_dependencies`, `dependencies`, `words` (an argument as a
/// shell splits it), `quote` (a word as a shell reads it whole).
pub(crate) fn call_method(
    object: &impl Installs,
    name: &str,
    arguments: &[Value],
) -> Result<Value, CallError> {
    match name {
        "install" => {
            let (packages, opts, named): (Value, Option<Value>, Kwargs) = from_args(arguments)?;
            let opts = options(opts, &named)?.filter(|_| object.is_more());
            let packages: Vec<String> = packages.try_iter()?.map(|item| item.to_string()).collect();
            Ok(object.install(&packages, opts.as_deref())?.into())
        }
        "install_dependencies" => {
            let (opts, named): (Option<Value>, Kwargs) = from_args(arguments)?;
            let opts = options(opts, &named)?;
            Ok(object.install_dependencies(opts.as_deref())?.into())
        }
        "dependencies" => {
            let (key,): (&str,) = from_args(arguments)?;
            Ok(object.listed(key).iter().cloned().collect())
        }
        "words" if object.is_more() => {
            let (text,): (&str,) = from_args(arguments)?;
            let words =
                split(text).ok_or_else(|| failure(format!("`{text}` has an open quote")))?;
            Ok(words.into_iter().collect())
        }
        "quote" if object.is_more() => {
            let (word,): (&str,) = from_args(arguments)?;
            Ok(quote(word).into())
        }
        _ => Err(nd_jinja::unknown_method()),
    }
}

/// Commands that install packages from their addresses; they need `curl`.
pub(crate) fn install_debs(debs: &[String]) -> String {
    let mut lines = Vec::new();
    for deb in debs {
        lines.push(r#"_reproenv_tmppath="$(mktemp -t tmp.XXXXXXXXXX.deb)""#.to_owned());
        lines.push(format!(
            r#"curl -fsSL --retry 5 -o "${{_reproenv_tmppath}}" {deb}"#
        ));
        lines.push(r#"apt-get install --yes -q "${_reproenv_tmppath}""#.to_owned());
        lines.push(r#"rm "${_reproenv_tmppath}""#.to_owned());
    }
    lines.push("apt-get update -qq".to_owned());
    lines.push("apt-get install --yes --quiet --fix-missing".to_owned());
    lines.push("rm -rf /var/lib/apt/lists/*".to_owned());
    lines.join("\n")
}

/// The options that an installing function was given, by position or as `opts`.
fn options(positional: Option<Value>, named: &Kwargs) -> Result<Option<String>, CallError> {
    let given = match positional {
        Some(value) => Some(value),
        None if named.has("opts") => Some(named.get::<Value>("opts")?),
        None => None,
    };
    named.assert_all_used()?;
    Ok(given
        .filter(|value| !value.is_none())
        .map(|value| value.to_string()))
}

impl Object for Instance {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        if let Some(text) = self.arguments.get(key) {
            return Some(Value::from(text.as_str()));
        }
        match key {
            "urls" => Some(
                self.method()
                    .and_then(|method| method.urls.clone())
                    .unwrap_or_else(|| Value::from_pairs(std::iter::empty::<(String, Value)>())),
            ),
            "env" => Some(self.environment()),
            "pkg_manager" => Some(Value::from(match self.package_manager.as_str() {
                "rpm" | "dnf" if self.strictness == Strictness::Strict => "yum",
                name => name,
            })),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        name: &str,
        arguments: &[Value],
    ) -> Result<Value, CallError> {
        call_method(self, name, arguments)
    }
}
