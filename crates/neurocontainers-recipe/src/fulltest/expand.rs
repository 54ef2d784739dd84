//! Variables of a suite and their values.

use indexmap::IndexMap;

use crate::{Compat, is_confined};

use super::{Check, Suite, TestBody};

/// How often values are put into values.
const PASSES: usize = 10;

/// How many variables upstream's way of replacing looks at; each costs a search of every text.
const MOST_VARIABLES: usize = 1000;

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
        let put = |text: &str| substitute(text, &variables, places.compat);
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
        let names: Vec<String> = variables.keys().cloned().collect();
        for name in names {
            // A value does not name itself.
            let Some((at, _, value)) = variables.shift_remove_full(&name) else {
                continue;
            };
            let value = substitute(&value, &variables, places.compat);
            variables.shift_insert(at, name, value);
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
        Some(substitute(version, &others, compat))
    }
}

/// Replaces `${key}` and `$key` until nothing changes. Upstream replaces `$key` wherever it begins
/// a longer name, too.
fn substitute(text: &str, variables: &IndexMap<String, String>, compat: Compat) -> String {
    let mut text = text.to_owned();
    for _ in 0..PASSES {
        if !text.contains('$') {
            break;
        }
        let next = match compat {
            Compat::Upstream => replace_anywhere(&text, variables),
            Compat::Improved => replace_words(&text, variables),
        };
        match next {
            Some(next) if next != text => text = next,
            _ => break,
        }
    }
    text
}

/// One pass of upstream: for each variable in order, `${key}` and then `$key`. `None` when the
/// text would grow beyond the limit.
fn replace_anywhere(text: &str, variables: &IndexMap<String, String>) -> Option<String> {
    let mut text = text.to_owned();
    for (key, value) in variables.iter().take(MOST_VARIABLES) {
        if key.is_empty() {
            continue;
        }
        for name in [format!("${{{key}}}"), format!("${key}")] {
            let found = text.matches(&name).count();
            if found == 0 {
                continue;
            }
            if text.len().saturating_add(found.saturating_mul(value.len())) > LIMIT {
                return None;
            }
            text = text.replace(&name, value);
        }
    }
    Some(text)
}

/// One pass over the text: `${key}`, and `$key` where no letter, digit or `_` follows. `None` when
/// the text would grow beyond the limit.
fn replace_words(text: &str, variables: &IndexMap<String, String>) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let after = &found[1..];
        let (name, length) = reference(after);
        if let Some(value) = variables.get(name) {
            out.push_str(value);
            rest = &found[length + 1..];
        } else {
            // Inside of what is no variable there may be one: `${a$b}`.
            out.push('$');
            rest = after;
        }
        if out.len() + rest.len() > LIMIT {
            return None;
        }
    }
    out.push_str(rest);
    Some(out)
}

/// The name that follows a `$`, empty for none, and how many bytes it takes with its braces.
fn reference(after: &str) -> (&str, usize) {
    if let Some(braced) = after.strip_prefix('{') {
        let end = braced.find('}');
        return end.map_or(("", 0), |end| (&braced[..end], end + 2));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = after.find(|c| !word(c)).unwrap_or(after.len());
    (&after[..end], end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn words_are_replaced_as_a_whole() {
        let known = variables(&[("name", "demo"), ("dir", "/w/${name}"), ("a-b", "c")]);
        let put = |text| substitute(text, &known, Compat::Improved);
        assert_eq!(
            put("$name $names ${name}s $dir"),
            "demo $names demos /w/demo"
        );
        assert_eq!(put("${a-b} $ ${ ${x$name} $$name"), "c $ ${ ${xdemo} $demo");
        assert_eq!(substitute("$names", &known, Compat::Upstream), "demos");
    }

    #[test]
    fn bombs_end() {
        let known = variables(&[("a", &"$b".repeat(1 << 18)), ("b", &"$a".repeat(1 << 18))]);
        for compat in [Compat::Improved, Compat::Upstream] {
            assert!(substitute("$a", &known, compat).len() <= LIMIT);
        }
    }
}
