//! Recipes: reading, checking, compiling.

mod rules;
mod schema;
