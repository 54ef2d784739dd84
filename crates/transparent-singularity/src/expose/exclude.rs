//! Programs that are not exposed although they stand in a folder of `DEPLOY_PATH`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Our own list.
const BUILT_IN: &str = include_str!("../../data/excludes.toml");

/// Which names are hidden and which are shown all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excludes {
    groups: Vec<Group>,
    /// Groups by name, first one first; for names without `%`.
    exact: HashMap<String, Vec<usize>>,
    /// What stands before and behind the `%` of a name, and its group.
    versions: Vec<(String, String, usize)>,
    /// Names that a site hides besides.
    pub hide: Vec<String>,
    /// Names that a site shows although a group hides them.
    pub show: Vec<String>,
}

/// Names with one reason to hide them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// How the group is called.
    pub name: String,
    /// Why its names are hidden.
    pub reason: String,
    /// Whether a name is hidden even when the image asks for it by name.
    #[serde(default)]
    pub always: bool,
    /// The program in whose company alone the names are hidden.
    #[serde(default)]
    pub beside: Option<String>,
    /// The names; `%` stands for digits and dots.
    pub names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    group: Vec<Group>,
}

/// A list of exclusions that is no such list.
#[derive(Debug, thiserror::Error)]
#[error("the list of exclusions cannot be read")]
pub struct ExcludesError(#[from] toml::de::Error);

impl Excludes {
    /// The list that comes with this program.
    ///
    /// # Panics
    ///
    /// Never: a test reads the list.
    #[expect(clippy::expect_used, reason = "the list is part of this program")]
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("a list that a test has read")
    }

    /// Reads a list of the same form.
    pub fn parse(text: &str) -> Result<Self, ExcludesError> {
        let file: File = toml::from_str(text)?;
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut versions = Vec::new();
        for (at, group) in file.group.iter().enumerate() {
            for name in &group.names {
                match name.split_once('%') {
                    Some((start, end)) => versions.push((start.to_owned(), end.to_owned(), at)),
                    None => exact.entry(name.clone()).or_default().push(at),
                }
            }
        }
        Ok(Self {
            groups: file.group,
            exact,
            versions,
            hide: Vec::new(),
            show: Vec::new(),
        })
    }

    /// The group that hides `name`, if one does. `neighbour` tells what else stands in the folder;
    /// `named` says that the image asks for the name itself.
    pub fn hides(&self, name: &str, named: bool, neighbour: &dyn Fn(&str) -> bool) -> Option<&str> {
        if self.show.iter().any(|shown| shown == name) {
            return None;
        }
        if self.hide.iter().any(|hidden| hidden == name) {
            return Some("site");
        }
        let exact = self.exact.get(name).into_iter().flatten();
        let versions = self
            .versions
            .iter()
            .filter(|(start, end, _)| fits(start, end, name));
        let mut groups: Vec<usize> = exact
            .copied()
            .chain(versions.map(|(_, _, at)| *at))
            .collect();
        groups.sort_unstable();
        let group = groups.into_iter().map(|at| &self.groups[at]).find(|group| {
            (group.always || !named) && group.beside.as_deref().is_none_or(neighbour)
        });
        group.map(|group| group.name.as_str())
    }

    /// All groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
}

/// Whether digits and dots stand in a name between `start` and `end`.
fn fits(start: &str, end: &str, name: &str) -> bool {
    let middle = name
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(end));
    middle.is_some_and(|middle| middle.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

#[cfg(test)]
mod tests {
    //! What is hidden and what is not.

    use super::*;

    #[test]
    fn hides_by_exact_name_version_and_company() {
        let list = Excludes::built_in();
        let alone = |_: &str| false;
        let all = |_: &str| true;
        for name in [
            "bash",
            "python3",
            "python3.12",
            "python",
            "pip",
            "pip3",
            "ls",
            "curl",
            "idle3.11",
        ] {
            assert!(list.hides(name, false, &alone).is_some(), "{name}");
        }
        for name in [
            "python3x10",
            "bet",
            "pythonic",
            "itksnap",
            "cluster",
            "dot",
            "transform",
        ] {
            assert_eq!(list.hides(name, false, &alone), None, "{name}");
        }
        assert_eq!(list.hides("cluster", false, &all), Some("graphviz"));
        assert_eq!(list.hides("bash", true, &alone), Some("core"));
        assert_eq!(list.hides("nib-ls", true, &alone), None);
        assert!(list.hides("nib-ls", false, &alone).is_some());
    }

    #[test]
    fn a_site_has_the_last_word() {
        let mut list = Excludes::built_in();
        list.show.push("pandoc".into());
        list.hide.push("bet".into());
        assert_eq!(list.hides("pandoc", false, &|_| false), None);
        assert_eq!(list.hides("bet", true, &|_| false), Some("site"));
    }

    #[test]
    fn every_group_has_names_in_order_and_a_reason() {
        for group in Excludes::built_in().groups() {
            assert!(
                !group.reason.is_empty() && group.names.is_sorted(),
                "{}",
                group.name
            );
        }
    }
}
