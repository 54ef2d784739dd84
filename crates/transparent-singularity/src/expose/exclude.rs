//! Programs that are not exposed although they stand in a folder of `DEPLOY_PATH`.

use serde::{Deserialize, Serialize};

/// Our own list.
const BUILT_IN: &str = include_str!("../../data/excludes.toml");

/// Which names are hidden and which are shown all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excludes {
    groups: Vec<Group>,
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
        Ok(Self {
            groups: file.group,
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
        let group = self.groups.iter().find(|group| {
            (group.always || !named)
                && group.names.iter().any(|pattern| fits(pattern, name))
                && group.beside.as_deref().is_none_or(neighbour)
        });
        group.map(|group| group.name.as_str())
    }

    /// All groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }
}

/// Whether a name is the one of a pattern with at most one `%`.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, end)) = pattern.split_once('%') else {
        return pattern == name;
    };
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
