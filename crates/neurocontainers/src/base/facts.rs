//! What a build needs to know of a base image's files: its lists of archives, its distribution.

use std::{collections::BTreeMap, io::Read, sync::Arc};

use nd_names::Sha256;
use nd_oci::{Image, ImageTree, Limits};
use nd_rootfs::{ContentSink, Contents as _, Index, Kind, Location, Wanted};
use nd_store::Store;
use serde::{Deserialize, Serialize};

use super::BaseError;

/// Kind of the records that keep facts by image.
const RECORDS: &str = "base-facts";
/// A list of archives is a few lines; what is longer is none.
const LIST_LIMIT: u64 = 1 << 20;

/// Facts of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Lists of archives: absolute path and text.
    pub(super) lists: Vec<(String, String)>,
    /// `VERSION_CODENAME` of a Debian or Ubuntu.
    pub(super) suite: Option<String>,
}

impl Facts {
    /// The facts of an image in the store, which are remembered.
    pub(super) fn of(store: &Store, image: &Image) -> Result<Self, BaseError> {
        if let Some(bytes) = store.record(RECORDS, &image.digest)?
            && let Ok(facts) = serde_json::from_slice(&bytes)
        {
            return Ok(facts);
        }
        let facts = Self::read(store, image)?;
        store.put_record(RECORDS, &image.digest, &serde_json::to_vec(&facts)?)?;
        Ok(facts)
    }

    fn read(store: &Store, image: &Image) -> Result<Self, BaseError> {
        let mut tree = ImageTree::open(
            image,
            Arc::new(store.clone()),
            Some(store),
            Limits::default(),
        )?;
        let mut wanted = Wanted::default();
        let mut places: BTreeMap<Location, Vec<String>> = BTreeMap::new();
        for path in list_paths(&tree.index) {
            let found = tree.index.resolve(path.as_bytes(), true);
            if let Some(entry) = found.ok().and_then(nd_rootfs::Found::entry)
                && let Kind::File { size, content, at } = entry.kind
                && size <= LIST_LIMIT
            {
                wanted.insert(at, size, content);
                places.entry(at).or_default().push(path);
            }
        }
        let mut collect = Collect::default();
        tree.contents.visit(&wanted, &mut collect)?;
        let mut facts = Self::default();
        for (at, paths) in places {
            let Some(text) = collect.0.get(&at) else {
                continue;
            };
            for path in paths {
                if path.ends_with("os-release") {
                    facts.suite = facts.suite.or_else(|| suite(text));
                } else {
                    facts.lists.push((format!("/{path}"), text.clone()));
                }
            }
        }
        facts.lists.sort();
        Ok(facts)
    }
}

/// The files of interest that an image has.
fn list_paths(index: &Index) -> Vec<String> {
    let mut out = vec![
        "etc/os-release".to_owned(),
        "etc/apt/sources.list".to_owned(),
    ];
    for entry in index.children(b"etc/apt/sources.list.d") {
        if let Ok(path) = std::str::from_utf8(entry.path.as_bytes())
            && matches!(path.rsplit('.').next(), Some("list" | "sources"))
        {
            out.push(path.to_owned());
        }
    }
    out
}

/// The suite that an `os-release` names.
fn suite(text: &str) -> Option<String> {
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    let family = format!("{} {}", value("ID")?, value("ID_LIKE").unwrap_or_default());
    let known = family
        .split_whitespace()
        .any(|word| matches!(word, "debian" | "ubuntu"));
    let word = |suite: &String| {
        suite
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    value("VERSION_CODENAME").filter(|suite| known && !suite.is_empty() && word(suite))
}

/// Keeps small contents as text.
#[derive(Default)]
struct Collect(BTreeMap<Location, String>);

impl ContentSink for Collect {
    fn file(
        &mut self,
        at: Location,
        _size: u64,
        _content: &Sha256,
        bytes: &mut dyn Read,
    ) -> std::io::Result<()> {
        let mut text = Vec::new();
        bytes.read_to_end(&mut text)?;
        self.0
            .insert(at, String::from_utf8_lossy(&text).into_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::suite;

    #[test]
    fn the_suite_of_debian_and_its_relatives_is_known() {
        assert_eq!(
            suite("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(),
            Some("bookworm")
        );
        assert_eq!(
            suite("ID_LIKE=\"ubuntu debian\"\nID=mint\nVERSION_CODENAME=\"x y\"\n"),
            None
        );
        assert_eq!(suite("ID=rocky\nVERSION_CODENAME=x\n"), None);
        assert_eq!(suite(""), None);
    }
}
