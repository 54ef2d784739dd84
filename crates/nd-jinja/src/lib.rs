//! The template language of recipes: minijinja with Python-style methods, limits and error spans.
