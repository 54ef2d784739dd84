//! Jinja2 itself, where it is installed, as judge of expressions beyond the recorded ones.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use nd_jinja::{Engine, Undefined, Value};
use nd_testkit::peer;
use serde_json::Value as Json;

const SCRIPT: &str = r"
import json, sys, jinja2
strict, templates = json.load(sys.stdin)
env = jinja2.Environment(undefined=jinja2.StrictUndefined if strict else jinja2.Undefined)
context = dict(s='text', i=3, f=1.5, b=True, n=None, l=['a', 2, 'c'], m={'k': 'v', 'x-y': 1},
    e='', v='1.2.3', words='b A c', nested={'a': {'b': [1, {'c': 'd'}]}}, nl='x\ny\n')
out = []
for template in templates:
    try:
        out.append(env.from_string(template).render(context))
    except Exception as problem:
        out.append(None)
json.dump(out, sys.stdout)
";

fn context() -> Value {
    let text = |items: &[&str]| {
        items
            .iter()
            .map(|item| Value::from(*item))
            .collect::<Value>()
    };
    let inner = Value::from_pairs([("c", "d")]);
    let list: Value = [Value::from(1), inner].into_iter().collect();
    let nested = Value::from_pairs([("a", Value::from_pairs([("b", list)]))]);
    Value::from_pairs([
        ("s", Value::from("text")),
        ("i", 3.into()),
        ("f", 1.5.into()),
        ("b", true.into()),
        ("n", Value::from(())),
        (
            "l",
            [Value::from("a"), 2.into(), "c".into()]
                .into_iter()
                .collect(),
        ),
        (
            "m",
            Value::from_pairs([("k", Value::from("v")), ("x-y", 1.into())]),
        ),
        ("e", "".into()),
        ("v", "1.2.3".into()),
        ("words", text(&["b A c"]).get_item_by_index(0).unwrap()),
        ("nested", nested),
        ("nl", "x\ny\n".into()),
    ])
}

