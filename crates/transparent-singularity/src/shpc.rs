//! Entries of Singularity Registry HPC: written for what is installed, and read to install.

use std::{collections::BTreeMap, fmt::Write as _, io, path::Path};

use crate::{CommandName, InstallRecord, Placement, Site};

/// Longer entries are none.
const LONGEST: usize = 1 << 20;

/// `container.yaml` for an installed image: SHPC gives the same image the same commands.
pub fn container_yaml(record: &InstallRecord) -> String {
    let name = record.name();
    let label = |key: &str| {
        let value = record
            .labels
            .get(&format!("org.opencontainers.image.{key}"));
        let value = value.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        value.filter(|value| !value.is_empty())
    };
    let tag = format!("{}_{}", name.version, name.date);
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key}: {}", scalar(value));
    };
    let digest = if let (Placement::File, Some(sha256)) = (record.placement, &record.source.sha256)
    {
        let digest = format!("sha256:{sha256}");
        line("path", &format!("{digest}.sif"));
        digest
    } else {
        line("docker", &format!("ghcr.io/neurodesk/{}", name.app));
        tag.clone()
    };
    line(
        "url",
        &label("url").unwrap_or_else(|| "https://neurodesk.org".into()),
    );
    line(
        "maintainer",
        &label("authors").unwrap_or_else(|| "@neurodesk".into()),
    );
    let description = label("description");
    line(
        "description",
        &description.unwrap_or_else(|| format!("{} {}", name.app, name.version)),
    );
    for key in ["latest", "tags"] {
        let _ = writeln!(out, "{key}:\n  {}: {}", scalar(&tag), scalar(&digest));
    }
    out += "aliases:\n";
    for command in &record.commands {
        let _ = writeln!(out, "  {}: {}", scalar(command), scalar(command));
    }
    out
}

/// Writes the entry of an installed image into a registry that is a folder: `neurodesk/TOOL/` with
/// `container.yaml` and the image under the name that the entry gives it. Gives the entry's name.
pub fn write_entry(site: &Site, record: &InstallRecord, registry: &Path) -> io::Result<String> {
    let entry = format!("neurodesk/{}", record.name().app);
    let folder = registry.join(&entry);
    fs_err::create_dir_all(&folder)?;
    if let (Placement::File, Some(sha256)) = (record.placement, &record.source.sha256) {
        let image = folder.join(format!("sha256:{sha256}.sif"));
        if fs_err::symlink_metadata(&image).is_err() {
            let part = folder.join(format!(".{sha256}.part"));
            let _ = fs_err::remove_file(&part);
            crate::place_image(&site.image(record), &part)?;
            fs_err::rename(&part, &image)?;
        }
    }
    nd_host::write_atomic(
        &folder.join("container.yaml"),
        container_yaml(record).as_bytes(),
    )?;
    Ok(entry)
}

/// A scalar in double quotes, as JSON and YAML both read it.
fn scalar(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShpcEntry {
    /// `docker`: registry and repository.
    pub docker: Option<String>,
    /// `path`: an image file beside the entry.
    pub path: Option<String>,
    /// `latest`: its tag and digest.
    pub latest: Option<(String, String)>,
    /// `tags`.
    pub tags: BTreeMap<String, String>,
    /// `aliases`: commands, and what each is in the image.
    pub aliases: BTreeMap<CommandName, String>,
}

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the entry is not understood: {problem}")]
pub struct ShpcError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: &'static str,
}

