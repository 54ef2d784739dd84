//! Module files that should say something else than they do: pure, from what is published to edits.

use std::collections::{BTreeMap, BTreeSet};

use nd_modulefile::Dialect;
use nd_names::ImageName;
use serde::Serialize;

use super::{
    actual::{Actual, CONTAINERS, ContainerState, MODULES, PUBLIC},
    desired::{Desired, Pair},
    module_text::{Build, updated},
};

/// Why a module file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleReason {
    /// It says something of another build, or lists other commands.
    Outdated,
    /// It is another file than the canonical one.
    Different,
    /// A category lacks it.
    Missing,
    /// The tool is in this category no longer.
    Category,
    /// No build of this version is published any more.
    Gone,
}

/// One module file that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleEdit {
    /// Path in the repository.
    pub path: String,
    /// Its new text; `None` when it goes away. Programs are told which of the two.
    #[serde(rename = "action", serialize_with = "word")]
    pub text: Option<String>,
    /// Why.
    pub reason: ModuleReason,
}

#[expect(clippy::ref_option, reason = "the form that serde calls")]
fn word<S: serde::Serializer>(text: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(if text.is_some() { "write" } else { "delete" })
}

/// What is done about modules of versions without any published build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphans {
    /// They stay as they are.
    Keep,
    /// They go away.
    Remove,
}

/// The newest published build of a pair among those of the catalogue.
pub fn latest(desired: &Desired, actual: &Actual) -> BTreeMap<Pair, ImageName> {
    let mut all: BTreeMap<Pair, ImageName> = BTreeMap::new();
    for image in &desired.images {
        if actual.is_installed(&image.name) {
            let newest = all
                .entry(image.pair())
                .or_insert_with(|| image.name.clone());
            if newest.date < image.name.date {
                *newest = image.name.clone();
            }
        }
    }
    all
}

/// Path of a canonical module.
pub fn canonical(pair: &Pair, dialect: Dialect) -> String {
    let (tool, version) = pair;
    format!("{MODULES}/{tool}/{}", dialect.file_name(version.as_str()))
}

/// Path of the module of a category.
pub fn public(category: &str, pair: &Pair, dialect: Dialect) -> String {
    let (tool, version) = pair;
    let file = dialect.file_name(version.as_str());
    format!("{PUBLIC}/{category}/{tool}/{file}")
}

/// Every change that makes module files name the newest published builds and stand in the categories of
/// the catalogue, in the order of paths. `mount` is the folder where users see the repository.
///
/// Only files of pairs with a published build are touched, and with [`Orphans::Remove`] those of pairs
/// whose folders exist without any. Applied and planned again, nothing is left.
pub fn reconcile(
    desired: &Desired,
    actual: &Actual,
    mount: &str,
    orphans: Orphans,
) -> Vec<ModuleEdit> {
    let mut edits = BTreeMap::new();
    let categories = desired.categories();
    let newest = latest(desired, actual);
    let shelves: BTreeSet<&str> = actual
        .modules
        .keys()
        .filter_map(|path| {
            path.strip_prefix(PUBLIC)?
                .strip_prefix('/')?
                .split('/')
                .next()
        })
        .collect();
    for (pair, image) in &newest {
        let Some(ContainerState::Installed { commands, .. }) = actual.containers.get(image) else {
            continue;
        };
        let build = Build {
            image,
            folder: format!("{mount}/{CONTAINERS}/{}", image.stem()),
            commands,
        };
        let wanted = categories.get(pair).map_or(&[][..], Vec::as_slice);
        for dialect in Dialect::ALL {
            let pair = Files {
                pair,
                dialect,
                build: &build,
                wanted,
                shelves: &shelves,
            };
            pair.reconcile(actual, &mut edits);
        }
    }
    if orphans == Orphans::Remove {
        remove_orphans(actual, &newest, &mut edits);
    }
    edits.into_values().collect()
}

/// The module files of one pair in one language.
struct Files<'a> {
    pair: &'a Pair,
    dialect: Dialect,
    build: &'a Build<'a>,
    wanted: &'a [String],
    shelves: &'a BTreeSet<&'a str>,
}

