//! Groups, includes and their scopes.

use nd_report::{Diagnostic, Severity, Span};
use nd_yaml::{Map, Node};

use crate::{codes, load::include_directives, raw::Directive};

use super::{Compiler, world::Scope};

impl Compiler<'_, '_> {
    /// Applies directives in order.
    pub(super) fn apply_all(&mut self, directives: &[Directive<'_>]) {
        for directive in directives {
            if self.over_limit {
                return;
            }
            if self.applies(directive.condition) {
                self.apply(directive);
            }
        }
    }

    /// Applies a group. With variables it is a scope of its own; without, what its directives
    /// define stays.
    pub(super) fn apply_group(&mut self, children: &[Directive<'_>], with: Option<&Node>) {
        let Some(with) = with.and_then(Node::as_map).filter(|map| !map.is_empty()) else {
            self.apply_all(children);
            return;
        };
        let Some(values) = self.render_with(with) else {
            return;
        };
        if self.upstream {
            // Each child gets the values by itself, after its condition, and loses them at once.
            for child in children {
                if self.over_limit || !self.applies(child.condition) {
                    continue;
                }
                let scope = self.enter(&values);
                self.apply(child);
                scope.leave(&mut self.world.state());
            }
            return;
        }
        let scope = self.enter(&values);
        self.apply_all(children);
        scope.leave(&mut self.world.state());
    }

    fn enter(&self, values: &[(String, nd_jinja::Value)]) -> Scope {
        let mut state = self.world.state();
        let scope = state.enter();
        for (name, value) in values {
            state.set(name.clone(), value.clone());
        }
        scope
    }

    fn render_with(&mut self, with: &Map) -> Option<Vec<(String, nd_jinja::Value)>> {
        let all: Vec<_> = with.iter().map(|entry| self.render_entry(entry)).collect();
        all.into_iter().collect()
    }

    /// Applies the directives of an included file.
    pub(super) fn apply_include(&mut self, name: &Node, with: Option<&Node>, place: Span) {
        let text = name.as_str().unwrap_or_default();
        if self.include_depth >= 8 {
            let message = format!("includes are nested too deeply at `{text}`");
            self.error(codes::INCLUDE_DEPTH, place, message);
            return;
        }
        let recipe = self.recipe;
        let Some(root) = recipe
            .includes
            .get(text)
            .and_then(|include| include.root.as_ref())
        else {
            let found = Diagnostic::new(
                codes::INCLUDE_NOT_FOUND,
                Severity::Error,
                format!("include not found: {text}"),
            )
            .at(name.span, "");
            self.sink
                .push(found.hint("the path starts at an include folder, the one with `macros`"));
            return;
        };
        // What is wrong with the file was reported when it was read.
        let mut ignored = nd_report::Sink::new();
        let Some(directives) = include_directives(root, &mut recipe.decoder(&mut ignored)) else {
            return;
        };
        self.include_depth += 1;
        let with = with.filter(|_| !self.upstream);
        self.apply_group(&directives, with);
        self.include_depth -= 1;
    }
}
