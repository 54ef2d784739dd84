//! What is said about the container.

use nd_jinja::Value;
use nd_yaml::Node;

use crate::{
    codes,
    raw::Licence,
    resolved::{About, Copyright, Facts, GuiApp, Webapp},
};

use super::{
    Compiler,
    directive::items,
    value::{boolean_of, is_list, text_of},
};

impl Compiler<'_, '_> {
    /// Renders the fields of the release record and takes over the rest.
    pub(super) fn resolve_about(&mut self) -> Option<About> {
        let raw = &self.raw.about;
        let categories = self.texts(raw.categories, "categories");
        let apptainer_args = self.arguments(raw.apptainer_args);
        let show_in_menu = self.visibility(raw.show_in_menu);
        let show_in_applist = self.visibility(raw.show_in_applist);
        let mut gui_apps = Vec::new();
        let mut fine = true;
        for entry in &raw.gui_apps {
            let name = self.render_text(entry.name);
            let exec = self.render_text(entry.exec);
            match (name, exec) {
                (Some(name), Some(exec)) => gui_apps.push(GuiApp { name, exec }),
                _ => fine = false,
            }
        }
        if !fine {
            return None;
        }
        let copyright = raw.copyright.iter().filter_map(|entry| {
            let (node, spdx) = match entry.licence {
                Licence::Spdx(node) => (node, true),
                Licence::Custom(node) => (node, false),
            };
            Some(Copyright {
                licence: written(node)?,
                spdx,
                url: entry.url.and_then(written),
            })
        });
        let webapp = self
            .raw
            .deploy
            .and_then(|deploy| deploy.webapp)
            .map(|webapp| Webapp {
                fields: fields(webapp.map),
            });
        let categories = categories?.unwrap_or_default();
        Some(About {
            categories: if categories.is_empty() {
                vec!["other".to_owned()]
            } else {
                categories
            },
            copyright: copyright.collect(),
            gui_apps,
            apptainer_args: apptainer_args?.unwrap_or_default(),
            show_in_menu: show_in_menu?,
            show_in_applist: show_in_applist?,
            icon: raw.icon.and_then(written),
            description: raw.description.and_then(written),
            citation: raw
                .structured_readme
                .as_ref()
                .and_then(|parts| parts.citation)
                .and_then(written),
            webapp,
        })
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says whether rendering went well"
    )]
    fn texts(&mut self, node: Option<&Node>, what: &str) -> Option<Option<Vec<String>>> {
        let Some(node) = node else {
            return Some(None);
        };
        let value = self.render(node)?;
        if is_list(&value) {
            return Some(Some(items(&value).map(|item| text_of(&item)).collect()));
        }
        let message = format!("`{what}` must be a list");
        self.error(codes::RENDERED_TYPE, node.span, message);
        None
    }

    /// The arguments for whoever runs the container.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether rendering went well"
    )]
    fn arguments(&mut self, node: Option<&Node>) -> Option<Option<Vec<serde_json::Value>>> {
        if let (true, Some(node)) = (self.upstream, node.filter(|node| node.as_seq().is_some())) {
            let value = self.render(node)?;
            return Some(Some(items(&value).map(|item| kept(&item)).collect()));
        }
        let texts = self.texts(node, "apptainer_args")?;
        Some(texts.map(|texts| texts.into_iter().map(Into::into).collect()))
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one says whether rendering went well"
    )]
    fn visibility(&mut self, node: Option<&Node>) -> Option<Option<serde_json::Value>> {
        let Some(node) = node else {
            return Some(None);
        };
        let value = self.render(node)?;
        if value.is_none() {
            return Some(None);
        }
        if self.upstream {
            return Some(Some(kept(&value)));
        }
        if let Some(value) = truth(&value) {
            Some(Some(value.into()))
        } else {
            let message = "visibility must be `true` or `false`";
            self.error(codes::RENDERED_TYPE, node.span, message);
            None
        }
    }
}

/// A rendered value as upstream writes it into a record; what JSON has no type for becomes text.
fn kept(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_else(|_| text_of(value).into())
}

/// A boolean, or text that a template made of one.
fn truth(value: &Value) -> Option<bool> {
    if let Some(value) = boolean_of(value) {
        return Some(value);
    }
    match value.as_str()?.trim() {
        "True" | "true" => Some(true),
        "False" | "false" => Some(false),
        _ => None,
    }
}

impl crate::Recipe {
    /// What the recipe says about itself without any rendering, for lists over many recipes; `None` when
    /// it is not complete enough.
    pub fn facts(&self) -> Option<Facts> {
        let raw = self.raw()?;
        let webapp = raw.deploy.and_then(|deploy| deploy.webapp);
        Some(Facts {
            name: raw.name.value.into_owned(),
            version: raw.version.value.into_owned(),
            description: raw
                .about
                .description
                .or_else(|| raw.about.structured_readme.map(|parts| parts.description))
                .and_then(written),
            icon: raw.about.icon.and_then(written),
            webapp: webapp.map(|webapp| Webapp {
                fields: fields(webapp.map),
            }),
        })
    }
}

/// The text of a scalar as written.
fn written(node: &Node) -> Option<String> {
    node.written().map(str::to_owned)
}

/// The members of a mapping as JSON.
fn fields(map: &nd_yaml::Map) -> indexmap::IndexMap<String, serde_json::Value> {
    map.iter()
        .map(|entry| (nd_yaml::python_str(&entry.key.value), json(&entry.value)))
        .collect()
}

/// A node as JSON; what JSON has no type for becomes text.
fn json(node: &Node) -> serde_json::Value {
    use nd_yaml::Value as Yaml;
    match &node.value {
        Yaml::Null => serde_json::Value::Null,
        Yaml::Bool(value) => (*value).into(),
        Yaml::Int(value) => (*value).into(),
        Yaml::Float(value) => (*value).into(),
        Yaml::Str(text) => text.as_str().into(),
        Yaml::Seq(items) => items.iter().map(json).collect(),
        Yaml::Map(map) => map
            .iter()
            .map(|entry| (nd_yaml::python_str(&entry.key.value), json(&entry.value)))
            .collect(),
        other => nd_yaml::python_str(other).into(),
    }
}
