//! What the engine refuses, how it says so, and what it needs no engine for.

use nd_jinja::{Engine, TemplateErrorKind, Undefined, Value, failure, is_template};
use nd_testkit::{cpu_since, cpu_time};
use proptest::prelude::*;

fn context() -> Value {
    Value::from_pairs([
        ("s", Value::from("text")),
        (
            "refuse",
            Value::from_function(|| -> Result<Value, nd_jinja::CallError> {
                Err(failure("not today"))
            }),
        ),
    ])
}

/// Kind, message and the text under the caret.
fn refusal(template: &str) -> (TemplateErrorKind, String, String) {
    let problem = Engine::new(Undefined::Strict)
        .render(template, &context())
        .unwrap_err();
    let at = problem.range.map_or("", |range| &template[range]);
    (problem.kind, problem.message, at.to_owned())
}

#[test]
fn errors_have_kind_message_and_place() {
    use TemplateErrorKind as Kind;
    let cases = [
        (
            "é {{ missing }}",
            Kind::Undefined,
            "`missing` is undefined",
            "missing",
        ),
        ("{{ s.x }}", Kind::Undefined, "`s.x` is undefined", "s.x"),
        (
            "{{ s | nope }}",
            Kind::Unknown,
            "filter nope is unknown",
            "nope",
        ),
        ("{{ raise('a b') }}", Kind::Raised, "a b", "raise('a b')"),
        ("{{ refuse() }}", Kind::Raised, "not today", "refuse()"),
    ];
    for (template, kind, message, at) in cases {
        assert_eq!(
            refusal(template),
            (kind, message.to_owned(), at.to_owned()),
            "{template}"
        );
    }
    assert_eq!(refusal("{{ a b }}").0, Kind::Syntax);
    assert_eq!(refusal("{{ 1 + 'a' }}").0, Kind::Operation);
}

#[test]
fn a_condition_has_its_place_in_itself() {
    let engine = Engine::new(Undefined::Strict);
    let problem = engine.condition("s == missing", &context()).unwrap_err();
    let range = problem.range.unwrap();
    assert!("s == missing"[range].contains("missing"));
    assert!(engine.check_condition("a ==").is_err());
    assert!(engine.check_condition("a == b").is_ok());
}

#[test]
fn work_is_limited() {
    for template in [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 100000000000 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ range(100000000000) | list }}",
        "{{ ('x' * 10000) * 1000000 }}",
        "{% set ns = namespace(x='x') %}{% for i in range(200) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 'x'.ljust(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{% include self %}",
        "{% include '\\0kept:{{ s }}' %}{% import 'y' as x %}",
    ] {
        let begun = cpu_time();
        let result = Engine::new(Undefined::Strict).render(template, &context());
        assert!(
            result.is_err() || result.unwrap().len() < 1000,
            "{template}"
        );
        assert!(cpu_since(begun) < 1.0, "{template} {:?}", cpu_since(begun));
    }
    for step in [
        ".b",
        "+1",
        "|upper",
        "~s",
        " if s else s",
        " and s",
        "**2",
        "[0]",
        "()",
    ] {
        let template = format!("{{{{ s{} }}}}", step.repeat(50_000));
        let problem = Engine::new(Undefined::Strict)
            .render(&template, &context())
            .unwrap_err();
        assert_eq!(problem.kind, TemplateErrorKind::Limit, "{step}");
    }
    for open in ["(", "[", "{{ ", "-", "not ", "{% if a %}", "a.b(", "{'a':"] {
        let template = format!("{{{{ {}", open.repeat(50_000));
        let begun = cpu_time();
        assert!(
            Engine::new(Undefined::Strict)
                .render(&template, &context())
                .is_err()
        );
        assert!(cpu_since(begun) < 1.0, "{open} {:?}", cpu_since(begun));
    }
}

#[test]
fn text_without_marks_is_its_own_result() {
    let engine = Engine::new(Undefined::Strict);
    assert!(!is_template("${x} { {a} }"));
    assert_eq!(engine.render("${x}\r\n", &context()).unwrap(), "${x}");
    assert_eq!(engine.render_cached("a\n\n", &context()).unwrap(), "a\n");
    for _ in 0..2 {
        assert_eq!(
            engine.render_cached("{{ s }}\n", &context()).unwrap(),
            "text"
        );
    }
}

#[test]
fn expressions_have_values() {
    let engine = Engine::new(Undefined::Strict);
    assert!(
        engine
            .evaluate("s == 'text'", &context())
            .unwrap()
            .is_true()
    );
    assert!(engine.evaluate("s ==", &context()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn never_panics(template in "[{}%# a-c'\"|.()\\[\\],+*/~0-9é\n-]{0,60}") {
        for undefined in [Undefined::Strict, Undefined::Lenient] {
            if let Err(problem) = Engine::new(undefined).render(&template, &context())
                && let Some(range) = problem.range
            {
                prop_assert!(range.end <= template.len() + 32);
            }
        }
    }

    #[test]
    fn plain_text_survives(text in "[^{\r]{0,40}[^{\r\n]") {
        let engine = Engine::new(Undefined::Strict);
        prop_assert_eq!(engine.render(&text, &context()).unwrap(), text);
    }
}
