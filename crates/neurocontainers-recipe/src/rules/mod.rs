//! What breaks containers in production, looked for in a recipe before anything is built.
//!
//! Decoding says what a recipe may not contain; these rules say what it should not. They look at
//! the text of `build.yaml` alone, so they hold for every variant at once and need no rendering:
//! a template in the text counts as a word that nothing is known about. What cannot be judged is
//! not reported. Each rule is a function of a [`Subject`]; [`check`] runs all.

mod base;
pub mod codes;
mod deploy;
mod directives;
mod download;
mod environment;
mod examples;
mod home;
mod icon;
mod licence;
mod pip;
mod shell;
mod version;

use nd_report::{Sink, Span};
use nd_yaml::Node;

use directives::{Script, Step};
pub use examples::example;

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Text of `build.yaml`, or of a file that it includes.
    pub text: &'a str,
    /// The same, read.
    pub root: &'a Node,
}

/// A recipe with its directives in order, made once for all rules.
#[derive(Debug)]
struct Recipe<'a> {
    text: &'a str,
    root: &'a Node,
    steps: Vec<Step<'a>>,
    /// What each `run` directive runs, split into commands once for all rules.
    runs: Vec<Vec<Script<'a>>>,
}

/// One theme of rules.
trait Rule: Sync {
    /// Reports what it finds.
    fn check(&self, recipe: &Recipe<'_>, out: &mut Sink);
}

/// All rules.
const RULES: &[&dyn Rule] = &[
    &home::Home,
    &environment::Environment,
    &base::Base,
    &download::Downloads,
    &pip::Pip,
    &deploy::Deploy,
    &icon::Icon,
    &licence::Licence,
    &version::Version,
];

/// Runs every rule over a recipe.
///
/// ```
/// use nd_report::{FileId, Sink};
/// use neurocontainers_recipe::rules;
///
/// let text = "build: {base-image: 'ubuntu:latest', directives: []}";
/// let mut sink = Sink::new();
/// let limits = nd_yaml::Limits::default();
/// if let Some(root) = nd_yaml::parse(text.as_bytes(), FileId(0), &limits, &mut sink) {
///     rules::check(&rules::Subject { text, root: &root }, &mut sink);
/// }
/// assert_eq!(sink.diagnostics()[0].code, rules::codes::MOVING_BASE);
/// ```
pub fn check(subject: &Subject<'_>, out: &mut Sink) {
    let steps = directives::steps(subject.root);
    let recipe = Recipe {
        text: subject.text,
        root: subject.root,
        runs: directives::runs(&steps),
        steps,
    };
    for rule in RULES {
        rule.check(&recipe, out);
    }
}

impl Recipe<'_> {
    /// The place of `word` in the text of `node`: its `nth` mention, the whole node when the
    /// text writes it in another way (escapes, folding).
    fn place(&self, node: &Node, word: &str, nth: usize) -> Span {
        let range = node.span.range();
        let found = self
            .text
            .get(range.clone())
            .filter(|_| !word.is_empty())
            .and_then(|text| text.match_indices(word).nth(nth));
        match found {
            Some((at, word)) => Span::new(
                node.span.file,
                range.start + at..range.start + at + word.len(),
            ),
            None => node.span,
        }
    }

    /// The place of the bytes `range` of the string that `node` holds.
    fn place_in(&self, node: &Node, value: &str, range: std::ops::Range<usize>) -> Span {
        let Some(word) = value.get(range.clone()) else {
            return node.span;
        };
        // A word that goes over several lines is folded in the text; its first line is there.
        let line = word.lines().next().unwrap_or_default();
        if line.is_empty() {
            return node.span;
        }
        let nth = value[..range.start].matches(line).count();
        self.place(node, line, nth)
    }
}
