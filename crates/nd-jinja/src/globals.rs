//! Functions and filters beyond the engine's own.

use minijinja::{
    Environment, Error, ErrorKind, State, UndefinedBehavior, Value,
    value::{Rest, Tuple, ValueKind},
};

use crate::{error::failure, filters, format::percent, python};

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
    environment.add_test("sequence", is_sequence);
    // Python's `str` comes first, so every value may have a case.
    environment.add_test("lower", |state: &State, value: &Value| {
        case_of(state, value, char::is_lowercase, char::is_uppercase)
    });
    environment.add_test("upper", |state: &State, value: &Value| {
        case_of(state, value, char::is_uppercase, char::is_lowercase)
    });
    environment.add_test("odd", |value: &Value| {
        halves_left(value).map(|left| left == 1)
    });
    environment.add_test("even", |value: &Value| {
        halves_left(value).map(|left| left == 0)
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

/// `is sequence`: what has a length and members, so text and mappings, too.
fn is_sequence(state: &State, value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined => state.undefined_behavior() == UndefinedBehavior::Lenient,
        ValueKind::String | ValueKind::Bytes | ValueKind::Map | ValueKind::Seq => true,
        _ => false,
    }
}

/// Whether the text of a value has letters of one case and none of the other.
fn case_of(
    state: &State,
    value: &Value,
    wanted: impl Fn(char) -> bool,
    other: impl Fn(char) -> bool,
) -> Result<bool, Error> {
    if value.is_undefined() && state.undefined_behavior() == UndefinedBehavior::Strict {
        return Err(ErrorKind::UndefinedError.into());
    }
    let text = python::text(value);
    Ok(text.chars().any(wanted) && !text.chars().any(other))
}

/// What two leaves of a number: 0, 1, or -1 for a fraction. An error for anything that is no
/// number, which the engine calls neither odd nor even.
fn halves_left(value: &Value) -> Result<i128, Error> {
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    if value.kind() == ValueKind::Bool {
        return Ok(i128::from(value.is_true()));
    }
    if let (true, Ok(whole)) = (value.is_integer(), i128::try_from(value.clone())) {
        return Ok(whole.rem_euclid(2));
    }
    if value.is_number() {
        let left = f64::try_from(value.clone())?.rem_euclid(2.0);
        return Ok(if left.fract() == 0.0 {
            left as i128
        } else {
            -1
        });
    }
    Err(failure(format!(
        "a {} is neither odd nor even",
        value.kind()
    )))
}
