//! What the programs of an archive are made of, as an SPDX 2.3 document.

use std::collections::{BTreeMap, BTreeSet};

use nd_terminal::{Failure, FailureKind, OrFail as _};
use serde_json::{Value, json};
use xshell::cmd;

use crate::machine::Machine;

/// The crates that `programs` are compiled from on `target`, with their versions, licences and the
/// digests that `Cargo.lock` has of them. The document has no time of its own: the same tree gives the
/// same document.
pub(crate) fn spdx(machine: &Machine, programs: &[&str], target: &str) -> Result<String, Failure> {
    let text = cmd!(
        machine.shell,
        "cargo metadata --format-version 1 --locked --filter-platform {target}"
    )
    .quiet()
    .read()
    .or_fail(FailureKind::Tool)?;
    let metadata: Value = serde_json::from_str(&text)?;
    let lock = fs_err::read_to_string(machine.root.join("Cargo.lock"))?;
    let document = document(&metadata, &checksums(&lock), programs);
    Ok(format!("{document:#}\n"))
}

/// Digests by name and version, as `Cargo.lock` has them.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut out = BTreeMap::new();
    for block in lock.split("[[package]]") {
        let value = |key: &str| {
            let mut lines = block.lines();
            let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            value.map(|value| value.trim_matches('"').to_owned())
        };
        if let (Some(name), Some(version), Some(sum)) =
            (value("name"), value("version"), value("checksum"))
        {
            out.insert((name, version), sum);
        }
    }
    out
}

fn document(
    metadata: &Value,
    checksums: &BTreeMap<(String, String), String>,
    programs: &[&str],
) -> Value {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package["id"]), package))
        .collect();
    let needs: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| {
            let linked = |dep: &&Value| list(&dep["dep_kinds"]).iter().any(|k| k["kind"].is_null());
            let deps = list(&node["deps"]);
            let deps = deps.iter().filter(linked).map(|dep| text(&dep["pkg"]));
            (text(&node["id"]), deps.collect())
        })
        .collect();
    let ours = |package: &&Value| {
        package["source"].is_null() && programs.contains(&text(&package["name"]).as_str())
    };
    let roots: Vec<String> = packages
        .values()
        .filter(ours)
        .map(|p| text(&p["id"]))
        .collect();

    let mut reached = BTreeSet::new();
    let mut pending = roots.clone();
    while let Some(id) = pending.pop() {
        if reached.insert(id.clone()) {
            pending.extend(needs.get(&id).cloned().unwrap_or_default());
        }
    }
    let name = |id: &str| {
        let package = &packages[id];
        let word = format!("{}-{}", text(&package["name"]), text(&package["version"]));
        // Letters, digits, dots and hyphens are what an identifier has.
        format!("SPDXRef-{}", word.replace(['_', '+'], "-"))
    };
    let relation = |from: String, kind: &str, to: String| json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to });
    let mut relationships: Vec<Value> = roots
        .iter()
        .map(|root| relation("SPDXRef-DOCUMENT".into(), "DESCRIBES", name(root)))
        .collect();
    for id in &reached {
        let needed = needs.get(id).into_iter().flatten();
        relationships.extend(needed.map(|other| relation(name(id), "DEPENDS_ON", name(other))));
    }
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("neurodesk-{version}"),
        "documentNamespace": format!("https://neurodesk.org/spdx/neurodesk-{version}"),
        "creationInfo": {
            "creators": [format!("Tool: xtask-{version}")],
            "created": "1970-01-01T00:00:00Z",
        },
        "packages": reached.iter().map(|id| package(&packages[id], &name(id), checksums)).collect::<Vec<_>>(),
        "relationships": relationships,
    })
}

fn package(package: &Value, id: &str, checksums: &BTreeMap<(String, String), String>) -> Value {
    let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let (name, version) = (text("name"), text("version"));
    let licence = text("license");
    let mut out = json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        // `MIT/Apache-2.0` is how licences were once written in manifests.
        "licenseDeclared": if licence.is_empty() { "NOASSERTION".into() } else { licence.replace('/', " OR ") },
        "copyrightText": "NOASSERTION",
    });
    if !package["source"].is_null() {
        out["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": format!("pkg:cargo/{name}@{version}"),
        }]);
    }
    if let Some(sum) = checksums.get(&(name, version)) {
        out["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": sum }]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_listed_and_what_builds_or_tests_is_not() {
        let package = |name: &str, source: Value| json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source});
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [
                package("tool", Value::Null),
                package("linked", "registry".into()),
                package("tested", "registry".into()),
            ],
            "resolve": {"nodes": [
                {"id": "tool", "deps": [dep("linked", Value::Null), dep("tested", "dev".into())]},
                {"id": "linked", "deps": []},
                {"id": "tested", "deps": []},
            ]},
        });
        let lock = "[[package]]\nname = \"linked\"\nversion = \"1.0.0\"\nchecksum = \"ab12\"\n";
        let document = document(&metadata, &checksums(lock), &["tool"]);
        let names: Vec<_> = document["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["linked", "tool"]);
        let linked = &document["packages"][0];
        assert_eq!(linked["checksums"][0]["checksumValue"], "ab12");
        assert_eq!(linked["licenseDeclared"], "MIT OR Apache-2.0");
        assert_eq!(
            linked["externalRefs"][0]["referenceLocator"],
            "pkg:cargo/linked@1.0.0"
        );
        let relations = document["relationships"].as_array().unwrap();
        assert_eq!(relations.len(), 2);
    }
}