impl Files<'_> {
    fn reconcile(&self, actual: &Actual, edits: &mut BTreeMap<String, ModuleEdit>) {
        let mut edit = |path: String, text: Option<String>, reason| {
            let edit = ModuleEdit { path, text, reason };
            edits.insert(edit.path.clone(), edit);
        };
        let found = |path: &str| actual.modules.get(path)?.as_deref();
        let path = canonical(self.pair, self.dialect);
        let good = found(&path).map(|text| updated(text, self.dialect, self.build));
        if let Some(good) = &good
            && found(&path) != Some(good)
        {
            edit(path, Some(good.clone()), ModuleReason::Outdated);
        }
        for shelf in self.shelves {
            let path = public(shelf, self.pair, self.dialect);
            if !actual.modules.contains_key(&path) {
                continue;
            }
            if !self.wanted.iter().any(|wanted| wanted == shelf) {
                edit(path, None, ModuleReason::Category);
            } else if good.is_none()
                && let Some(text) = found(&path)
            {
                let text_now = updated(text, self.dialect, self.build);
                if text_now != text {
                    edit(path, Some(text_now), ModuleReason::Outdated);
                }
            }
        }
        let Some(good) = good else { return };
        for category in self.wanted {
            let path = public(category, self.pair, self.dialect);
            let reason = match actual.modules.get(&path) {
                None => ModuleReason::Missing,
                Some(Some(text)) if *text == good => continue,
                Some(_) => ModuleReason::Different,
            };
            edit(path, Some(good.clone()), reason);
        }
    }
}

/// Modules of pairs of which folders are there and no build is whole.
fn remove_orphans(
    actual: &Actual,
    newest: &BTreeMap<Pair, ImageName>,
    edits: &mut BTreeMap<String, ModuleEdit>,
) {
    let gone: BTreeSet<Pair> = actual
        .containers
        .keys()
        .map(|name| (name.app.clone(), name.version.clone()))
        .filter(|pair| !newest.contains_key(pair))
        .collect();
    for path in actual.modules.keys() {
        let is_of = |(tool, version): &Pair| {
            Dialect::ALL.into_iter().any(|dialect| {
                let end = format!("/{tool}/{}", dialect.file_name(version.as_str()));
                path.ends_with(&end)
            })
        };
        if gone.iter().any(is_of) {
            let edit = ModuleEdit {
                path: path.clone(),
                text: None,
                reason: ModuleReason::Gone,
            };
            edits.insert(path.clone(), edit);
        }
    }
}

#[cfg(test)]
mod tests {
    //! The rules of reconciliation, by the cases of the specification.

    use nd_report::{FileId, Sink};
    use proptest::prelude::*;

    use super::*;

    const MOUNT: &str = "/cvmfs/x.org";

    fn desired(text: &str) -> Desired {
        Desired::read(text, FileId(0), &mut Sink::new()).unwrap()
    }

    fn installed(names: &[&str], commands: &[&str]) -> Actual {
        let state = ContainerState::Installed {
            commands: commands.iter().map(ToString::to_string).collect(),
            tree: None,
        };
        Actual {
            containers: names
                .iter()
                .map(|name| (name.parse().unwrap(), state.clone()))
                .collect(),
            modules: BTreeMap::new(),
        }
    }

    fn apply(actual: &mut Actual, edits: &[ModuleEdit]) {
        for edit in edits {
            match &edit.text {
                Some(text) => actual.modules.insert(edit.path.clone(), Some(text.clone())),
                None => actual.modules.remove(&edit.path),
            };
        }
    }

    fn old_module(stem: &str) -> String {
        format!(
            "-- -*- lua -*-\nhelp([===[\nuse [a [b]]\n]===])\nwhatis(\"{stem}.simg\")\n\
             prepend_path(\"PATH\", \"/elsewhere/{stem}\")\nsetenv(\"A\", \"/cvmfs/x.org/containers/{stem}/{stem}.simg/opt\")\n"
        )
    }

