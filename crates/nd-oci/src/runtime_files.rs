//! What Apptainer and Singularity expect inside an image: environment, run script, labels, and the
//! places at which they mount things.
//!
//! These files say in the runtimes' own form what the OCI configuration says. They are no part of
//! the tree's identity (rule L1 of the digest), since every builder of SIF files writes them.

use nd_rootfs::{Added, TreePath};
use oci_spec::image::ImageConfiguration;
use serde_json::{Map, Value, json};

/// Directories that whoever runs an image mounts things at; none is part of a tree's identity.
const MOUNT_POINTS: [(&str, u16); 9] = [
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var", 0o755),
    ("var/tmp", 0o1777),
];
/// Files that whoever runs an image mounts things at.
const MOUNT_FILES: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];

/// After the script of this name, and only after it, Apptainer sets the variables that its caller
/// hands over (`APPTAINERENV_*`, `--env`).
const BASE: &str = "#!/bin/sh\n# the variables of the caller come after this\n";
/// A script that starts nothing.
const START: &str = "#!/bin/sh\n";

/// What an OCI configuration says to a runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Variables of programs, in the order in which they are set.
    pub env: Vec<(String, String)>,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// Labels, in the order in which they are written.
    pub labels: Vec<(String, String)>,
    /// Architecture in Go's spelling.
    pub architecture: String,
    /// Build time, RFC 3339, where it is known.
    pub built: Option<String>,
    /// The definition, in Apptainer's language.
    pub definition: String,
}

impl RuntimeConfig {
    /// What a configuration says; labels are sorted by name.
    pub fn of(config: &ImageConfiguration) -> Self {
        let inner = config.config().clone().unwrap_or_default();
        let pairs = inner.env().iter().flatten();
        let mut labels: Vec<(String, String)> = inner
            .labels()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        labels.sort();
        Self {
            env: pairs
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            entrypoint: inner.entrypoint().clone().unwrap_or_default(),
            cmd: inner.cmd().clone().unwrap_or_default(),
            labels,
            architecture: config.architecture().to_string(),
            built: config.created().clone(),
            definition: String::new(),
        }
    }
}

/// The same as runtimes read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeFiles {
    definition: String,
    environment: String,
    runscript: String,
    labels: Map<String, Value>,
}

impl RuntimeFiles {
    /// The files for a configuration. Values never become code of a shell; variables that no shell can
    /// hold are left out.
    pub fn of(config: &RuntimeConfig) -> Self {
        Self {
            definition: config.definition.clone(),
            environment: environment(&config.env),
            runscript: runscript(&config.entrypoint, &config.cmd),
            labels: labels(config),
        }
    }

    /// What an image needs besides its own tree: these files below `/.singularity.d`, and mount points.
    pub fn added(&self) -> Vec<(TreePath, Added)> {
        let mut out = Vec::new();
        let mut add = |path: &str, added| {
            // All of these are constants in normal form.
            out.extend(TreePath::new(path).ok().map(|path| (path, added)));
        };
        for (folder, mode) in MOUNT_POINTS {
            add(folder, Added::Directory(mode));
        }
        for file in MOUNT_FILES {
            add(file, Added::Mark);
        }
        for (path, mode, text) in [
            ("Singularity", 0o644, self.definition.clone()),
            (
                "env/10-docker2singularity.sh",
                0o755,
                self.environment.clone(),
            ),
            (
                "env/90-environment.sh",
                0o755,
                "#!/bin/sh\n# Custom environment shell code should follow\n".into(),
            ),
            ("env/99-base.sh", 0o755, BASE.into()),
            (
                "labels.json",
                0o644,
                pretty(&Value::Object(self.labels.clone())),
            ),
            ("runscript", 0o755, self.runscript.clone()),
            ("startscript", 0o755, START.into()),
        ] {
            let file = Added::File(text.into_bytes(), mode);
            add(&format!(".singularity.d/{path}"), file);
        }
        out
    }

