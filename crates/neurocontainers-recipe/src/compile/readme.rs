//! The README.

use nd_report::{Diagnostic, Severity};
use nd_yaml::Node;

use crate::{
    codes,
    decode::truthy,
    load::FILE_LIMIT,
    text::{StructuredReadme, structured_readme},
    trouble::{self, Syntax},
};

use super::Compiler;

impl Compiler<'_, '_> {
    /// The README and the URL it came from; `None` after a report.
    pub(super) fn resolve_readme(&mut self) -> Option<(String, Option<String>)> {
        let about = &self.raw.about;
        if let Some(node) = about
            .readme
            .filter(|node| self.upstream && node.as_str().is_none() && truthy(&node.value))
        {
            self.error(codes::WRONG_TYPE, node.span, "`readme` must be a string");
            return None;
        }
        let inline = about.readme.filter(|node| match node.as_str() {
            Some(text) => !text.trim().is_empty(),
            None => truthy(&node.value),
        });
        let text = match inline {
            Some(node) => Some(self.render_text(node)?),
            None => self.render_readme_file()?,
        };
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            return Some((text, None));
        }
        if let Some(parts) = about.structured_readme {
            let mut text = |node: Option<&Node>| match node.filter(|node| !node.is_null()) {
                Some(node) => self.render_text(node),
                None => Some(String::new()),
            };
            let description = text(Some(parts.description));
            let example = text(Some(parts.example));
            let documentation = text(parts.documentation);
            let citation = text(parts.citation);
            let parts = StructuredReadme {
                description: description?,
                example: example?,
                documentation: documentation?,
                citation: citation?,
            };
            if !parts.is_blank() {
                let identity = self.world.identity();
                return Some((
                    structured_readme(&parts, &identity.name, &identity.version),
                    None,
                ));
            }
        }
        if let Some(node) = about.readme_url {
            let url = self.render_text(node)?;
            return self.fetch_readme(url, node);
        }
        let found = Diagnostic::new(
            codes::NO_README,
            Severity::Error,
            format!(
                "{}: README content cannot be empty; set `readme`, add `README.md`, provide \
                 `structured_readme`, or set `readme_url`",
                self.world.identity().base_name
            ),
        );
        self.sink.push(found.at(self.raw.name.span, ""));
        None
    }

    /// Renders the file `README.md`, if there is one; `None` after a report.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether rendering went well"
    )]
    fn render_readme_file(&mut self) -> Option<Option<String>> {
        let recipe = self.recipe;
        let Some(text) = recipe.readme_file.as_deref() else {
            return Some(None);
        };
        match self.engine.render(text) {
            Ok(text) => {
                self.rendered = self.rendered.saturating_add(text.len());
                Some(Some(text))
            }
            Err(trouble) => {
                let source = recipe.sources().iter().find(|source| source.text == text);
                let mut found = trouble::in_file(&trouble, source, Syntax::Template);
                found = found.hint("`README.md` is a template: braces that are none stand between `{% raw %}` and `{% endraw %}`");
                self.sink.push(found);
                None
            }
        }
    }

    fn fetch_readme(&mut self, url: String, node: &Node) -> Option<(String, Option<String>)> {
        let problem = match self.files.remote(&url, FILE_LIMIT) {
            Ok(bytes) => match String::from_utf8(bytes.into_owned()) {
                Ok(text) if text.trim().is_empty() => "it is empty".to_owned(),
                Ok(text) => return Some((text, Some(url))),
                Err(_) => "it is not valid UTF-8".to_owned(),
            },
            Err(problem) => problem.to_string(),
        };
        let message = format!("failed to load readme_url {url}: {problem}");
        self.error(codes::README_URL, node.span, message);
        None
    }
}
