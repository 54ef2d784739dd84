//! Which crate may use which: the table of `docs/ARCHITECTURE.md`, held against `cargo metadata`.

use std::collections::BTreeSet;

use nd_terminal::{Failure, FailureKind, OrFail as _};
use serde_json::Value;
use xshell::cmd;

use crate::machine::Machine;

/// Used by everything but the crates that use nothing of ours.
const GROUND: &[&str] = &["nd-names", "nd-report"];

/// Levels 0 to 5 besides [`GROUND`].
const FOUNDATION: &[&str] = &[
    "nd-yaml",
    "nd-jinja",
    "nd-instructions",
    "nd-rootfs",
    "nd-modulefile",
    "nd-records",
    "nd-host",
    "nd-namespace",
    "nd-store",
    "nd-squashfs",
    "nd-sif",
    "nd-oci",
    "nd-cvmfs",
    "nd-fetch",
    "nd-sandbox",
    "nd-launcher",
    "nd-builder",
    "nd-runtime",
];

/// What a crate may use besides [`GROUND`]; `None` for a crate the table does not know.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    let words: &[&str] = match name {
        "nd-names" | "nd-report" | "nd-namespace" | "nd-yaml" | "nd-jinja" | "nd-instructions"
        | "nd-rootfs" | "nd-modulefile" | "nd-records" | "nd-host" | "nd-sif" | "nd-terminal" => {
            &[]
        }
        "nd-store" | "nd-cvmfs" => &["nd-host", "nd-rootfs"],
        "nd-squashfs" => &["nd-rootfs"],
        "nd-oci" => &["nd-host", "nd-rootfs", "nd-store"],
        "nd-fetch" => &["nd-host", "nd-store", "nd-oci"],
        "nd-sandbox" => &["nd-host", "nd-namespace", "nd-rootfs"],
        "nd-launcher" => &["nd-namespace", "nd-sif", "nd-squashfs"],
        "nd-builder" => &[
            "nd-instructions",
            "nd-rootfs",
            "nd-host",
            "nd-store",
            "nd-oci",
            "nd-sandbox",
        ],
        "nd-runtime" => &["nd-host", "nd-sandbox", "nd-launcher", "nd-oci", "nd-sif"],
        "neurodocker" => &[
            "nd-yaml",
            "nd-jinja",
            "nd-instructions",
            "nd-host",
            // `minify` keeps some entries of a tree and not others.
            "nd-rootfs",
            "nd-builder",
            "nd-runtime",
            "nd-oci",
            "nd-sif",
            "nd-squashfs",
            "nd-store",
            // An image to be made smaller may lie in a registry.
            "nd-fetch",
        ],
        "transparent-singularity" => &[
            "nd-records",
            "nd-modulefile",
            "nd-rootfs",
            "nd-host",
            "nd-store",
            "nd-oci",
            "nd-sif",
            "nd-squashfs",
            "nd-fetch",
            "nd-runtime",
            "nd-launcher",
        ],
        "neurocontainers-recipe" => &[
            "nd-yaml",
            "nd-jinja",
            "nd-instructions",
            "nd-records",
            "neurodocker",
        ],
        "neurocontainers" => {
            let mut all = FOUNDATION.to_vec();
            all.extend([
                "nd-terminal",
                "neurodocker",
                "transparent-singularity",
                "neurocontainers-recipe",
            ]);
            return Some(all);
        }
        "neurocommand" => &[
            "nd-records",
            "nd-modulefile",
            "nd-host",
            "nd-store",
            "nd-fetch",
            "nd-oci",
            "nd-sif",
            "nd-squashfs",
            "nd-rootfs",
            "transparent-singularity",
            "neurocontainers-recipe",
        ],
        "cvmfs-sync" => &[
            "nd-records",
            "nd-modulefile",
            "nd-host",
            "nd-store",
            "nd-fetch",
            "nd-oci",
            "nd-sif",
            "nd-squashfs",
            "nd-rootfs",
            "nd-cvmfs",
            "nd-runtime",
            "nd-terminal",
            "transparent-singularity",
            "neurocontainers-recipe",
            "neurocommand",
        ],
        "xtask" => &["nd-terminal"],
        // Test support sees what its fixtures are made of.
        "nd-testkit" => &["nd-rootfs", "nd-oci", "nd-store", "nd-host"],
        _ => return None,
    };
    let mut words = words.to_vec();
    // Mission crates are a library plus a binary, and binaries share the terminal.
    if ["neurodocker", "transparent-singularity", "neurocommand"].contains(&name) {
        words.push("nd-terminal");
    }
    Some(words)
}

/// Every arrow of the workspace that the table does not have.
pub(super) fn check(machine: &Machine) -> Result<Vec<String>, Failure> {
    let shell = &machine.shell;
    let text = cmd!(
        shell,
        "cargo metadata --format-version 1 --no-deps --offline"
    )
    .quiet()
    .read()
    .or_fail(FailureKind::Tool)?;
    let metadata: Value = serde_json::from_str(&text)?;
    Ok(check_metadata(&metadata))
}

fn check_metadata(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let ours: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let mut found = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(allowed) = allowed(name) else {
            found.push(format!("crate `{name}` is not in the table of arrows"));
            continue;
        };
        let arrows = package["dependencies"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        for arrow in arrows {
            let to = arrow["name"].as_str().unwrap_or_default();
            // Tests may use test support, and the crate's peers of their own level.
            let only_tests = arrow["kind"].as_str() == Some("dev");
            let ground = GROUND.contains(&to) && name != "nd-namespace";
            if ours.contains(to) && !only_tests && !ground && !allowed.contains(&to) {
                found.push(format!("crate `{name}` may not use `{to}`"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    //! The table refuses what it should.

    use serde_json::json;

    use super::*;

    #[test]
    fn refuses_an_arrow_that_points_up_and_an_unknown_crate() {
        let metadata = json!({"packages": [
            {"name": "nd-rootfs", "dependencies": [{"name": "nd-host", "kind": null}, {"name": "nd-names", "kind": null}]},
            {"name": "nd-host", "dependencies": [{"name": "nd-rootfs", "kind": "dev"}]},
            {"name": "nd-names", "dependencies": []},
            {"name": "nd-misc", "dependencies": []},
        ]});
        assert_eq!(
            check_metadata(&metadata),
            [
                "crate `nd-rootfs` may not use `nd-host`",
                "crate `nd-misc` is not in the table of arrows"
            ]
        );
    }
}