    /// The document that `apptainer inspect` prints without opening the image.
    pub fn inspect_metadata(&self) -> String {
        pretty(&json!({
            "data": { "attributes": {
                "deffile": self.definition,
                "environment": { "/.singularity.d/env/10-docker2singularity.sh": self.environment },
                "labels": self.labels,
                "runscript": self.runscript,
                "startscript": START,
            } },
            "type": "container",
        }))
    }
}

/// `PATH` is set whatever the host has; anything else only where the user has not set it.
fn environment(env: &[(String, String)]) -> String {
    let mut out = String::from("#!/bin/sh\n");
    for (name, value) in env {
        if !is_name(name) {
            continue;
        }
        let value = double_quoted(value);
        if name == "PATH" {
            out.extend(["export PATH=\"", &value, "\"\n"]);
        } else {
            out.extend(["export ", name, "=\"${", name, ":-\"", &value, "\"}\"\n"]);
        }
    }
    out
}

fn runscript(entrypoint: &[String], cmd: &[String]) -> String {
    let words = |argv: &[String]| {
        argv.iter()
            .map(|word| single_quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let entry = words(entrypoint);
    let mut out = String::from("#!/bin/sh\n");
    if !cmd.is_empty() {
        out.extend(["[ $# -gt 0 ] || set -- ", &words(cmd), "\n"]);
    } else if entry.is_empty() {
        out.push_str("[ $# -gt 0 ] || set -- /bin/sh\n");
    }
    if entry.is_empty() {
        out.push_str("exec \"$@\"\n");
    } else {
        out.extend(["exec ", &entry, " \"$@\"\n"]);
    }
    out
}

fn labels(config: &RuntimeConfig) -> Map<String, Value> {
    let own = config.labels.iter().cloned();
    let built = config.built.as_deref();
    let usual = [
        (
            "org.label-schema.build-arch",
            Some(config.architecture.as_str()),
        ),
        ("org.label-schema.build-date", built),
        ("org.label-schema.schema-version", Some("1.0")),
    ];
    let usual = usual
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())));
    own.chain(usual)
        .map(|(key, value)| (key, Value::String(value)))
        .collect()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Whether a shell can hold a variable of this name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn double_quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | '"' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn single_quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RuntimeConfig {
        RuntimeConfig {
            architecture: "amd64".into(),
            ..RuntimeConfig::default()
        }
    }

    #[test]
    fn values_never_become_shell_code() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let files = RuntimeFiles::of(&RuntimeConfig {
            env: vec![
                pair("A", "$(touch x) `y` \"q\" \\"),
                pair("B;rm", "no variable of that name"),
            ],
            entrypoint: vec!["/bin/it's".into()],
            ..config()
        });
        let env = &files.environment;
        assert!(
            env.contains(r#"export A="${A:-"\$(touch x) \`y\` \"q\" \\"}""#),
            "{env}"
        );
        assert!(!env.contains("rm"), "{env}");
        assert!(files.runscript.contains(r"exec '/bin/it'\''s'"));
    }

    #[test]
    fn the_run_script_follows_entry_point_and_command() {
        let script = |entrypoint: &[&str], cmd: &[&str]| {
            let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
            let (entrypoint, cmd) = (words(entrypoint), words(cmd));
            RuntimeFiles::of(&RuntimeConfig {
                entrypoint,
                cmd,
                ..config()
            })
            .runscript
        };
        assert_eq!(
            script(&[], &[]),
            "#!/bin/sh\n[ $# -gt 0 ] || set -- /bin/sh\nexec \"$@\"\n"
        );
        assert_eq!(
            script(&[], &["bash"]),
            "#!/bin/sh\n[ $# -gt 0 ] || set -- 'bash'\nexec \"$@\"\n"
        );
        assert_eq!(
            script(&["/neurodocker/startup.sh"], &[]),
            "#!/bin/sh\nexec '/neurodocker/startup.sh' \"$@\"\n"
        );
    }
}
