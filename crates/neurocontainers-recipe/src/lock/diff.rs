//! What differs between two locks of a container.

use std::{collections::BTreeMap, fmt};

use super::{LockedContainer, LockedPackage};

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is, with the place that asks for it.
    pub what: String,
    /// What it was; absent if it was not there.
    pub before: Option<String>,
    /// What it is now; absent if it is gone.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "~ {what}: {before} -> {after}"),
            (Some(before), None) => write!(f, "- {what}: {before}"),
            (None, Some(after)) => write!(f, "+ {what}: {after}"),
            (None, None) => write!(f, "  {what}"),
        }
    }
}

/// What differs, in the order of the older lock, then what is new. Lines of the recipe do not
/// count: a comment moves them.
pub fn changes(before: &LockedContainer, after: &LockedContainer) -> Vec<Change> {
    // Owners in a bootstrapped base depend on the ids of who made it; its packages do not.
    let ids = |locked: &LockedContainer| -> Vec<Option<String>> {
        locked.bases.iter().map(|base| base.ids.clone()).collect()
    };
    let same_ids = ids(before) == ids(after);
    let (before, after) = (facts(before, same_ids), facts(after, same_ids));
    let new: BTreeMap<&str, &str> = after
        .iter()
        .map(|fact| (fact.key.as_str(), fact.value.as_str()))
        .collect();
    let old: BTreeMap<&str, &str> = before
        .iter()
        .map(|fact| (fact.key.as_str(), fact.value.as_str()))
        .collect();
    let mut out = Vec::new();
    for fact in &before {
        let now = new.get(fact.key.as_str());
        if now != Some(&fact.value.as_str()) {
            let shown = after.iter().find(|other| other.key == fact.key);
            out.push(Change {
                what: shown.unwrap_or(fact).what.clone(),
                before: Some(fact.value.clone()),
                after: now.map(|&value| value.to_owned()),
            });
        }
    }
    for fact in &after {
        if !old.contains_key(fact.key.as_str()) {
            out.push(Change {
                what: fact.what.clone(),
                before: None,
                after: Some(fact.value.clone()),
            });
        }
    }
    out
}

/// One statement of a lock.
struct Fact {
    /// What it is about, the same in both locks.
    key: String,
    /// The same for people.
    what: String,
    value: String,
}

/// The statements; layers of bootstrapped bases among them if `with_layers`.
fn facts(locked: &LockedContainer, with_layers: bool) -> Vec<Fact> {
    let mut out = Vec::new();
    let mut add = |key: String, place: &str, value: String| {
        let what = match place {
            "" => key.clone(),
            place => format!("{place}: {key}"),
        };
        out.push(Fact { key, what, value });
    };
    add("architecture".into(), "", locked.architecture.clone());
    for base in &locked.bases {
        let layers: Vec<String> = base.layers.iter().map(|one| short(&one.hex())).collect();
        let date = base.archive_date.as_deref().unwrap_or(&base.image);
        let value = if with_layers || base.bootstrap.is_none() {
            format!("{date}, layers {}", layers.join(" "))
        } else {
            date.to_owned()
        };
        add(format!("base {}", base.reference), "", value);
        for package in &base.packages {
            add(
                format!("base {} has {}", base.reference, name(package)),
                "",
                value_of(package),
            );
        }
    }
    for archive in &locked.archives {
        for file in &archive.files {
            let key = format!("archive {} {} {}", archive.uri, archive.suite, file.path);
            let value = format!("{} {}", archive.date, short(&file.sha256.hex()));
            add(key, "", value);
        }
    }
    for url in &locked.urls {
        let value = format!("sha256 {}, {} bytes", url.sha256.hex(), url.size);
        add(format!("url {}", url.url), &url.line, value);
    }
    let mut titles: BTreeMap<&str, usize> = BTreeMap::new();
    for step in &locked.steps {
        // Two steps may be called the same.
        let count = titles.entry(&step.title).or_default();
        *count += 1;
        let title = match *count {
            1 => format!("`{}`", step.title),
            count => format!("`{}` ({count})", step.title),
        };
        for (kind, packages) in [
            ("apt", &step.apt),
            ("pip", &step.pip),
            ("npm", &step.npm),
            ("conda", &step.conda),
        ] {
            for package in packages {
                let key = format!("{title} installs {kind} {}", name(package));
                add(key, &step.line, value_of(package));
            }
        }
        for what in &step.unread {
            let key = format!("{title} changes {what}");
            add(key, &step.line, "cannot be read".into());
        }
    }
    out
}

fn name(package: &LockedPackage) -> String {
    match &package.architecture {
        Some(architecture) => format!("{}:{architecture}", package.name),
        None => package.name.clone(),
    }
}

fn value_of(package: &LockedPackage) -> String {
    match &package.sha256 {
        Some(sha256) => format!("{} ({})", package.version, short(&sha256.hex())),
        None => package.version.clone(),
    }
}

fn short(hex: &str) -> String {
    hex.chars().take(12).collect()
}
