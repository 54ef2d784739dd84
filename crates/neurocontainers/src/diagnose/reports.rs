//! Words about codes, gathered from where codes are declared.

use nd_report::Explanation;
use nd_terminal::ToolInfo;
use neurocontainers_recipe::{codes, rules};

mod yaml;

/// Who reports.
pub const TOOL: ToolInfo<'static> = ToolInfo {
    name: "neurocontainers",
    version: env!("CARGO_PKG_VERSION"),
    home: env!("CARGO_PKG_REPOSITORY"),
    pages: concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/book/src/"),
};

/// Words about every code that a check can report, by number.
pub fn explanations() -> Vec<Explanation> {
    let mut all: Vec<Explanation> = codes::RULES
        .iter()
        .map(|rule| {
            let (wrong, right) = rules::example(rule.code);
            Explanation {
                code: rule.code,
                summary: rule.summary,
                details: rule.explanation,
                wrong,
                right,
            }
        })
        .collect();
    all.extend_from_slice(yaml::EXPLANATIONS);
    all.extend_from_slice(rules::codes::EXPLANATIONS);
    all.sort_by_key(|words| words.code);
    all
}
