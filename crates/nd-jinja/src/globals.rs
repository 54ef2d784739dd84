//! Functions and filters beyond the engine's own.

use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Rest, Tuple, ValueKind},
};

use crate::{error::failure, filters, format::percent};

/// Adds them.
pub(crate) fn add(environment: &mut Environment<'static>) {
    environment.add_function("raise", |message: Value| -> Result<Value, Error> {
        Err(failure(message.to_string()))
    });
    environment.add_filter(crate::source::PERCENT, |left: &str, right: Value| {
        percent(left, &right)
    });
    environment.add_filter("format", |left: &str, arguments: Rest<Value>| {
        percent(left, &Value::from(Tuple::new(arguments.to_vec())))
    });
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);
    environment.add_filter("tojson", filters::to_json);
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
    environment.add_filter("e", filters::escape);
    environment.add_filter("escape", filters::escape);
    environment.add_filter("center", filters::center);
    environment.add_filter("wordcount", filters::word_count);
    environment.add_filter("truncate", filters::truncate);
    environment.add_filter("urlencode", filters::url_encode);
    environment.add_filter("striptags", filters::strip_tags);
    environment.add_filter("forceescape", filters::escape);
    // The engine has these and Jinja2 has not: a recipe that uses them works nowhere else.
    for name in ["bool", "chain", "lines", "zip"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    environment.add_test("callable", |value: &Value| {
        value.kind() == ValueKind::Plain || value.is_undefined()
    });
    // Jinja2 has these names; nothing in a recipe needs them to do anything.
    for name in ["lipsum", "cycler", "joiner"] {
        environment.add_function(name, move || -> Result<Value, Error> {
            Err(Error::new(
                ErrorKind::UnknownFunction,
                format!("function `{name}` is not available"),
            ))
        });
    }
}
