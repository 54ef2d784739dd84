//! Variables of a suite and their values.

use indexmap::IndexMap;

use crate::{Compat, is_confined};

use super::{Check, Suite, TestBody};

/// How often values are put into values.
const PASSES: usize = 10;

/// Longest text that expansion may make, in bytes.
const LIMIT: usize = 4 << 20;

/// Where a run of a suite takes place.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The work folder, as the tests see it.
    pub work: &'a str,
    /// How upstream's accidents are treated.
    pub compat: Compat,
}

impl Suite {
    /// The suite with all variables replaced by their values.
    #[must_use]
    pub fn expand(&self, places: &Places<'_>) -> Self {
        let variables = self.all_variables(places);
        let strict = places.compat.is_upstream();
        let put = |text: &str| substitute(text, &variables, strict);
        let each = |text: &Option<String>| text.as_deref().map(put);
        let mut suite = self.clone();
        suite.version = each(&self.version);
        suite.container = each(&self.container);
        suite.env_setup = each(&self.env_setup);
        suite.setup_script = each(&self.setup_script);
        suite.host_script = each(&self.host_script);
        suite.cleanup_script = each(&self.cleanup_script);
        for value in suite.env.values_mut() {
            *value = put(value);
        }
        for test in &mut suite.tests {
            test.body = test.body.as_ref().map(|body| match body {
                TestBody::Command(text) => TestBody::Command(put(text)),
                TestBody::Script(text) => TestBody::Script(put(text)),
            });
            test.env_setup = test.env_setup.as_deref().map(put);
            for text in &mut test.expected_output {
                *text = put(text);
            }
            for check in &mut test.checks {
                *check = match &*check {
                    Check::OutputExists(path) => Check::OutputExists(put(path)),
                    Check::SameDimensions(one, other) => {
                        Check::SameDimensions(put(one), put(other))
                    }
                    Check::Is3d(path) => Check::Is3d(put(path)),
                    Check::OutputDirNotEmpty(path) => Check::OutputDirNotEmpty(put(path)),
                };
            }
        }
        suite
    }

    /// Variables in order, paths first; earlier names win.
    fn all_variables(&self, places: &Places<'_>) -> IndexMap<String, String> {
        let work = places.work.trim_end_matches('/');
        let data = if self.required_files.is_empty() {
            work.to_owned()
        } else {
            format!("{work}/{}", self.name)
        };
        let mut variables = IndexMap::new();
        for (key, value) in &self.test_data {
            let is_path = places.compat.is_upstream()
                || value.contains('/')
                || self
                    .required_files
                    .iter()
                    .any(|required| required.files.iter().any(|file| file == value));
            let value = if key == "output_dir" {
                format!("{work}/{value}")
            } else if value.starts_with('/') || !is_path {
                value.clone()
            } else {
                format!("{data}/{value}")
            };
            variables.insert(key.clone(), value);
        }
        for (key, value) in self.scalars() {
            let value = match key {
                // Upstream takes it relative to where the program was started.
                "output_dir" if !places.compat.is_upstream() && is_confined(value) => {
                    format!("{work}/{value}")
                }
                _ => value.to_owned(),
            };
            variables.entry(key.to_owned()).or_insert(value);
        }
        let strict = places.compat.is_upstream();
        for at in 0..variables.len() {
            if let Some((key, value)) = variables.get_index(at) {
                let mut others = variables.clone();
                others.shift_remove(key);
                let value = substitute(value, &others, strict);
                variables[at] = value;
            }
        }
        variables
    }

    /// Top-level scalars that are variables.
    fn scalars(&self) -> impl Iterator<Item = (&str, &str)> {
        let version = self.version.as_deref().map(|version| ("version", version));
        let own = [("name", self.name.as_str())].into_iter().chain(version);
        own.chain(
            self.variables
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        )
    }

    /// The version with its variables replaced.
    pub(super) fn expanded_version(&self, compat: Compat) -> Option<String> {
        let mut others: IndexMap<String, String> = self
            .scalars()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        others.shift_remove("version");
        let version = self.version.as_deref()?;
        Some(substitute(version, &others, compat.is_upstream()))
    }
}

/// Replaces `${key}` and `$key` until nothing changes. Upstream replaces `$key` wherever it
/// begins a longer name, too (`anywhere`).
fn substitute(text: &str, variables: &IndexMap<String, String>, anywhere: bool) -> String {
    let mut text = text.to_owned();
    for _ in 0..PASSES {
        if !text.contains('$') || text.len() > LIMIT {
            break;
        }
        let mut next = text.clone();
        for (key, value) in variables {
            if key.is_empty() {
                continue;
            }
            next = next.replace(&format!("${{{key}}}"), value);
            next = if anywhere {
                next.replace(&format!("${key}"), value)
            } else {
                replace_word(&next, key, value)
            };
            if next.len() > LIMIT {
                return next;
            }
        }
        if next == text {
            break;
        }
        text = next;
    }
    text
}

/// Replaces `$key` where no further letter, digit or `_` follows.
fn replace_word(text: &str, key: &str, value: &str) -> String {
    let needle = format!("${key}");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&needle) {
        let (before, found) = rest.split_at(at);
        let after = &found[needle.len()..];
        out.push_str(before);
        if after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            out.push_str(&needle);
        } else {
            out.push_str(value);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_as_a_whole() {
        let variables = IndexMap::from([
            ("name".to_owned(), "demo".to_owned()),
            ("dir".to_owned(), "/w/${name}".to_owned()),
        ]);
        assert_eq!(
            substitute("$name $names ${name}s $dir", &variables, false),
            "demo $names demos /w/demo"
        );
        assert_eq!(substitute("$names", &variables, true), "demos");
    }

    #[test]
    fn bombs_end() {
        let variables = IndexMap::from([("a".to_owned(), "$a$a$a$a$a$a$a$a$a$a".repeat(40))]);
        assert!(substitute("$a", &variables, false).len() <= LIMIT * 500);
    }
}
