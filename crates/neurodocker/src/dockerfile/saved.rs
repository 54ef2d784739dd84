//! The specification that an image carries of itself.

use std::str::FromStr as _;

use nd_instructions::{Base, Definition, EnvPair, Op, PackageManager, Script, install_script};
use nd_report::write_ascii_json;
use serde_json::{Map, Value, json};

use super::{RenderError, RenderOptions, line::normalise_run, mount_flag};

/// The manager that installs, or an error when nobody knows it.
pub(super) fn installer(
    definition: &Definition,
    options: &RenderOptions,
) -> Result<PackageManager, RenderError> {
    match options.package_manager.as_deref() {
        None => Ok(definition.package_manager),
        Some(name) => {
            // Only these three names are known, `dnf` is not.
            let known = matches!(name, "apt" | "yum" | "rpm");
            PackageManager::from_str(name)
                .ok()
                .filter(|_| known)
                .ok_or_else(|| RenderError::PackageManager { name: name.into() })
        }
    }
}

/// Text of a `Run` as the compatible mode stores it: commands follow a space and are joined.
pub(super) fn stored(script: &Script) -> String {
    match script {
        Script::Commands(commands) => format!(" {}", commands.join(" \\\n && ")),
        Script::Lines(text) => text.clone(),
    }
}

/// Mounts and command of a `Run` in one text, as both the instruction and the record have it.
pub(super) fn stored_with_mounts(op: &Op) -> Option<String> {
    let Op::Run { script, mounts, .. } = op else {
        return None;
    };
    let mut text = mounts.iter().map(mount_flag).collect::<Vec<_>>().join(" ");
    text.push_str(&stored(script));
    Some(text)
}

fn map_of(pairs: &[EnvPair]) -> Value {
    let mut map = Map::new();
    for pair in pairs {
        map.insert(pair.name.clone(), pair.value.clone().into());
    }
    Value::Object(map)
}

/// The specification of a definition's last stage: what NeuroContainers' builder keeps in
/// `/.reproenv.json`, duplicates included (an installation is recorded twice, a copy has its
/// destination among its sources).
pub fn saved_specification(
    definition: &Definition,
    options: &RenderOptions,
) -> Result<Value, RenderError> {
    let mut records = Vec::new();
    let mut record = |name: &str, kwds: Value| records.push(json!({"name": name, "kwds": kwds}));
    if let Some(stage) = definition.stages.last() {
        let base = match &stage.base {
            Base::Image(image) | Base::Stage(image) => image.as_str(),
            Base::Scratch => "scratch",
        };
        record("from_", json!({"base_image": base}));
        for instruction in &stage.body {
            match &instruction.op {
                op @ Op::Run { .. } => {
                    record("run", json!({"command": stored_with_mounts(op)}));
                }
                Op::Install {
                    packages,
                    options: opts,
                } => {
                    record("install", json!({"pkgs": packages, "opts": opts}));
                    let manager = installer(definition, options)?;
                    let command = install_script(manager, packages, opts.as_deref());
                    record("run", json!({"command": normalise_run(&command)}));
                }
                Op::Env { pairs } => {
                    if !pairs.is_empty() {
                        record("env", map_of(pairs));
                    }
                }
                Op::Copy { sources, dest, .. } => {
                    let mut sources = sources.clone();
                    sources.push(dest.clone());
                    record("copy", json!({"source": sources, "destination": dest}));
                }
                Op::Workdir { path } => record("workdir", json!({"path": path})),
                Op::User { user } => record("user", json!({"user": user})),
                Op::Entrypoint { argv } => record("entrypoint", json!({"args": argv})),
                Op::Label { pairs } => record("label", map_of(pairs)),
                Op::Arg { name, default } => {
                    record("arg", json!({"key": name, "value": default}));
                }
                _ => return Err(RenderError::UnknownInstruction),
            }
        }
    }
    let manager = match &options.package_manager {
        Some(name) => name.clone(),
        None => definition.package_manager.to_string(),
    };
    Ok(json!({
        "pkg_manager": manager,
        "existing_users": ["root"],
        "instructions": records,
    }))
}

/// The command that writes the specification into an image, quoted in the way of
/// NeuroContainers' builder (which `printf` undoes but for parentheses).
pub fn save_command(specification: &Value) -> String {
    let mut json = String::new();
    write_pretty(specification, 0, &mut json);
    let mut out = String::with_capacity(json.len() + json.len() / 4);
    out.push_str("printf '");
    for c in json.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '(' => out.push_str("\\("),
            ')' => out.push_str("\\)"),
            '\n' => out.push_str(" \\\n"),
            '%' => out.push_str("%%"),
            '\'' => out.push_str("'\"'\"'"),
            _ => out.push(c),
        }
    }
    out.push_str("' > /.reproenv.json");
    out
}

/// Python's `json.dumps(value, indent=2)`: ASCII alone.
fn write_pretty(value: &Value, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                write_pretty(item, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (index, (key, item)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                write_ascii_json(key, out);
                out.push_str(": ");
                write_pretty(item, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        Value::String(text) => write_ascii_json(text, out),
        other => out.push_str(&other.to_string()),
    }
}
