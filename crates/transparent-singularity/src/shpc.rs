//! Entries of Singularity Registry HPC.

use std::fmt::Write as _;

use crate::{InstallRecord, Placement, Site};

/// `container.yaml` for an installed image: SHPC installs the same image file under the same commands.
pub fn container_yaml(site: &Site, record: &InstallRecord) -> String {
    let name = record.name();
    let label = |key: &str| {
        let value = record
            .labels
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty());
        value.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let tag = format!("{}_{}", name.version, name.date);
    let mut out = String::new();
    let maintainer =
        label("org.opencontainers.image.authors").unwrap_or_else(|| "@neurodesk".into());
    let url =
        label("org.opencontainers.image.url").unwrap_or_else(|| "https://neurodesk.org".into());
    let description = label("org.opencontainers.image.description")
        .unwrap_or_else(|| format!("{} {}", name.app, name.version));
    if let (Placement::File, Some(sha256)) = (record.placement, &record.source.sha256) {
        let _ = writeln!(out, "path: {}", scalar(&format!("{}.simg", record.image)));
        let _ = writeln!(out, "maintainer: {}", scalar(&maintainer));
        let _ = writeln!(out, "description: {}", scalar(&description));
        let _ = writeln!(out, "url: {}", scalar(&url));
        let _ = writeln!(
            out,
            "latest:\n  {}: {}",
            scalar(&tag),
            scalar(&format!("sha256:{sha256}"))
        );
        let _ = writeln!(
            out,
            "tags:\n  {}: {}",
            scalar(&tag),
            scalar(&format!("sha256:{sha256}"))
        );
    } else {
        let _ = writeln!(
            out,
            "docker: {}",
            scalar(&format!("ghcr.io/neurodesk/{}", name.app))
        );
        let _ = writeln!(out, "maintainer: {}", scalar(&maintainer));
        let _ = writeln!(out, "description: {}", scalar(&description));
        let _ = writeln!(out, "url: {}", scalar(&url));
        let _ = writeln!(out, "latest:\n  {}: {}", scalar(&tag), scalar(&tag));
        let _ = writeln!(out, "tags:\n  {}: {}", scalar(&tag), scalar(&tag));
    }
    out += "aliases:\n";
    for command in &record.commands {
        let _ = writeln!(out, "  {}: {}", scalar(command), scalar(command));
    }
    let _ = site;
    out
}

/// A scalar in double quotes, as JSON and YAML both read it.
fn scalar(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
