//! What the image offers.

use nd_yaml::Node;

use crate::{codes, raw, resolved::Deploy};

use super::{
    Compiler,
    directive::items,
    value::{is_list, text_of},
};

impl Compiler<'_, '_> {
    /// Adds what a `deploy` directive gives.
    pub(super) fn add_deploy(&mut self, deploy: &raw::Deploy<'_>) {
        if let Some(node) = deploy.bins
            && let Some(bins) = self.deploy_list(node, "bins")
        {
            if !bins.is_empty() {
                self.deploy_places.bins.get_or_insert(node.span);
            }
            self.bins.extend(bins);
        }
        if let Some(node) = deploy.path
            && let Some(path) = self.deploy_list(node, "path")
        {
            if !path.is_empty() {
                self.deploy_places.path.get_or_insert(node.span);
            }
            self.path.extend(path);
        }
    }

    fn deploy_list(&mut self, node: &Node, what: &str) -> Option<Vec<String>> {
        let value = self.render(node)?;
        if !is_list(&value) {
            let message = format!("Deploy {what} must be a list");
            self.error(codes::RENDERED_TYPE, node.span, message);
            return None;
        }
        Some(items(&value).map(|item| text_of(&item)).collect())
    }

    /// What directives gave, or else what the recipe's own `deploy` gives.
    pub(super) fn resolve_deploy(&mut self) -> Option<Deploy> {
        let top = self.raw.deploy;
        let mut fine = true;
        let mut lists = Vec::new();
        let bins = std::mem::take(&mut self.bins);
        let path = std::mem::take(&mut self.path);
        let places = (self.deploy_places.bins, self.deploy_places.path);
        for (what, node, given, place) in [
            ("bins", top.and_then(|deploy| deploy.bins), bins, places.0),
            ("path", top.and_then(|deploy| deploy.path), path, places.1),
        ] {
            let own = match node {
                None => Vec::new(),
                // Upstream drops what is no list here, and only here.
                Some(node) if self.upstream => match self.render(node) {
                    Some(value) if is_list(&value) => {
                        items(&value).map(|item| text_of(&item)).collect()
                    }
                    Some(_) => Vec::new(),
                    None => {
                        fine = false;
                        Vec::new()
                    }
                },
                Some(node) => self.deploy_list(node, what).unwrap_or_else(|| {
                    fine = false;
                    Vec::new()
                }),
            };
            if given.is_empty() {
                lists.push(own);
                continue;
            }
            if let (Some(node), Some(place), false) = (node, place, own.is_empty() || self.upstream)
            {
                let message = format!("top-level deploy `{what}` are replaced by a directive's");
                let found = nd_report::Diagnostic::new(
                    codes::DEPLOY_HIDDEN,
                    nd_report::Severity::Warning,
                    message,
                );
                self.sink.push(
                    found
                        .at(node.span, "not used")
                        .at(place, "because of these"),
                );
            }
            lists.push(given);
        }
        let path = lists.pop()?;
        let bins = lists.pop()?;
        fine.then_some(Deploy { path, bins })
    }
}
