//! What a template's text sees under the name `self`.

use std::{fmt, sync::Arc};

use indexmap::IndexMap;
use nd_instructions::{PackageManager, install_script};
use nd_jinja::{CallError, Enumerator, Object, State, Value, failure};

use super::{SoftwareMethod, SoftwareTemplate, shell, template::NO_MAPPING};
use crate::templates::{Installs, call_method, install_debs};

/// Arguments, addresses, and the installing functions.
pub(super) struct Software {
    pub(super) template: Arc<SoftwareTemplate>,
    pub(super) method: String,
    pub(super) arguments: IndexMap<String, String>,
    /// Absent while upstream has not bound it yet.
    pub(super) manager: Option<PackageManager>,
    pub(super) compat: bool,
}

impl fmt::Debug for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Software")
            .field("method", &self.method)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

/// A mapping of texts.
fn mapping(pairs: &[(String, String)]) -> Value {
    Value::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())))
}

/// Addresses by version; a version that is not listed gets the address of `*`.
#[derive(Debug)]
struct Addresses(Vec<(String, String)>);

impl Object for Addresses {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let find = |label: &str| self.0.iter().find(|(known, _)| known == label);
        let (_, url) = find(key).or_else(|| find("*"))?;
        Some(Value::from(url.as_str()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(
            self.0
                .iter()
                .map(|(key, _)| Value::from(key.as_str()))
                .collect(),
        )
    }
}

impl Software {
    fn method(&self) -> Option<&SoftwareMethod> {
        self.template.method(&self.method)
    }

    fn manager(&self) -> Result<PackageManager, CallError> {
        self.manager
            .ok_or_else(|| failure("packages cannot be installed from within `env`"))
    }

    fn versions(&self) -> Vec<String> {
        match self.method() {
            Some(method) if !method.urls.is_empty() => {
                method.urls.iter().map(|(label, _)| label.clone()).collect()
            }
            _ => vec!["ANY".to_owned()],
        }
    }
}

impl Installs for Software {
    fn listed(&self, key: &str) -> &[String] {
        self.method().map_or(&[], |method| method.packages(key))
    }

    fn install(&self, packages: &[String], options: Option<&str>) -> Result<String, CallError> {
        let manager = self.manager()?;
        Ok(if self.compat {
            install_script(manager, packages, options)
        } else {
            shell::install(manager, packages, options)
        })
    }

    fn install_dependencies(&self, options: Option<&str>) -> Result<String, CallError> {
        let manager = self.manager()?;
        let Some(method) = self.method() else {
            return Ok(String::new());
        };
        if method.dependencies.iter().any(|(key, _)| key == NO_MAPPING) {
            return Err(failure("`dependencies` is no mapping"));
        }
        let packages = method.packages(&manager.to_string());
        let mut text = String::new();
        if !packages.is_empty() {
            text = self.install(packages, options)?;
        }
        let mut debs = method.packages("debs").to_vec();
        if manager == PackageManager::Apt && !debs.is_empty() {
            debs.sort_unstable();
            if self.compat || !text.is_empty() {
                text.push('\n');
            }
            let mut commands = install_debs(&debs);
            if let Some(options) = options.filter(|_| !self.compat) {
                let usual = "apt-get install --yes -q ";
                commands = commands.replace(usual, &format!("apt-get install --yes {options} "));
            }
            text.push_str(&commands);
        }
        Ok(text)
    }

    fn is_more(&self) -> bool {
        !self.compat
    }
}

impl Object for Software {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        if let Some(text) = self.arguments.get(key) {
            return Some(Value::from(text.as_str()));
        }
        let method = self.method()?;
        match key {
            "urls" if method.name == "binaries" && self.compat => Some(mapping(&method.urls)),
            "urls" if method.name == "binaries" => {
                Some(Value::from_object(Addresses(method.urls.clone())))
            }
            "env" => Some(mapping(&method.env)),
            // Upstream shows Python's `None` here.
            "pkg_manager" => Some(match self.manager {
                Some(manager) => manager.to_string().into(),
                None => Value::from(()),
            }),
            "versions" => Some(self.versions().into_iter().collect()),
            "required_arguments" => Some(method.required.iter().map(String::as_str).collect()),
            "optional_arguments" => Some(mapping(&method.optional)),
            "arguments" => Some(method.arguments().collect()),
            "instructions" => Some(Value::from(method.instructions.as_str())),
            // Of our dialect: the checksum of what is behind the address of the version.
            "sha256" if !self.compat => {
                let version = self.arguments.get("version")?;
                let found = method.sha256.iter().find(|(known, _)| known == version);
                Some(found.map_or_else(|| Value::from(""), |(_, sum)| Value::from(sum.as_str())))
            }
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
        call_method(&**self, name, arguments)
    }
}
