//! `webapps.json`: the browser applications that JupyterLab starts.

use nd_report::{Diagnostic, Severity, Sink};

use crate::{
    codes,
    json::{Member, Node, Object, Style, Value, shown, to_text},
};

/// What the list takes from a recipe.
#[derive(Debug, Clone)]
pub struct WebappRecipe {
    /// Name of the recipe's folder.
    pub name: String,
    /// Version as the recipe writes it.
    pub version: String,
    /// Members of `deploy.webapp` in their order.
    pub fields: Object,
    /// Whether a file of that name is in the recipe's folder; asked for the icon.
    pub icon_exists: bool,
}

/// Where the files of recipes are published.
const RECIPES: &str = "https://raw.githubusercontent.com/NeuroDesk/neurocontainers/main/recipes";

/// The text of `webapps.json`: two blanks, no final newline. `recipes` are those that have a release, in
/// the order of their names; of equal modules the last counts.
pub fn webapps(recipes: &[WebappRecipe], sink: &mut Sink) -> String {
    let mut all = Object::new();
    for recipe in recipes {
        let (module, entry) = entry(recipe, sink);
        all.insert(module, Member::new(entry));
    }
    let document = Node::object([
        ("version", Node::text("1.0")),
        ("webapps", Node::new(Value::Object(all))),
    ]);
    to_text(&document, Style { indent: 2 })
}

fn entry(recipe: &WebappRecipe, sink: &mut Sink) -> (String, Node) {
    let mut fields = recipe.fields.clone();
    let icon = fields.get("icon").and_then(|member| member.node.as_text());
    if let Some(icon) = icon.map(str::to_owned)
        && !icon.contains("://")
        && !icon.starts_with('/')
    {
        if recipe.icon_exists {
            let address = format!("{RECIPES}/{}/{icon}", recipe.name);
            fields.insert("icon".to_owned(), Member::new(Node::text(address)));
        } else {
            let message = format!(
                "recipe `{}` has no file `{}` for its web application",
                recipe.name,
                shown(&icon)
            );
            sink.push(Diagnostic::new(codes::WEBAPP, Severity::Warning, message));
            fields.shift_remove("icon");
        }
    }
    let module = fields
        .get("module")
        .and_then(|member| member.node.as_text())
        .filter(|module| !module.is_empty())
        .unwrap_or(&recipe.name)
        .to_owned();
    fields.insert("module".to_owned(), Member::new(Node::text(module.clone())));
    fields.insert(
        "version".to_owned(),
        Member::new(Node::text(recipe.version.clone())),
    );
    (module, Node::new(Value::Object(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_the_recipe_and_adds_what_is_missing() {
        let fields = [("title", "T"), ("icon", "i.svg"), ("module", "m")];
        let fields: Object = fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Member::new(Node::text(*value))))
            .collect();
        let mut recipe = WebappRecipe {
            name: "r".to_owned(),
            version: "1.10".to_owned(),
            fields,
            icon_exists: true,
        };
        let mut sink = Sink::new();
        let text = webapps(&[recipe.clone()], &mut sink);
        assert_eq!(
            text.split_whitespace().collect::<String>(),
            format!(
                r#"{{"version":"1.0","webapps":{{"m":{{"title":"T","icon":"{RECIPES}/r/i.svg","module":"m","version":"1.10"}}}}}}"#
            )
        );
        recipe.icon_exists = false;
        assert!(!webapps(&[recipe], &mut sink).contains("icon"));
        assert_eq!(sink.diagnostics().len(), 1);
    }
}
