//! What Apptainer and Singularity expect inside an image: environment, run script, labels.
//!
//! These files say in the runtimes' own form what the OCI configuration says. They are no part of
//! the tree's identity (rule L1 of the digest), since every builder of SIF files writes them.

use nd_builder::ImageState;
use serde_json::{Map, Value, json};

/// After the script of this name, and only after it, Apptainer sets the variables that its caller
/// hands over (`APPTAINERENV_*`, `--env`).
const BASE: &str = "#!/bin/sh\n# the variables of the caller come after this\n";

/// Inputs of the generated files.
#[derive(Debug)]
pub(super) struct RuntimeFiles<'a> {
    /// The image's configuration.
    pub(super) state: &'a ImageState,
    /// The definition, as Apptainer's language has it.
    pub(super) definition: &'a str,
    /// Architecture in Go's spelling.
    pub(super) arch: &'a str,
    /// Build time, RFC 3339.
    pub(super) built: &'a str,
}

/// One generated file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RuntimeFile {
    /// Path below `.singularity.d`.
    pub(super) path: &'static str,
    /// Whether it is a program.
    pub(super) executable: bool,
    /// Its content.
    pub(super) content: String,
}

impl RuntimeFiles<'_> {
    /// All generated files, in tree order.
    pub(super) fn files(&self) -> Vec<RuntimeFile> {
        let file = |path, executable, content| RuntimeFile {
            path,
            executable,
            content,
        };
        vec![
            file("Singularity", false, self.definition.to_owned()),
            file("env/10-docker2singularity.sh", true, self.environment()),
            file(
                "env/90-environment.sh",
                true,
                "#!/bin/sh\n# Custom environment shell code should follow\n".into(),
            ),
            file("env/99-base.sh", true, BASE.into()),
            file("labels.json", false, pretty(&Value::Object(self.labels()))),
            file("runscript", true, self.runscript()),
            file("startscript", true, "#!/bin/sh\n".into()),
        ]
    }

    /// The document that `apptainer inspect` prints without opening the image.
    pub(super) fn inspect_metadata(&self) -> String {
        pretty(&json!({
            "data": { "attributes": {
                "deffile": self.definition,
                "environment": { "/.singularity.d/env/10-docker2singularity.sh": self.environment() },
                "labels": self.labels(),
                "runscript": self.runscript(),
                "startscript": "#!/bin/sh\n",
            } },
            "type": "container",
        }))
    }

    /// `PATH` is set whatever the host has; anything else only where the user has not set it.
    fn environment(&self) -> String {
        let mut out = String::from("#!/bin/sh\n");
        for (name, value) in self.state.run_env() {
            if !is_name(&name) {
                continue;
            }
            let value = double_quoted(&value);
            if name == "PATH" {
                out.extend(["export PATH=\"", &value, "\"\n"]);
            } else {
                out.extend(["export ", &name, "=\"${", &name, ":-\"", &value, "\"}\"\n"]);
            }
        }
        out
    }

    fn runscript(&self) -> String {
        let words = |argv: &[String]| {
            argv.iter()
                .map(|word| single_quoted(word))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let entry = words(&self.state.entrypoint);
        let mut out = String::from("#!/bin/sh\n");
        if !self.state.cmd.is_empty() {
            out.extend(["[ $# -gt 0 ] || set -- ", &words(&self.state.cmd), "\n"]);
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

    fn labels(&self) -> Map<String, Value> {
        let mut labels: Map<String, Value> = self
            .state
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), Value::String(value.clone())))
            .collect();
        for (key, value) in [
            ("org.label-schema.build-arch", self.arch),
            ("org.label-schema.build-date", self.built),
            ("org.label-schema.schema-version", "1.0"),
        ] {
            labels.insert(key.into(), value.into());
        }
        labels
    }
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

    fn files(state: &ImageState) -> Vec<RuntimeFile> {
        RuntimeFiles {
            state,
            definition: "Bootstrap: scratch\n",
            arch: "amd64",
            built: "2026-01-01T00:00:00Z",
        }
        .files()
    }

    fn content(state: &ImageState, path: &str) -> String {
        files(state)
            .into_iter()
            .find(|f| f.path == path)
            .unwrap()
            .content
    }

    #[test]
    fn values_never_become_shell_code() {
        let mut state = ImageState::default();
        state
            .env
            .insert("A".into(), "$(touch x) `y` \"q\" \\".into());
        state
            .env
            .insert("B;rm".into(), "no variable of that name".into());
        state.entrypoint = vec!["/bin/it's".into()];
        let env = content(&state, "env/10-docker2singularity.sh");
        assert!(
            env.contains(r#"export A="${A:-"\$(touch x) \`y\` \"q\" \\"}""#),
            "{env}"
        );
        assert!(!env.contains("rm"), "{env}");
        assert!(content(&state, "runscript").contains(r"exec '/bin/it'\''s'"));
    }

    #[test]
    fn the_run_script_follows_entry_point_and_command() {
        let mut state = ImageState::default();
        assert!(content(&state, "runscript").contains("set -- /bin/sh"));
        state.cmd = vec!["bash".into()];
        assert_eq!(
            content(&state, "runscript"),
            "#!/bin/sh\n[ $# -gt 0 ] || set -- 'bash'\nexec \"$@\"\n"
        );
        state.entrypoint = vec!["/neurodocker/startup.sh".into()];
        state.cmd.clear();
        assert_eq!(
            content(&state, "runscript"),
            "#!/bin/sh\nexec '/neurodocker/startup.sh' \"$@\"\n"
        );
    }
}
