//! Options of `generate docker` in the order in which they stand.

use crate::reproenv::{Refusal, RefusalKind, Registry, nearest};

/// How many values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// None.
    Nothing,
    /// One.
    One,
    /// All up to the next option.
    Many,
}

/// Options with their short form, number of values, and whether upstream has them.
const OPTIONS: &[(&str, Option<char>, Takes, bool)] = &[
    ("pkg-manager", Some('p'), Takes::One, true),
    ("base-image", Some('b'), Takes::One, true),
    ("arg", None, Takes::One, true),
    ("copy", None, Takes::Many, true),
    ("add", None, Takes::Many, true),
    ("env", None, Takes::Many, true),
    ("entrypoint", None, Takes::Many, true),
    ("install", None, Takes::Many, true),
    ("label", None, Takes::Many, true),
    ("run", None, Takes::One, true),
    ("run-bash", None, Takes::One, true),
    ("user", None, Takes::One, true),
    ("workdir", None, Takes::One, true),
    ("yes", None, Takes::Nothing, true),
    ("json", None, Takes::Nothing, true),
    ("help", None, Takes::Nothing, true),
    ("from", None, Takes::One, false),
    ("as", None, Takes::One, false),
    ("copy-from", None, Takes::Many, false),
    ("from-json", None, Takes::One, false),
    ("sbom", None, Takes::One, false),
    ("no-default-header", None, Takes::Nothing, false),
    ("no-embed-spec", None, Takes::Nothing, false),
    ("no-labels", None, Takes::Nothing, false),
];

/// An option and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Occurrence {
    /// Name without dashes.
    pub(super) option: String,
    /// Whether it names a template.
    pub(super) template: bool,
    /// Its values.
    pub(super) values: Vec<String>,
}

/// A usage error.
pub(super) fn usage(message: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Usage, message)
}

/// Splits arguments into options with their values.
pub(super) fn occurrences(
    arguments: &[String],
    registry: &Registry,
    compat: bool,
) -> Result<Vec<Occurrence>, Refusal> {
    let mut parser = Parser {
        arguments,
        at: 0,
        registry,
        compat,
    };
    let mut all = Vec::new();
    while let Some(word) = parser.next() {
        if word == "--" {
            // Options end here, and there is nothing else to give.
            if let Some(word) = parser.next() {
                return Err(usage(format!("unexpected argument `{word}`")));
            }
            break;
        }
        all.push(parser.option(word)?);
    }
    Ok(all)
}

struct Parser<'a> {
    arguments: &'a [String],
    at: usize,
    registry: &'a Registry,
    compat: bool,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.arguments.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    /// Name, whether it is a template, and the number of values of a long option.
    fn find(&self, name: &str) -> Option<(String, bool, Takes)> {
        let fixed = OPTIONS
            .iter()
            .find(|(known, _, _, upstream)| *known == name && (*upstream || !self.compat));
        if let Some((name, _, takes, _)) = fixed {
            return Some(((*name).to_owned(), false, *takes));
        }
        let key = if self.compat {
            name.to_owned()
        } else {
            name.to_lowercase()
        };
        let offered = !key.starts_with('_') && key == key.to_lowercase() && self.registry.has(&key);
        offered.then_some((key, true, Takes::Many))
    }

    /// Whether a word is an option that is known.
    fn is_known(&self, word: &str) -> bool {
        if let Some(long) = word.strip_prefix("--") {
            let name = long.split_once('=').map_or(long, |(name, _)| name);
            return self.find(name).is_some();
        }
        let short = word.strip_prefix('-').and_then(|rest| rest.chars().next());
        short.is_some_and(|c| OPTIONS.iter().any(|(_, short, ..)| *short == Some(c)))
    }

    fn option(&mut self, word: &'a str) -> Result<Occurrence, Refusal> {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let Some((option, template, takes)) = self.find(name) else {
                return Err(self.unknown(name));
            };
            let values = self.values(&format!("--{name}"), takes, value, template)?;
            return Ok(Occurrence {
                option,
                template,
                values,
            });
        }
        let Some(short) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            let refusal = usage(format!("unexpected argument `{word}`"));
            return Err(refusal.hint("quote values that belong together"));
        };
        let first = short.chars().next().unwrap_or_default();
        let known = OPTIONS.iter().find(|(_, known, ..)| *known == Some(first));
        let Some((name, _, takes, _)) = known else {
            return Err(usage(format!("there is no option `-{first}`")).hint(
                "a value that begins with `-` must be the first of its option, or stand in quotes with others",
            ));
        };
        let value = Some(&short[first.len_utf8()..]).filter(|value| !value.is_empty());
        // Upstream takes the `=` of `-b=X` for the beginning of the value.
        let value = match value {
            Some(value) if !self.compat => Some(value.strip_prefix('=').unwrap_or(value)),
            value => value,
        };
        let values = self.values(&format!("-{first}"), *takes, value, false)?;
        Ok(Occurrence {
            option: (*name).to_owned(),
            template: false,
            values,
        })
    }

    fn values(
        &mut self,
        shown: &str,
        takes: Takes,
        attached: Option<&str>,
        template: bool,
    ) -> Result<Vec<String>, Refusal> {
        if takes == Takes::Nothing {
            return match attached {
                Some(_) => Err(usage(format!("option `{shown}` takes no value"))),
                None => Ok(Vec::new()),
            };
        }
        let mut first = attached;
        if first.is_none() {
            let next = self.arguments.get(self.at).map(String::as_str);
            let option =
                next.filter(|next| !self.compat && takes == Takes::Many && self.is_known(next));
            if template && !self.compat && (option.is_some() || next.is_none()) {
                // A template without required arguments needs no value.
                return Ok(Vec::new());
            }
            if let Some(next) = option {
                return Err(
                    usage(format!("option `{shown}` needs a value, found `{next}`"))
                        .hint(format!("write `\\{next}` if this is the value")),
                );
            }
            first = self.next();
        }
        let Some(first) = first else {
            return Err(usage(format!("option `{shown}` needs a value")));
        };
        let mut values = vec![first.to_owned()];
        while takes == Takes::Many
            && let Some(next) = self.arguments.get(self.at)
            && !next.starts_with('-')
        {
            values.push(next.clone());
            self.at += 1;
        }
        if !self.compat && takes == Takes::Many {
            for value in &mut values {
                if value.starts_with("\\-") {
                    value.remove(0);
                }
            }
        }
        Ok(values)
    }

    fn unknown(&self, name: &str) -> Refusal {
        let refusal = usage(format!("there is no option or template `--{name}`"));
        let names = self.registry.names();
        let fixed = OPTIONS.iter().filter(|option| option.3 || !self.compat);
        let all = fixed
            .map(|option| option.0)
            .chain(names.iter().map(String::as_str));
        match nearest(name, all.filter(|known| !known.starts_with('_')), 2) {
            Some(near) => refusal.hint(format!("near to it: {near}")),
            None => refusal.hint("`neurodocker templates list` has the templates"),
        }
    }
}
