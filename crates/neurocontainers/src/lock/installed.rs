//! What package managers say in an image's own files.

use std::collections::BTreeMap;

use nd_builder::ImageLayer;
use nd_store::Store;
use neurocontainers_recipe::lock::LockedPackage;

use super::{files, stanzas::stanzas};
use crate::pipeline::PipelineError;

/// The database of `dpkg`.
const STATUS: &str = "var/lib/dpkg/status";
/// Where distributions' own packages of Python and Node.js lie: `dpkg` speaks of them.
const OF_DPKG: [&str; 3] = [
    "usr/lib/python3/dist-packages/",
    "usr/share/nodejs/",
    "usr/lib/nodejs/",
];

/// Packages of `dpkg`: name and architecture, to version.
pub(super) type Debs = BTreeMap<(String, String), String>;

/// What one layer says.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// All packages of `dpkg` from here on; `None` where the layer has no database.
    pub(super) debs: Option<Debs>,
    pub(super) pip: Vec<LockedPackage>,
    pub(super) npm: Vec<LockedPackage>,
    pub(super) conda: Vec<LockedPackage>,
    pub(super) unread: Vec<String>,
}

/// Reads what a layer says of packages.
pub(super) fn installed(store: &Store, layer: &ImageLayer) -> Result<Installed, PipelineError> {
    let files = files::read(store, layer, &|path| kind_of(path).is_some())?;
    let mut out = Installed::default();
    for (path, bytes) in &files {
        match kind_of(path) {
            Some(Kind::Dpkg) => out.debs = Some(debs(bytes)),
            Some(Kind::Rpm) => out.unread.push(format!("the rpm database `{path}`")),
            Some(Kind::Python) => {
                let installer = path
                    .rsplit_once('/')
                    .map(|(dir, _)| format!("{dir}/INSTALLER"));
                let installer = installer.and_then(|path| files.get(&path));
                let other = installer.is_some_and(|who| who.trim_ascii() != b"pip");
                let found = python(bytes).filter(|_| !other);
                out.pip.extend(found);
            }
            Some(Kind::Node) => out.npm.extend(node(bytes)),
            Some(Kind::Conda) => out.conda.extend(conda(bytes)),
            Some(Kind::Installer) | None => {}
        }
    }
    for list in [&mut out.pip, &mut out.npm, &mut out.conda] {
        list.sort();
        list.dedup();
    }
    Ok(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dpkg,
    Rpm,
    Python,
    Installer,
    Node,
    Conda,
}

/// What a file is to a package manager.
fn kind_of(path: &str) -> Option<Kind> {
    if path == STATUS {
        return Some(Kind::Dpkg);
    }
    if OF_DPKG.iter().any(|dir| path.starts_with(dir)) {
        return None;
    }
    let mut parts = path.rsplit('/');
    let (file, dir) = (parts.next()?, parts.next()?);
    let above = parts.next();
    match file {
        "rpmdb.sqlite" | "Packages" | "Packages.db" if dir == "rpm" => Some(Kind::Rpm),
        "METADATA" if dir.ends_with(".dist-info") => Some(Kind::Python),
        "INSTALLER" if dir.ends_with(".dist-info") => Some(Kind::Installer),
        "PKG-INFO" if dir.ends_with(".egg-info") => Some(Kind::Python),
        "package.json" => {
            let scoped = above.is_some_and(|above| above.starts_with('@'))
                && parts.next() == Some("node_modules");
            let modules = path.split('/').filter(|part| *part == "node_modules");
            // Modules inside of modules are theirs.
            let outermost = modules.count() == 1;
            (outermost && (above == Some("node_modules") || scoped)).then_some(Kind::Node)
        }
        _ if dir == "conda-meta" && file.rsplit('.').next() == Some("json") => Some(Kind::Conda),
        _ => None,
    }
}

/// The installed packages of a database of `dpkg`.
fn debs(status: &[u8]) -> Debs {
    let mut out = Debs::new();
    // Reading from memory does not fail.
    let _ = stanzas(
        status,
        ["Package", "Version", "Architecture", "Status"],
        |[name, version, architecture, status]| {
            let here = status.is_some_and(|words| words.ends_with(" installed"));
            if let (Some(name), Some(version), true) = (name, version, here) {
                let architecture = architecture.unwrap_or_default();
                out.insert((name.into(), architecture.into()), version.into());
            }
        },
    );
    out
}

/// Metadata of a distribution of Python: the head of a mail.
fn python(metadata: &[u8]) -> Option<LockedPackage> {
    let mut found = None;
    let _ = stanzas(metadata, ["Name", "Version"], |[name, version]| {
        // What follows the head is prose.
        if let (None, Some(name), Some(version)) = (&found, name, version) {
            found = Some(package(name, version));
        }
    });
    found
}

fn node(text: &[u8]) -> Option<LockedPackage> {
    let document: serde_json::Value = serde_json::from_slice(text).ok()?;
    let word = |key: &str| document[key].as_str();
    Some(package(word("name")?, word("version")?))
}

fn conda(text: &[u8]) -> Option<LockedPackage> {
    let document: serde_json::Value = serde_json::from_slice(text).ok()?;
    let word = |key: &str| document[key].as_str();
    let version = match word("build") {
        Some(build) => format!("{} {build}", word("version")?),
        None => word("version")?.to_owned(),
    };
    Some(LockedPackage {
        sha256: word("sha256").and_then(|hex| hex.parse().ok()),
        url: word("url").map(without_secrets),
        size: document["size"].as_u64(),
        ..package(word("name")?, &version)
    })
}

/// Channels may carry a user, a token or a signature in their address.
fn without_secrets(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else {
        return String::new();
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = match path
        .strip_prefix("t/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_, rest)) => rest,
        None => path,
    };
    format!("{scheme}://{host}/{path}")
}

fn package(name: &str, version: &str) -> LockedPackage {
    LockedPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        ..LockedPackage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_package_manager_wrote_is_read() {
        for (path, kind) in [
            ("var/lib/dpkg/status", Some(Kind::Dpkg)),
            ("var/lib/rpm/rpmdb.sqlite", Some(Kind::Rpm)),
            ("usr/lib/sysimage/rpm/Packages.db", Some(Kind::Rpm)),
            (
                "opt/v/lib/python3.11/site-packages/a-1.dist-info/METADATA",
                Some(Kind::Python),
            ),
            ("usr/lib/python3/dist-packages/a-1.dist-info/METADATA", None),
            ("opt/app/node_modules/a/package.json", Some(Kind::Node)),
            ("opt/app/node_modules/@s/a/package.json", Some(Kind::Node)),
            ("opt/app/node_modules/a/node_modules/b/package.json", None),
            ("opt/app/node_modules/a/lib/package.json", None),
            ("opt/app/package.json", None),
            ("opt/conda/conda-meta/a-1-0.json", Some(Kind::Conda)),
            ("opt/conda/conda-meta/history", None),
            ("opt/Packages", None),
        ] {
            assert_eq!(kind_of(path), kind, "{path}");
        }
    }

    #[test]
    fn each_form_of_metadata_is_understood() {
        let status = "Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n\n\
                      Package: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n";
        let key = ("a".to_owned(), "amd64".to_owned());
        assert_eq!(
            debs(status.as_bytes()),
            Debs::from([(key, "1:2-3".to_owned())])
        );
        let metadata =
            b"Metadata-Version: 2.1\nName: numpy\nVersion: 2.0.1\n\nName: prose\nVersion: no\n";
        assert_eq!(python(metadata), Some(package("numpy", "2.0.1")));
        assert_eq!(
            node(br#"{"name": "@s/a", "version": "1.2"}"#),
            Some(package("@s/a", "1.2"))
        );
        assert_eq!(node(b"no json"), None);
        let found = conda(
            br#"{"name": "zlib", "version": "1.3", "build": "h1_0", "size": 5,
                "url": "https://user:pw@conda.example/t/secret/ch/linux-64/zlib.conda?x=1",
                "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}"#,
        )
        .unwrap();
        assert_eq!(found.version, "1.3 h1_0");
        assert_eq!(
            found.url.as_deref(),
            Some("https://conda.example/ch/linux-64/zlib.conda")
        );
        assert!(found.sha256.is_some());
    }
}
