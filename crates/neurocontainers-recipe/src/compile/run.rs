//! `run` directives and what is mounted for them.

use nd_instructions::{BindMount, Network, Op, Script};
use nd_jinja::Value;
use nd_names::Sha256;
use nd_report::Span;
use nd_yaml::Node;

use crate::codes;

use super::{
    Compiler,
    directive::items,
    value::{is_list, text_of},
    world::{CACHE_ROOT, LOCAL_ROOT, RunMounts},
};

/// Build context with a folder for each cache id.
const CACHE_CONTEXT: &str = "neurocontainer-cache";

impl Compiler<'_, '_> {
    /// Applies a `run`: `directive` is the whole mapping, `node` its commands.
    pub(super) fn apply_run(&mut self, directive: &Node, node: &Node, place: Span) {
        // The id is only needed by `get_file`, which an item access may spell in pieces.
        let dumped = Self::mentions(node, "get_file")
            || (Self::mentions(node, "[") && Self::mentions(node, "{{"));
        let (cache_id, text) = if dumped {
            cache_id(directive)
        } else {
            Default::default()
        };
        self.world.state().run = Some(RunMounts {
            cache_id,
            ..RunMounts::default()
        });
        let value = self.render(node);
        let mounts = self.world.state().run.take().unwrap_or_default();
        let Some(commands) = value.and_then(|value| self.commands(&value, node)) else {
            return;
        };
        if commands.is_empty() && !self.upstream {
            self.warn(
                codes::NOTHING_TO_RUN,
                place,
                "`run` has no commands; nothing is run",
            );
            return;
        }
        let mut binds = Vec::new();
        if !mounts.files.is_empty() {
            binds.push(BindMount {
                context: CACHE_CONTEXT.to_owned(),
                source: format!("/{}", mounts.cache_id),
                target: format!("{CACHE_ROOT}/{}", mounts.cache_id),
            });
            self.cache_ids
                .entry(mounts.cache_id.clone())
                .or_insert(text);
            self.staging
                .cache_mounts
                .entry(mounts.cache_id)
                .or_default()
                .extend(mounts.files);
        }
        for key in mounts.locals {
            binds.push(BindMount {
                context: key.clone(),
                source: "/".to_owned(),
                target: format!("{LOCAL_ROOT}/{key}"),
            });
            if !self.staging.local_contexts.contains(&key) {
                self.staging.local_contexts.push(key);
            }
        }
        let op = Op::Run {
            script: Script::Commands(commands),
            mounts: binds,
            network: Network::default(),
        };
        self.emit(op, Some(place));
    }

    fn commands(&mut self, value: &Value, node: &Node) -> Option<Vec<String>> {
        let all = if value.as_str().is_some() {
            vec![value.clone()]
        } else if is_list(value) {
            items(value).collect()
        } else {
            let message = "run directive must render to a string or list";
            self.error(codes::RENDERED_TYPE, node.span, message);
            return None;
        };
        let filled = all.iter().filter(|item| !item.is_none()).map(text_of);
        Some(filled.filter(|text| !text.is_empty()).collect())
    }
}

/// The cache id of a directive and the text it is the digest of.
fn cache_id(directive: &Node) -> (String, String) {
    let text = nd_yaml::dump(directive);
    let hex = Sha256::of(&text).hex();
    (format!("h{}", &hex[..8]), text)
}