    #[test]
    fn a_newer_build_takes_over_and_categories_follow() {
        let desired =
            desired("abc_1.0_20240101 categories:one,\nabc_1.0_20250101 categories:two,\n");
        let mut actual = installed(
            &["abc_1.0_20240101", "abc_1.0_20250101", "abc_1.0_20260101"],
            &["mk", "bad/name"],
        );
        let old = old_module("abc_1.0_20240101");
        for path in [
            "containers/modules/abc/1.0.lua",
            "neurodesk-modules/one/abc/1.0.lua",
            "neurodesk-modules/old/abc/1.0.lua",
        ] {
            actual.modules.insert(path.into(), Some(old.clone()));
        }
        let foreign = "neurodesk-modules/old/other/1.0.lua";
        actual.modules.insert(foreign.into(), Some(old));
        let edits = reconcile(&desired, &actual, MOUNT, Orphans::Keep);
        let told: Vec<_> = edits.iter().map(|e| (e.path.as_str(), e.reason)).collect();
        assert_eq!(
            told,
            [
                ("containers/modules/abc/1.0.lua", ModuleReason::Outdated),
                ("neurodesk-modules/old/abc/1.0.lua", ModuleReason::Category),
                ("neurodesk-modules/one/abc/1.0.lua", ModuleReason::Different),
                ("neurodesk-modules/two/abc/1.0.lua", ModuleReason::Missing),
            ]
        );
        let text = edits[0].text.as_deref().unwrap();
        // The folder of 2026 is newer and not in the catalogue.
        assert!(
            !text.contains("20240101") && !text.contains("20260101"),
            "{text}"
        );
        assert!(
            text.contains("prepend_path(\"PATH\", \"/cvmfs/x.org/containers/abc_1.0_20250101\")")
        );
        assert!(text.contains("    extensions(\"mk/1.0\")\n") && text.contains("[a [b] ]"));
        apply(&mut actual, &edits);
        assert_eq!(reconcile(&desired, &actual, MOUNT, Orphans::Keep), []);
    }

    #[test]
    fn modules_without_a_build_go_when_asked() {
        let desired = desired("other_1_20240101 categories:one,\n");
        let mut actual = installed(&[], &[]);
        let name: ImageName = "abc_1.0_20240101".parse().unwrap();
        actual.containers.insert(name, ContainerState::Disabled);
        for path in [
            "containers/modules/abc/1.0",
            "neurodesk-modules/one/abc/1.0",
            "neurodesk-modules/one/abc/1.0.1",
        ] {
            actual.modules.insert(path.into(), Some("x".into()));
        }
        assert_eq!(reconcile(&desired, &actual, MOUNT, Orphans::Keep), []);
        let edits = reconcile(&desired, &actual, MOUNT, Orphans::Remove);
        assert_eq!(edits.len(), 2, "{edits:?}");
        assert!(edits.iter().all(|edit| edit.text.is_none()));
    }

    proptest! {
        #[test]
        fn applying_twice_changes_nothing(
            text in "(whatis\\(\"abc_1.0_[0-9]{8}\"\\)\n|help\\(\\[===\\[|\\]|x|-- neurodesk-exposed-commands\n|extensions\\(\"a\"\\)\n|#%Module\n|module-whatis x\n|end\n|abc_1.0_[0-9]{1,9}|\n){0,14}",
            commands in proptest::collection::vec("[a-z\\]\"]{1,3}", 0..3),
        ) {
            let desired = desired("abc_1.0_20250101 categories:one,\n");
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            let mut actual = installed(&["abc_1.0_20250101"], &commands);
            for file in ["1.0", "1.0.lua"] {
                actual.modules.insert(format!("containers/modules/abc/{file}"), Some(text.clone()));
            }
            let edits = reconcile(&desired, &actual, MOUNT, Orphans::Keep);
            apply(&mut actual, &edits);
            prop_assert_eq!(reconcile(&desired, &actual, MOUNT, Orphans::Keep), []);
        }
    }
}
