//! The template engine, made once for all recipes.

use std::sync::{Arc, LazyLock};

use nd_jinja::{TemplateError, Undefined, Value};

use super::world::{Names, World};

/// Making an engine takes longer than rendering a recipe.
static STRICT: LazyLock<nd_jinja::Engine> =
    LazyLock::new(|| nd_jinja::Engine::new(Undefined::Strict));

/// The engine that only parses.
pub(crate) fn parser() -> &'static nd_jinja::Engine {
    &STRICT
}

/// The engine with the names of one compile.
#[derive(Debug)]
pub(super) struct Engine {
    names: Value,
}

impl Engine {
    pub(super) fn new(world: &Arc<World>) -> Self {
        Self {
            names: Value::from_object(Names(Arc::clone(world))),
        }
    }

    pub(super) fn render(&self, template: &str) -> Result<String, TemplateError> {
        STRICT.render(template, &self.names)
    }

    pub(super) fn condition(&self, condition: &str) -> Result<bool, TemplateError> {
        STRICT.condition(condition, &self.names)
    }

    pub(super) fn evaluate(&self, expression: &str) -> Result<Value, TemplateError> {
        STRICT.evaluate(expression, &self.names)
    }
}
