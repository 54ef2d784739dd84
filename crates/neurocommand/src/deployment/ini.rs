//! The older `config.ini`, carried over into a deployment file.

use std::{collections::BTreeMap, fmt::Write as _};

use nd_report::{Diagnostic, FileId, Severity, Sink, Span};

use crate::{codes, json::shown};

/// What an older file says, as a deployment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// TOML, to be laid over the shipped deployment.
    pub text: String,
}

/// Where values of the older file go.
const PLACES: &[(&str, &str)] = &[
    ("deskenv", "desktop"),
    ("installdir", "prefix"),
    ("appmenu", "system_menu"),
    ("appdir", "applications_dir"),
    ("deskdir", "directories_dir"),
    ("edit", "edit_system_menu"),
    ("sh_prefix", "launch_prefix"),
    ("singularity_opts", "runtime_options"),
];

/// Reads a `config.ini` by the rules of its writer: `[neurodesk]` first, every other section laid over it,
/// `key = value` taken literally. Lines without a place go to `sink`.
pub fn migrate(text: &str, file: FileId, sink: &mut Sink) -> Migrated {
    let mut own: BTreeMap<&str, String> = BTreeMap::new();
    let mut others: BTreeMap<&str, String> = BTreeMap::new();
    let mut in_own = true;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let place = Span::new(file, start..start + line.trim_end().len());
        start += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            in_own = section == "neurodesk";
            continue;
        }
        let split = line
            .find(['=', ':'])
            .map(|at| (line[..at].trim(), line[at + 1..].trim()));
        let Some((key, value)) = split else {
            let message = format!("`{}` is no `key = value`", shown(line));
            sink.push(Diagnostic::new(codes::OLD_SETTING, Severity::Error, message).at(place, ""));
            continue;
        };
        let lower = key.to_lowercase();
        let Some((_, new)) = PLACES.iter().find(|(old, _)| *old == lower) else {
            let message = format!("`{}` has no place in a deployment file", shown(key));
            sink.push(
                Diagnostic::new(codes::OLD_SETTING, Severity::Warning, message).at(place, ""),
            );
            continue;
        };
        if value.is_empty() {
            continue;
        }
        let value = match *new {
            "edit_system_menu" => matches!(value, "y" | "Y" | "yes" | "true").to_string(),
            "desktop" => quoted(&value.to_lowercase()),
            _ => quoted(value),
        };
        let target = if in_own { &mut own } else { &mut others };
        target.insert(new, value);
    }
    own.extend(others);
    let mut text = "# Made from an older `config.ini`.\n".to_owned();
    for (_, key) in PLACES {
        if let Some(value) = own.get(key) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    Migrated { text }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::{Layer, SHIPPED, resolve};

    #[test]
    fn carries_over_what_has_a_place() {
        let old = "[neurodesk]\ninstalldir = /opt/local\ndeskenv = LXDE\nedit = n\nsh_prefix = module load a; x=\"1\"\nsingularity_opts =\n\n[site]\nedit=y\nappmenu=/etc/xdg/menus/lxde-applications.menu\nfoo = bar\n";
        let mut sink = Sink::new();
        let migrated = migrate(old, FileId(0), &mut sink);
        assert_eq!(sink.diagnostics().len(), 1);
        let file = FileId(0);
        let layers = [
            Layer {
                name: "shipped",
                file,
                text: SHIPPED,
            },
            Layer {
                name: "config.ini",
                file,
                text: &migrated.text,
            },
        ];
        let mut sink = Sink::new();
        let resolved = resolve(&layers, &mut sink);
        assert_eq!(sink.diagnostics(), [], "{}", migrated.text);
        assert_eq!(
            resolved.text("launch_prefix"),
            Some("module load a; x=\"1\"")
        );
        assert_eq!(
            resolved.text("system_menu"),
            Some("/etc/xdg/menus/lxde-applications.menu")
        );
        assert!(resolved.flag("edit_system_menu"));
        assert_eq!(resolved.text("runtime_options"), None);
    }
}
