//! The configuration of an image while its instructions are followed.

use indexmap::IndexMap;
use nd_oci::RuntimeConfig;
use oci_spec::image::{Config, ImageConfiguration};
use serde::{Deserialize, Serialize};

/// Search path of programs where an image names none, as container engines assume it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an image's configuration says to those who run it (OCI image specification, `config`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageState {
    /// Environment in order of definition.
    pub env: IndexMap<String, String>,
    /// Working directory; empty for `/`.
    pub cwd: String,
    /// `user[:group]`; empty for root.
    pub user: String,
    /// Program of the image.
    pub entrypoint: Vec<String>,
    /// Its default arguments.
    pub cmd: Vec<String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
}

impl ImageState {
    /// What the configuration of an existing image says.
    pub fn of(config: &ImageConfiguration) -> Self {
        let Some(config) = config.config() else {
            return Self::default();
        };
        let mut labels: IndexMap<_, _> = config
            .labels()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        labels.sort_keys();
        Self {
            env: config
                .env()
                .iter()
                .flatten()
                .map(|pair| match pair.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    None => (pair.clone(), String::new()),
                })
                .collect(),
            cwd: config.working_dir().clone().unwrap_or_default(),
            user: config.user().clone().unwrap_or_default(),
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            cmd: config.cmd().clone().unwrap_or_default(),
            labels,
        }
    }

    /// The same as the configuration of an image says it. Equal states give equal bytes.
    pub fn config(&self) -> Config {
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        let mut config = Config::default();
        let env = self.run_env().into_iter().map(|(k, v)| format!("{k}={v}"));
        config.set_env(Some(env.collect()));
        config.set_working_dir(Some(self.directory().to_owned()));
        config.set_user((!self.user.is_empty()).then(|| self.user.clone()));
        config.set_entrypoint(some(&self.entrypoint));
        config.set_cmd(some(&self.cmd));
        if !self.labels.is_empty() {
            config.set_labels(Some(self.labels.clone().into_iter().collect()));
        }
        config
    }

    /// The working directory, absolute.
    pub fn directory(&self) -> &str {
        if self.cwd.is_empty() { "/" } else { &self.cwd }
    }

    /// Resolves `path` against the working directory; the result is absolute, without `.`, `..`
    /// and repeated slashes, and keeps a final slash.
    pub fn absolute(&self, path: &str) -> String {
        let joined = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{}/{path}", self.directory())
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let slash = (joined.ends_with('/') || joined.ends_with("/.")) && !parts.is_empty();
        format!("/{}{}", parts.join("/"), if slash { "/" } else { "" })
    }

    /// What runtimes need to know. `architecture` is in Go's spelling, `built` is RFC 3339.
    pub fn runtime_config(
        &self,
        architecture: impl Into<String>,
        built: Option<String>,
        definition: impl Into<String>,
    ) -> RuntimeConfig {
        let labels = self.labels.iter();
        RuntimeConfig {
            env: self.run_env(),
            entrypoint: self.entrypoint.clone(),
            cmd: self.cmd.clone(),
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
            architecture: architecture.into(),
            built,
            definition: definition.into(),
        }
    }

    /// The environment that a program of the image gets, `PATH` always among it.
    pub fn run_env(&self) -> Vec<(String, String)> {
        let mut env: Vec<_> = self
            .env
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if !self.env.contains_key("PATH") {
            env.push(("PATH".into(), DEFAULT_PATH.into()));
        }
        env
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        let state = ImageState {
            cwd: "/opt/code".into(),
            ..ImageState::default()
        };
        for (given, wanted) in [
            ("x", "/opt/code/x"),
            ("./x/", "/opt/code/x/"),
            ("../../../etc", "/etc"),
            ("/a//b/./c", "/a/b/c"),
            (".", "/opt/code/"),
            ("/", "/"),
        ] {
            assert_eq!(state.absolute(given), wanted, "{given}");
        }
    }
}