impl ShpcEntry {
    /// Reads the entries that registries hold: keys with plain or quoted scalars, and mappings of such
    /// one level below. This is not YAML; what is not of this form and stands in a key that is needed
    /// here is refused.
    pub fn parse(text: &str) -> Result<Self, ShpcError> {
        let mut out = Self::default();
        let mut section = String::new();
        if text.len() > LONGEST {
            return Err(ShpcError {
                line: 0,
                problem: "it is too long",
            });
        }
        for (at, raw) in text.lines().enumerate() {
            let fail = |problem| ShpcError {
                line: at + 1,
                problem,
            };
            let trimmed = raw.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') || trimmed == "---" {
                continue;
            }
            // A list may stand at the margin of its key.
            let nested = raw.starts_with([' ', '\t', '-']);
            let needed = ["docker", "path", "latest", "tags", "aliases"];
            if nested && !needed.contains(&section.as_str()) {
                continue;
            }
            let Some((key, value)) = pair(trimmed) else {
                if nested || needed.iter().any(|key| trimmed.starts_with(key)) {
                    return Err(fail("not `KEY: VALUE`"));
                }
                continue;
            };
            if !nested {
                section.clone_from(&key);
                match key.as_str() {
                    "docker" => out.docker = Some(value),
                    "path" => out.path = Some(value),
                    _ => {}
                }
                continue;
            }
            match section.as_str() {
                "latest" => out.latest = Some((key, value)),
                "tags" => drop(out.tags.insert(key, value)),
                "aliases" => {
                    let name = CommandName::from_bytes(key.as_bytes());
                    let name = name.map_err(|_| fail("no name of a command"))?;
                    out.aliases.insert(name, value);
                }
                _ => return Err(fail("nothing belongs here")),
            }
        }
        Ok(out)
    }
}

/// `KEY: VALUE` with plain or quoted scalars on one line.
fn pair(line: &str) -> Option<(String, String)> {
    let (key, rest) = word(line, true)?;
    let rest = rest.trim_start().strip_prefix(':')?;
    let (value, rest) = word(rest.trim_start(), false)?;
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some((key, value))
}

fn word(text: &str, key: bool) -> Option<(String, &str)> {
    if text.starts_with('"') {
        let mut read = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let value = read.next()?.ok()?;
        return Some((value, &text[read.byte_offset()..]));
    }
    if let Some(rest) = text.strip_prefix('\'') {
        let end = rest
            .find('\'')
            .filter(|end| !rest[end + 1..].starts_with('\''))?;
        return Some((rest[..end].to_owned(), &rest[end + 1..]));
    }
    if text.starts_with(['[', '{', '&', '*', '!', '|', '>', '%', '@', '`', '-']) {
        return None;
    }
    let end = if key {
        text.find(": ")
            .or_else(|| text.strip_suffix(':').map(str::len))?
    } else {
        text.find(" #").unwrap_or(text.len())
    };
    Some((text[..end].trim_end().to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    //! Entries as they are found.

    use super::*;

    #[test]
    fn reads_what_registries_hold() {
        let text = "docker: quay.io/biocontainers/samtools\nurl: https://x.org/a\nmaintainer: '@vsoch'\ndescription: a tool: with colons\nlatest:\n  1.15: sha256:00\ntags:\n  '1.14': sha256:11  # old\n  1.15: sha256:00\nfilter:\n- 1.*\naliases:\n  samtools: /usr/local/bin/samtools\n  \"ace2sam\": \"/usr/local/bin/ace2sam\"\n";
        let entry = ShpcEntry::parse(text).unwrap();
        assert_eq!(
            entry.docker.as_deref(),
            Some("quay.io/biocontainers/samtools")
        );
        assert_eq!(entry.latest, Some(("1.15".into(), "sha256:00".into())));
        assert_eq!(entry.tags.len(), 2);
        let aliases: Vec<String> = entry
            .aliases
            .iter()
            .map(|(name, path)| format!("{name}={path}"))
            .collect();
        assert_eq!(
            aliases,
            [
                "ace2sam=/usr/local/bin/ace2sam",
                "samtools=/usr/local/bin/samtools"
            ]
        );
        for bad in [
            "aliases:\n- name: x\n",
            "docker: [a]\n",
            "aliases:\n  a/b: c\n",
            "latest: {a: b}\n",
        ] {
            assert!(ShpcEntry::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}(\n *\\PC{0,30}){0,4}") {
            let _ = ShpcEntry::parse(&text);
        }
    }
}
