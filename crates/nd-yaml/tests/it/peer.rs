//! PyYAML itself, where it is installed, as judge of values and of dumps.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use nd_testkit::{corpus, peer};
use nd_yaml::{dump, python_repr};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::{corpus::files, read_all};

const SCRIPT: &str = r"
import json, sys, yaml
out = []
for text in json.load(sys.stdin):
    try:
        value = yaml.safe_load(text)
        out.append([repr(value), yaml.dump(value)])
    except RecursionError:
        raise
    except Exception as problem:
        out.append([None, str(problem)])
json.dump(out, sys.stdout)
";

/// `repr(safe_load(text))` and `dump(safe_load(text))` for each text, the first null for errors;
/// `None` where there is no PyYAML.
fn ask(texts: &[String]) -> Option<Vec<(Option<String>, String)>> {
    let python = peer("python3")?;
    let importable = Command::new(&python)
        .args(["-c", "import yaml; assert yaml.__version__ >= '6'"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    if !importable.success() {
        println!("skipped: python3 has no PyYAML 6");
        return None;
    }
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let question = serde_json::to_vec(texts).unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&question).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let rows: Vec<(Json, Json)> = serde_json::from_slice(&output.stdout).unwrap();
    let text = |json: &Json| json.as_str().map(str::to_owned);
    Some(
        rows.iter()
            .map(|(value, dump)| (text(value), text(dump).unwrap()))
            .collect(),
    )
}

fn compare(texts: &[String]) {
    let Some(answers) = ask(texts) else { return };
    let mut wrong = Vec::new();
    for (text, (value, dumped)) in texts.iter().zip(answers) {
        let (node, codes) = read_all(text.as_bytes());
        let ours = node.filter(|_| codes.iter().all(|code| *code == "yaml-duplicate-key"));
        let ours = ours.map(|node| (python_repr(&node.value), dump(&node)));
        match (&ours, &value) {
            (None, None) => {}
            (Some((ours, our_dump)), Some(value)) if ours == value && *our_dump == dumped => {}
            _ => wrong.push(format!(
                "{text:?}\n  ours {ours:?}\n  PyYAML {value:?} {dumped:?}\n  {codes:?}"
            )),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        texts.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

#[test]
fn agrees_on_every_file() {
    let Some(folder) = corpus() else { return };
    let texts: Vec<String> = files(&folder)
        .iter()
        .map(|path| fs_err::read_to_string(path).unwrap())
        .collect();
    compare(&texts);
}

#[test]
fn agrees_on_corners() {
    let texts = [
        "",
        "# nothing",
        "a",
        "'a'",
        "1",
        "~",
        "- a\n- - b\n  - {c: d, e: [f, g]}\n- ? [x]\n  : y",
        "a: &x [1, 2]\nb: *x\nc: {d: *x}",
        "a: &x {k: v}\nb:\n  <<: *x\n  l: m\n",
        "a: &x {k: v, l: w}\nb: &y {l: z, n: [1]}\nc:\n  q: 1\n  <<: [*x, *y]\n  k: own\n",
        "a: {'<<': 1}",
        "a: 1\na: 2\nb: 3",
        "1: a\ntrue: b\n1.0: c",
        "=: x",
        "a: =",
        "{}: x",
        "a: !!str 1\nb: !!int '2'\nc: !!float 3\nd: !!bool 'on'\ne: !!null x\nf: !!binary aGVsbG8=\n",
        "a: !!timestamp 2024-1-2\nb: 2024-01-02 03:04:05.678 +2\nc: 2001-12-14t21:59:43.10-05:30\nd: 2001-12-15 2:59:43.10",
        "a: 2024-13-01",
        "a: 2023-02-29",
        "a: !!set {x}",
        "a: !!int x",
        "a: !foo x",
        "a: ! 12\nb: ! '12'",
        "a: !!omap [x: 1, y: 2]\nb: !!pairs [x: 1, x: 2]",
        "a: |\n  x\n   y\n\n  z\n\nb: >-\n  x\n  y\n\n  z\nc: |+\n  x\n\n",
        "a: \"x\\ty\\u00e9\\n\"\nb: 'it''s'\n",
        "a: x\n  y\n  z\n",
        "a: \u{e9}\u{1f600} b\nb: \u{a0}x\n",
        "\u{feff}a: b",
        "a: b\r\nc: |\r\n  x\r\n  y\r\n",
        "a: b\n---\nc: d",
        "---\na: b\n...\n",
        "%YAML 1.1\n---\na: b\n",
        "a: *nope",
        "a: [b",
        "a: 'b",
        "a: b: c",
        "a: {{ x }}",
        "a: [\n  b\n]\nc: {\n}\n",
        "k:\n  a: [b,\n  c,\nd]\n  e: \"x\n  y\nz\"\n  f: 'x\n\n  y'\n",
        "- - a: [\n]\n",
        "a: |\n  x\n  y",
        "a: >\n  x\n  y",
        "|+\n  x",
        "a: |\n  x\n  ",
        "a: |+\n  x\n\n   ",
        "a: |\n  x\n     ",
        "a: !\n  k: v\nb: !\n- x\n",
        "- [a, b]: c",
        "a: -1:30\nb: 1:30:59.5\nc: 0b1_1\nd: -0x_f\ne: 0_7\nf: 1__0\ng: +.5\nh: +.inf\ni: .nan",
        "a: 99999999999999999999\nb: -0xffffffffffffffffffff\nc: 07777777777777777777777777\nd: 1e400\ne: 1.0e+400\nf: 1.5e-7\ng: 123456789.0e+20",
        "z: 1\nb: 2\na: 3\nB: 4",
        "2: x\n10: y\n1.5: z",
        "b: 1\n1: x\na: 2",
        "a: []\nb: {}\nc: ''\nd: ' '\ne: ' x'\nf: 'x '\ng: \"x\\n\"\nh: \"\\n\"\ni: \"a\\n b\"\nj: \"a \\nb\"\n",
        "a: '#x'\nb: 'x #y'\nc: 'x: y'\nd: '- x'\ne: '-x'\nf: '?'\ng: '? x'\nh: 'x:'\ni: '@x'\nj: '%x'\nk: '---'\nl: '... x'\n",
        "? |\n  long key\n  of lines\n: v\n",
        "a: [x, y: z, {w: }]\nb: {x, y: , z: w}\n",
        "a: '1'\nb: 'yes'\nc: '2024-01-01'\nd: '~'\ne: '='\nf: '<<'\ng: '1e3'\nh: '0o7'\n",
    ]
    .map(str::to_owned);
    let mut texts = texts.to_vec();
    for width in [
        60, 75, 76, 77, 78, 79, 80, 81, 90, 121, 122, 123, 124, 128, 200,
    ] {
        let words = "word ".repeat(width / 5) + &"x".repeat(width % 5 + 1);
        let long = "y".repeat(width);
        texts.push(format!(
            "a: {words}\nb: '{words}: q'\n{long}: {long} z  z\n"
        ));
        texts.push(format!(
            "a: \"{words}\\t{words}\"\nb: \"{words}\\n{words}\\n\\n {long}\"\n"
        ));
        texts.push(format!("- - \"{}\"\n", "\\u00e9 é".repeat(width / 4)));
    }
    compare(&texts);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    /// Text of any kind survives as PyYAML writes it, and is written as PyYAML writes it.
    #[test]
    fn agrees_on_text(
        texts in proptest::collection::vec("[a-c :#'\"\\\\\n\t\u{e9}\u{2028}{}\\[\\]0-2._-]{0,120}", 100)
    ) {
        let texts: Vec<String> = texts
            .iter()
            // YAML 1.1 had U+2028 as a line break in the text itself; YAML 1.2 has not.
            .map(|text| serde_json::to_string(&[text]).unwrap().replace('\u{2028}', "\\u2028"))
            .collect();
        compare(&texts);
    }

    #[test]
    fn agrees_on_plain_scalars(
        texts in proptest::collection::vec("[-+]?(0[xb]?)?[0-9a-f_.:eE+-]{1,8}", 200)
    ) {
        let texts: Vec<String> = texts.iter().map(|text| format!("a: {text}")).collect();
        compare(&texts);
    }
}
