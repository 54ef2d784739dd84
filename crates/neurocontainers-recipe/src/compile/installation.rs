//! Installation templates.

use nd_report::Span;
use nd_yaml::{Entry, Node};

use crate::codes;

use super::Compiler;

impl Compiler<'_, '_> {
    /// Applies an installation template.
    pub(super) fn apply_template(&mut self, name: &Node, parameters: &[&Entry], _place: Span) {
        let Some(template) = self.render_text(name) else {
            return;
        };
        for entry in parameters {
            self.render_entry(entry);
        }
        let message = format!("unknown installation template `{template}`");
        self.error(codes::INSTALLATION_TEMPLATE, name.span, message);
    }
}
