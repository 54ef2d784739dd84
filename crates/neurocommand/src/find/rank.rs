//! Searching by words: what matches, how well, and what was probably meant.

use nd_report::edits;
use serde::Serialize;

use super::Index;
use crate::catalogue::{Catalogue, Container};

/// A container that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// The container.
    pub name: String,
    /// Its versions, the highest last.
    pub versions: Vec<String>,
    /// Its topics.
    pub categories: Vec<String>,
    /// What is known about it.
    pub description: String,
    /// How well it matches; only the order means something.
    pub score: u32,
    /// Where the words were found: `name`, `command`, `category`, `description`.
    pub matched: Vec<&'static str>,
}

/// Most characters of a query that are looked at.
const QUERY_LIMIT: usize = 200;

/// Containers that match every word of `words`, the best first, equal ones by name. Slips of the
/// keyboard are forgiven in names, commands and categories.
pub fn search(catalogue: &Catalogue, index: &Index, words: &[String]) -> Vec<Hit> {
    let query: String = words.join(" ").chars().take(QUERY_LIMIT).collect();
    let query = query.to_lowercase();
    let words: Vec<&str> = query
        .split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        return Vec::new();
    }
    let mut hits: Vec<Hit> = catalogue
        .containers
        .iter()
        .filter_map(|container| hit(container, index, &words))
        .collect();
    hits.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
    hits
}

/// The fields of a container in lower case.
struct Fields {
    name: String,
    labels: Vec<String>,
    categories: Vec<String>,
    commands: Vec<String>,
    description: String,
}

fn hit(container: &Container, index: &Index, words: &[&str]) -> Option<Hit> {
    let about = index.containers.get(&container.name);
    let fields = Fields {
        name: container.name.to_lowercase(),
        labels: container
            .apps
            .iter()
            .filter_map(|app| app.identity.label.as_ref())
            .map(|label| label.to_lowercase())
            .collect(),
        categories: container
            .categories
            .iter()
            .map(|category| category.to_lowercase())
            .collect(),
        commands: about
            .map(|about| {
                about
                    .commands
                    .iter()
                    .map(|command| command.to_lowercase())
                    .collect()
            })
            .unwrap_or_default(),
        description: about
            .map(|about| about.description.to_lowercase())
            .unwrap_or_default(),
    };
    let mut score = 0;
    let mut matched = Vec::new();
    for word in words {
        let (points, field) = fields.best(word)?;
        score += points;
        if !matched.contains(&field) {
            matched.push(field);
        }
    }
    let mut versions: Vec<String> = container
        .images()
        .map(|app| app.identity.version.clone())
        .collect();
    versions.sort_by(|a, b| crate::catalogue::compare_versions(a, b));
    Some(Hit {
        name: container.name.clone(),
        versions,
        categories: container.categories.clone(),
        description: about
            .map(|about| about.description.clone())
            .unwrap_or_default(),
        score,
        matched,
    })
}

impl Fields {
    /// The field that a word fits best, and how well.
    fn best(&self, word: &str) -> Option<(u32, &'static str)> {
        let limit = match word.chars().count() {
            0..=3 => 0,
            4..=6 => 1,
            _ => 2,
        };
        let slip = |text: &str| limit > 0 && edits(word, text, limit).is_some();
        let any =
            |texts: &[String], fits: &dyn Fn(&str) -> bool| texts.iter().any(|text| fits(text));
        let parts = |text: &str, fits: &dyn Fn(&str) -> bool| {
            text.split(|c: char| !c.is_alphanumeric()).any(fits)
        };
        let ways: [(u32, &'static str, bool); 10] = [
            (100, "name", self.name == word),
            (
                80,
                "command",
                any(&self.commands, &|command| command == word),
            ),
            (60, "name", self.name.starts_with(word)),
            (
                50,
                "name",
                any(&self.labels, &|label| label.starts_with(word)),
            ),
            (40, "name", self.name.contains(word)),
            (
                30,
                "category",
                any(&self.categories, &|category| {
                    parts(category, &|part| part.starts_with(word))
                }),
            ),
            (
                25,
                "description",
                parts(&self.description, &|part| part.starts_with(word)),
            ),
            (15, "name", slip(&self.name) || parts(&self.name, &slip)),
            (10, "command", any(&self.commands, &slip)),
            (
                8,
                "category",
                any(&self.categories, &|category| parts(category, &slip)),
            ),
        ];
        ways.into_iter()
            .find(|(_, _, fits)| *fits)
            .map(|(points, field, _)| (points, field))
    }
}

/// The names closest to `word`, at most five, the closest first: for when nothing was found.
pub fn nearest_names<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> Vec<&'a str> {
    let word: String = word.to_lowercase().chars().take(64).collect();
    let limit = (word.chars().count() / 2).clamp(2, 6);
    let start: String = word.chars().take(3).collect();
    let mut found: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            match edits(&word, &lower, limit) {
                Some(count) => Some((count, name)),
                // A name that begins alike is better than none.
                None if start.len() == 3 && lower.starts_with(&start) => Some((limit + 1, name)),
                None => None,
            }
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(5).map(|(_, name)| name).collect()
}