fn compare(undefined: Undefined, templates: &[&str]) {
    let Some(python) = peer("python3") else {
        return;
    };
    let importable = Command::new(&python)
        .args(["-c", "import jinja2; assert jinja2.__version__ >= '3.1'"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    if !importable.success() {
        println!("skipped: python3 has no Jinja2 3.1");
        return;
    }
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let question = serde_json::to_vec(&(undefined == Undefined::Strict, templates)).unwrap();
    child.stdin.take().unwrap().write_all(&question).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap();
    let engine = Engine::new(undefined);
    let context = context();
    let wrong: Vec<String> = templates
        .iter()
        .zip(answers)
        .filter_map(|(template, wanted)| {
            let got = engine.render(template, &context);
            let same = got.as_deref().ok() == wanted.as_str();
            (!same).then(|| format!("{template:?}\n  Jinja2 {wanted}\n  ours   {got:?}"))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        templates.len(),
        wrong.join("\n")
    );
}

const LANGUAGE: &[&str] = &[
    "{{ 1e22 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.0 }} {{ -0.5 }} {{ 123456789.5 }}",
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }}",
    "{{ 6 / 3 }} {{ 1 / 3 }} {{ 1 // 1.0 }} {{ true + 1 }} {{ 0x1f }} {{ 0o17 }} {{ 0b11 }} {{ 1_000 }}",
    "{{ [1, 2] + [3] }} {{ [1] * 2 }} {{ 'a' * 0 }} {{ 'ab' ~ 1 ~ none ~ true ~ 1.0 ~ [1] }}",
    "{{ 'a' < 'b' }} {{ 'a' == \"a\" }} {{ [1] == [1] }} {{ none == none }} {{ 1 != 2 }} {{ 3 > 2 > 1 }}",
    "{{ 'x' if b }} {{ 'x' if not b else 'y' }} {{ e or 'z' }} {{ s and i }} {{ not n }} {{ n or l or 1 }}",
    "{{ l[0:2] }} {{ l[::2] }} {{ l[-2:] }} {{ 'hello'[1:3] }} {{ v.split('.')[-1] }} {{ v[0] }} {{ v[-1] }}",
    "{{ 'a' in m }} {{ 'k' in m }} {{ 'k' not in m }} {{ 2 in l }} {{ '2' in v }} {{ 'a' in ('a', 'b') }}",
    "{{ m }} {{ l }} {{ (1,) }} {{ () }} {{ {} }} {{ [] }} {{ nested }} {{ {'a': (1, 'b')} }} {{ {1: 2, none: true} }}",
    "{{ m.k }} {{ m['k'] }} {{ nested.a.b[1].c }} {{ nested['a']['b'][0] }} {{ m.get('k') }} {{ m.get('q') }} {{ m.get('q', 1) }}",
    "{{ m.items() | list }} {{ m.keys() | list }} {{ m.values() | list }}",
    "{% for k, v in m.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for x in l %}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{% endfor %}",
    "{% for x in l if x != 2 %}{{ x }}{% endfor %}",
    "{% for x in l recursive %}{{ x }}{% endfor %}",
    "{% for a in 'abc' %}{{ loop.cycle('x', 'y') }}{{ loop.previtem }}{% endfor %}",
    "{% set x = 1 %}{% for y in l %}{% set x = x + 1 %}{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0) %}{% for y in l %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "{% set x %}a{{ s }}{% endset %}{{ x }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% macro m1(x, y=2) %}{{ x }}-{{ y }}{% endmacro %}{{ m1(1) }} {{ m1(1, y=3) }}",
    "{% macro m2() %}{{ caller() }}{% endmacro %}{% call m2() %}hi{% endcall %}",
    "{% with a = 1 %}{{ a }}{% endwith %}",
    "{% filter upper %}abc{% endfilter %}",
    "{% if e %}1{% elif l %}2{% else %}3{% endif %}",
    "{% if m.k == 'v' and i >= 3 %}yes{% endif %}",
    "a {%- if b %} b {% endif -%} c",
    "{{- s -}} x",
    "x {{ s }}\n\n",
    "{#- c -#} x {# {{ nope }} #}",
    "{% raw %}{{ a }}{% b %}{% endraw %}",
    "{% raw -%} {{ a }} {%- endraw %}",
    "{% raw %}{%}{{ 'a' 'b' }}{% endraw %}{{ 'a' 'b' }}",
    "{% raw %}{% {% endraw %}{{ 'a' 'b' }}",
    "{#} {{ 'a' 'b' }} #}{{ 'a' 'b' }}",
    "{{ '%s and %s' % ('a', 1) }} {{ '%d%%' % 5 }} {{ '%(k)s' % m }} {{ '%s' % l }} {{ '%.2f' % f }} {{ '%05d' % i }}",
    "{{ 'a' 'b' ~ 'c' }}",
    "{{ '{} {}'.format(1, 'a') }} {{ '{0}{0}{x}'.format(1, x=2) }} {{ '{:>5}'.format(s) }}",
    "{{ v.split('.') | map('int') | list }} {{ v.split('.') | map('int') | sum }} {{ l | map('string') | join('-') }}",
    "{{ l | select('string') | list }} {{ [1,2,3,4] | reject('even') | list }} {{ [{'a': 1}, {'a': 2}] | map(attribute='a') | list }}",
    "{{ [{'a': 1, 'b': 2}, {'a': 2}] | selectattr('a', 'eq', 1) | list }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'c'] | sort }}",
    "{{ ['b', 'A'] | sort(case_sensitive=true) }} {{ [1, 2, 1] | unique | list }} {{ [1, 2, 3] | batch(2) | list }} {{ l | reverse | list }} {{ 'abc' | reverse }}",
    "{{ [1, 2, 3, 4] | slice(2) | list }} {{ [1, 5, 2] | max }} {{ [1, 5, 2] | min }} {{ [1, 2] | first }} {{ m | length }} {{ s | count }}",
    "{{ 'a b c' | title }} {{ \"it's o'neil\" | title }} {{ 'abc DEF' | capitalize }} {{ 'x' | center(5) }}| {{ 'a-b' | replace('-', '+') }}",
    "{{ 'a long text here' | truncate(8) }} {{ 'a long text' | wordcount }}",
    "{{ 'a\nb' | indent }} {{ 'a\nb' | indent(2, true) }} {{ 'a\nb' | indent(width=3, first=True) }}",
    "{{ 3.7 | round }} {{ 3.14159 | round(2) }} {{ 3.2 | round(0, 'ceil') }} {{ 7 | round }} {{ 2.5 | round }} {{ -3 | abs }}",
    "{{ '42' | int }} {{ ' 42 ' | int }} {{ '4_2' | int }} {{ 'x' | int(7) }} {{ '0x1f' | int(0, 16) }} {{ 3.9 | int }} {{ '3.9' | int }} {{ true | int }} {{ n | int }}",
    "{{ '1.5' | float }} {{ 'x' | float }} {{ 'x' | float(2.5) }} {{ 1 | float }} {{ '1e3' | float }}",
    "{{ m | tojson }} {{ l | tojson }} {{ \"<a href='x'>&é\" | tojson }} {{ {'b': 1, 'a': [none, true, 1.5]} | tojson }} {{ {'a': [1]} | tojson(indent=2) }}",
    "{{ '<b>&\"' | e }} {{ '<b>' | escape }} {{ '<b>' | safe }} {{ 'a b/ü' | urlencode }}",
    "{{ m | dictsort }} {{ m | items | list }} {{ s | list }} {{ n | string }} {{ true | string }} {{ 1.0 | string }} {{ l | string }}",
    "{{ 'abc' | first }} {{ 'abc' | last }} {{ [[1, 'a'], [2, 'b']] | map('last') | list }}",
    "{{ s | default('x') }} {{ e | default('x', true) }} {{ n | default('x') }} {{ n | d('x', boolean=true) }} {{ q | default('x') }} {{ m.q | default('x') }} {{ l[9] | default('y') }}",
    "{{ s is string }} {{ i is number }} {{ i is integer }} {{ f is float }} {{ b is boolean }} {{ n is none }} {{ m is mapping }} {{ l is sequence }} {{ l is iterable }} {{ s is iterable }} {{ b is true }} {{ b is false }}",
    "{{ 3 is odd }} {{ 4 is even }} {{ 6 is divisibleby 3 }} {{ 6 is divisibleby(4) }} {{ 'a' is lower }} {{ 'A' is upper }} {{ 1 is eq 1 }} {{ 1 is lt 2 }} {{ 2 is in [1, 2] }} {{ s is sameas s }} {{ s is not string }} {{ i is ge(3) }} {{ 1 is ne(2) }}",
    "{{ s is sequence }} {{ m is sequence }} {{ i is sequence }} {{ () is sequence }}",
    "{{ q is sequence }}",
    "{{ l is lower }} {{ i is upper }} {{ e is lower }} {{ 'aB' is upper }} {{ 'a1' is lower }} {{ m is upper }}",
    "{{ 2.5 is odd }} {{ -3 is odd }} {{ 4.0 is even }} {{ true is odd }}",
    "{{ s is odd }}",
    "{{ q is lower }}",
    "{{ q is even }}",
    "{{ q is defined }} {{ q is undefined }} {{ s is defined }} {{ m.q is defined }} {{ range is callable }} {{ 'int' is filter }} {{ 'odd' is test }}",
    "{{ v.split('.', 1) }} {{ v.rsplit('.', 1) }} {{ words.split() }} {{ ' a  b '.split() }} {{ ' a  b c '.split(none, 1) }} {{ 'a,b,'.split(',') }} {{ ''.split() }} {{ ''.split(',') }} {{ v.split('.', maxsplit=1) }} {{ v.split(sep='.') }}",
    "{{ 'abcabc'.find('c') }} {{ 'abc'.find('z') }} {{ 'abcabc'.rfind('c') }} {{ 'abc'.index('b') }} {{ 'aaa'.count('a') }} {{ 'abc'.count('') }} {{ 'abcabc'.find('c', 3) }} {{ 'aé'.find('é') }}",
    "{{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.startswith('b', 1) }} {{ 'x.zip'.endswith('.zip') }}",
    "{{ 'abc'.replace('b', '') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ ''.replace('', 'x') }} {{ '-'.join(['a', 'b']) }} {{ ','.join('abc') }}",
    "{{ 'ab'.ljust(4) }}| {{ 'ab'.rjust(4, '.') }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6, '*') }} {{ '-5'.zfill(4) }} {{ 'a\tb'.expandtabs(4) }}",
    "{{ 'a.b.c'.partition('.') }} {{ 'a.b.c'.rpartition('.') }} {{ 'abc'.partition('.') }} {{ 'abc'.rpartition('.') }} {{ nl.splitlines() }} {{ nl.splitlines(true) }}",
    "{{ 'v1'.removeprefix('v') }} {{ 'a.zip'.removesuffix('.zip') }} {{ 'xxaxx'.strip('x') }} {{ 'xxaxx'.lstrip('x') }} {{ 'xxaxx'.rstrip('x') }} {{ 'aBc'.swapcase() }}",
    "{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'ab'.islower() }} {{ 'AB'.isupper() }} {{ 'a'.isidentifier() }} {{ 'Ab Cd'.istitle() }}",
    "{{ l.index('c') }} {{ l.count('a') }} {{ [1, 2, 2].count(2) }}",
    "{{ range(3) | list }} {{ range(1, 7, 2) | list }} {{ dict(a=1, b='c') }} {{ dict(m, z=1) }}",
    "{{ joiner is defined }} {{ lipsum is callable }}",
    "{{ {'a': 1}['a'] }} {{ {'a': 1}.a }} {{ [1, 2][1] }} {{ (1, 2)[0] }} {{ 'abc'.upper().lower() }} {{ (1 + 2) * 3 }}",
    "{{ s|upper }}{{ s | upper | lower | replace('t', 'T', 1) }} {{ ('a' ~ 'b') | upper }} {{ -1 | abs }} {{ 'a' ~ 'b' | upper }}",
    "{{ true }} {{ True }} {{ false }} {{ False }} {{ none }} {{ None }}",
    "{{ '\\x41\\u00e9\\n\\t\\\\' }} {{ '\\'' }} {{ \"\\\"\" }} {{ 'a\nb' }}",
    "{{ l | join(', ') }} {{ m | join('-') }} {{ [1, none] | join(',') }} {{ [{'a': 1}] | join(',', attribute='a') }}",
    "{{ [1e16, 0.1] }} {{ (0.5,) }} {{ {'a': 1e-7, 'b': [1e22]} }} {{ [1.0, 'x', none, true] }}",
    "{{ [q] }} {{ {'a': q} }}",
    "{{ '<b>x</b>  y <!-- z -->&lt;' | striptags }} {{ '<' | forceescape }}",
    "{{ [1] | zip([2]) | list }}",
    "{{ 'a' | bool }}",
    "{{ debug() }}",
    "{{ s.nosuch() }}",
    "{{ s.nosuch }}",
    "{{ m.nosuch }}",
    "{{ n.x }}",
    "{{ l[9] }}",
    "{{ q }}",
    "{{ q.x }}",
    "{{ q() }}",
    "{{ q + 1 }}",
    "{{ 1 + q }}",
    "{{ q ~ 'x' }}",
    "{{ q == 1 }}",
    "{{ 1 == q }}",
    "{{ q != q }}",
    "{{ q in l }}",
    "{{ 'a' in q }}",
    "{{ not q }}",
    "{{ q or 1 }}",
    "{{ b and q }}",
    "{{ b or q }}",
    "{{ 'x' if q else 'y' }}",
    "{{ q | upper }}",
    "{{ q | length }}",
    "{{ q | list }}",
    "{{ q | join(',') }}",
    "{{ q | int }}",
    "{{ q | string }}",
    "{{ q is none }}",
    "{{ q is string }}",
    "{{ q is number }}",
    "{{ [q] | length }}",
    "{{ 'a' | replace(q, 'b') }}",
    "{{ 'a'.replace('a', q) }}",
    "{{ m[q] }}",
    "{% if q %}a{% endif %}",
    "{% if q is defined and q %}a{% else %}b{% endif %}",
    "{% for x in q %}a{% else %}b{% endfor %}",
    "{% set x = q %}a",
    "{{ q.a.b | default('x') }}",
    "{{ m.q.r | default('x') }}",
    "{{ 1 + 'a' }}",
    "{{ 'a' + 1 }}",
    "{{ 'a' - 'b' }}",
    "{{ 1 / 0 }}",
    "{{ 1 // 0 }}",
    "{{ 1 % 0 }}",
    "{{ none + 1 }}",
    "{{ l.nosuch() }}",
    "{{ s() }}",
    "{{ m() }}",
    "{{ [1, 2](0) }}",
    "{{ 'abc'.index('z') }}",
    "{{ 'a' | nosuch }}",
    "{{ 'a' is nosuch }}",
    "{{ 'a' | upper(1) }}",
    "{{ 'a'.upper(1) }}",
    "{{ a b }}",
    "{{ a. }}",
    "{{ }}",
    "{{",
    "{{ a",
    "{% if a %}",
    "{% if %}{% endif %}",
    "{% endif %}",
    "{% for %}{% endfor %}",
    "{% for x in l %}",
    "{% nosuch %}",
    "{# a",
    "{{ 'a }}",
    "{{ (1 }}",
    "{{ [1, }}",
    "{{ {1} }}",
    "{{nilearn}, b}",
    "{{ a | }}",
    "{{ a is }}",
    "{{ 1 2 }}",
    "{{ $x }}",
    "{{ a ? b : c }}",
    "{{ a && b }}",
    "{{ !a }}",
    "{{ a; }}",
    "{% include 'x' %}",
    "{% extends 'x' %}",
    "{% import 'x' as y %}",
    "}} a {{ s }}",
    "%} {{ s }}",
    "#} {{ s }}",
    "{ {{ s }} }",
    "{{{ s }}}",
    "{{{'a': 1}}}",
    "${{{ s }}}",
    "{% block x %}a{% endblock %}",
    "{% autoescape true %}{{ '<' }}{% endautoescape %}",
    "{% do 1 %}",
    "{% break %}",
    "{% trans %}a{% endtrans %}",
    "{{ loop }}",
    "{{ s if s }}{{ s if e }}",
    "{{ 'x' if q is defined }}",
    "{{ l | map('nosuch') | list }}",
    "{{ i | length }}",
    "{{ l | sum }}",
    "{{ 'é' | upper }} {{ 'ß'.upper() }} {{ 'É'.lower() }} {{ 'é'|length }} {{ 'aéb'[1] }}",
    "{{ 99999999999999999999 }} {{ 2 ** 64 }} {{ 10 ** 20 }}",
    "{{ .5 }}",
    "{{ 'a'|e ~ '<' }}",
    "{{ l|first|upper }} {{ l | last | upper }} {{ [] | first }}",
    "{{ [] | max }}|{{ [] | last }}",
    "{{ (l)[0] }} {{ (s).upper() }} {{ ((1)) }} {{ (1, 2, 3)|length }}",
    "{{ [x for x in l] }}",
    "{{ lambda }}",
    "{% set m.k = 1 %}",
    "{{ not b and q }}",
    "{{ b is true and i is number }} {{ i is number and not n }}",
    "{{ i == 3 and s == 'text' or q }}",
    "{{ i in [1, 2, 3] and s not in ['x'] }}",
    "{{ s|default('a')|upper }} {{ (q|default('a'))|upper }}",
    "{{ 'a' if i > 2 else 'b' if i > 1 else 'c' }}",
    "{{ {'x86_64': 'amd64', 'aarch64': 'arm64'}['x86_64'] }} {{ {'a': 'b'}.get(s, 'none') }}",
    "{{ v.split('.')[:2] | join('.') }} {{ v.split('.') | first }} {{ v.replace('.', '_') }} {{ v | replace('.', '') }} {{ (v.split('.')[0] | int) + 1 }}",
];

#[test]
fn strict_expressions_agree() {
    compare(Undefined::Strict, LANGUAGE);
}

#[test]
fn lenient_expressions_agree() {
    compare(Undefined::Lenient, LANGUAGE);
}
