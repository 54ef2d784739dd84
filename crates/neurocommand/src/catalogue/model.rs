//! What a catalogue says, checked.

use nd_report::Span;
use serde::Serialize;

use super::names::AppIdentity;

/// Containers in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The containers.
    pub containers: Vec<Container>,
}

/// One container with its released applications.
#[derive(Debug, Clone, Serialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Where its key stands.
    #[serde(skip)]
    pub span: Span,
    /// Topics it is listed under.
    pub categories: Vec<String>,
    /// Its applications in the order of the file.
    pub apps: Vec<App>,
}

/// One application of one build.
#[derive(Debug, Clone, Serialize)]
pub struct App {
    /// `CONTAINER VERSION`, or `LABEL-CONTAINER VERSION` for a program of it.
    pub name: String,
    /// Where its key stands.
    #[serde(skip)]
    pub span: Span,
    /// Container, version and label.
    #[serde(flatten)]
    pub identity: AppIdentity,
    /// The day it was built, `YYYYMMDD`.
    pub build_date: String,
    /// What is run; empty for a shell in the container.
    pub exec: String,
    /// [`Self::exec`] as words.
    #[serde(skip)]
    pub words: Vec<String>,
    /// Arguments that the runtime needs.
    pub apptainer_args: Vec<String>,
    /// Whether it wants a terminal.
    pub terminal: bool,
    /// Whether menus show it.
    pub show_in_menu: bool,
    /// Whether lists of applications show it.
    pub show_in_applist: bool,
    /// Whether it stands for the image, not for a program in it.
    pub primary: bool,
}

impl App {
    /// Stem of its launcher and menu entry: lower case, `-` for blanks, `_` for dots.
    pub fn basename(&self) -> String {
        basename(&self.name)
    }

    /// What people see: the label with the version, or the name.
    pub fn display_name(&self) -> String {
        match &self.identity.label {
            Some(label) => format!("{label} {}", self.identity.version),
            None => self.name.clone(),
        }
    }

    /// Stem of its icon: what stands before the first blank.
    pub fn icon(&self) -> &str {
        self.name.split_whitespace().next().unwrap_or_default()
    }

    /// `NAME_VERSION_DATE`, the stem of its image: the name with `_` for blanks, and the date.
    pub fn stem(&self) -> String {
        format!("{}_{}", self.name.replace(' ', "_"), self.build_date)
    }
}

/// See [`App::basename`].
pub(crate) fn basename(name: &str) -> String {
    name.to_lowercase().replace(' ', "-").replace('.', "_")
}

impl Catalogue {
    /// Every application with its container.
    pub fn apps(&self) -> impl Iterator<Item = (&Container, &App)> {
        self.containers
            .iter()
            .flat_map(|container| container.apps.iter().map(move |app| (container, app)))
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|found| found.name == name)
    }

    /// How many applications there are.
    pub fn len(&self) -> usize {
        self.containers.iter().map(|found| found.apps.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Container {
    /// Its images, newest version last: applications that stand for the image.
    pub fn images(&self) -> impl Iterator<Item = &App> {
        self.apps.iter().filter(|app| app.primary)
    }

    /// The image of the highest version, by numbers first; of equal ones the later in the file.
    pub fn latest(&self) -> Option<&App> {
        self.images()
            .max_by(|a, b| compare_versions(&a.identity.version, &b.identity.version))
    }
}

/// Orders versions as people do: runs of digits by their number, the rest by its letters; what is
/// followed by letters (`1.0rc1`) comes before what ends there.
pub fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(first_a), Some(first_b)) = (a.chars().next(), b.chars().next()) else {
            let rest = |text: &str| match text.chars().next() {
                None => 1,
                Some(c) if c.is_alphabetic() => 0,
                Some(_) => 2,
            };
            return rest(a).cmp(&rest(b));
        };
        let run = |text: &str, digits: bool| {
            text.find(|c: char| c.is_ascii_digit() != digits)
                .unwrap_or(text.len())
        };
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (x, rest_a) = a.split_at(run(a, true));
            let (y, rest_b) = b.split_at(run(b, true));
            (a, b) = (rest_a, rest_b);
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            let (x, y) = (first_a, first_b);
            (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]);
            let mark = |c: char| !c.is_alphabetic();
            mark(x).cmp(&mark(y)).then_with(|| x.cmp(&y))
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_people_do() {
        let mut versions = [
            "1.10", "1.9", "1.9.1", "2.0", "1.9rc1", "20240101", "1.09.2",
        ];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            [
                "1.9rc1", "1.9", "1.9.1", "1.09.2", "1.10", "2.0", "20240101"
            ]
        );
    }
}
