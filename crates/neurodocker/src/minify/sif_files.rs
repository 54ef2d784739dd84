//! What Apptainer expects in an image, from what an OCI configuration says.

use nd_builder::ImageState;
use serde_json::{Map, Value};

/// Directories and files that a runtime mounts things at.
pub(super) const MOUNT_POINTS: &[(&str, u16)] = &[
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
pub(super) const MOUNT_FILES: &[&str] = &["etc/hosts", "etc/resolv.conf"];

/// Files below `.singularity.d`: path, mode, content.
pub(super) fn files(state: &ImageState) -> Vec<(&'static str, u16, String)> {
    let labels: Map<String, Value> = state
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), Value::String(value.clone())))
        .collect();
    let labels = format!("{:#}\n", Value::Object(labels));
    vec![
        ("env/10-docker2singularity.sh", 0o755, environment(state)),
        // The runtime sets the variables of its caller after this script alone.
        ("env/99-base.sh", 0o755, "#!/bin/sh\n".into()),
        ("labels.json", 0o644, labels),
        ("runscript", 0o755, runscript(state)),
        ("startscript", 0o755, "#!/bin/sh\n".into()),
    ]
}

/// `PATH` is set whatever the host has, anything else where the user has not set it.
fn environment(state: &ImageState) -> String {
    let mut out = String::from("#!/bin/sh\n");
    for (name, value) in state.run_env() {
        let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if name.is_empty() || !is_name {
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

fn runscript(state: &ImageState) -> String {
    let words = |argv: &[String]| {
        let quoted: Vec<_> = argv
            .iter()
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        quoted.join(" ")
    };
    let default = match (&state.cmd[..], &state.entrypoint[..]) {
        ([], []) => "/bin/sh".to_owned(),
        (cmd, _) => words(cmd),
    };
    let mut out = String::from("#!/bin/sh\n");
    if !default.is_empty() {
        out.extend(["[ $# -gt 0 ] || set -- ", &default, "\n"]);
    }
    out.push_str("exec ");
    if !state.entrypoint.is_empty() {
        out.extend([&words(&state.entrypoint), " "]);
    }
    out.push_str("\"$@\"\n");
    out
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
