//! The fixed layout of a README that is given by its parts.

/// Parts of a README.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StructuredReadme {
    /// What the tool does.
    pub description: String,
    /// How it is used, as shell text.
    pub example: String,
    /// Where its documentation is.
    pub documentation: String,
    /// What to cite.
    pub citation: String,
}

impl StructuredReadme {
    /// Whether there is nothing to show.
    pub fn is_blank(&self) -> bool {
        [
            &self.description,
            &self.example,
            &self.documentation,
            &self.citation,
        ]
        .iter()
        .all(|part| part.trim().is_empty())
    }
}

/// The README of `container` in `version`, from its parts; blank parts are left out.
pub fn structured_readme(parts: &StructuredReadme, container: &str, version: &str) -> String {
    let rule = "-".repeat(34);
    let mut paragraphs = vec![rule.clone(), format!("## {container}/{version} ##")];
    let mut add = |part: &str, text: &dyn Fn(&str) -> String| {
        let part = part.trim();
        if !part.is_empty() {
            paragraphs.push(text(part));
        }
    };
    add(&parts.description, &str::to_owned);
    add(&parts.example, &|part| {
        format!("Example:\n```\n{part}\n```")
    });
    add(&parts.documentation, &|part| {
        format!("More documentation can be found here: {part}")
    });
    add(&parts.citation, &|part| {
        format!("Citation:\n```\n{part}\n```")
    });
    paragraphs.push(format!(
        "To run container outside of this environment: ml {container}/{version}"
    ));
    paragraphs.push(rule);
    paragraphs.join("\n\n")
}
