//! Input that lies: everything ends in diagnostics, nothing outside of the target.

use nd_testkit::TestEnv;

use crate::support::{files_below, run, write};

/// Names that try to leave, to run or to mislead.
const NAMES: &[&str] = &[
    "../../evil 1",
    "a/b 1",
    "a'b 1",
    "a\\\"b 1",
    "a\\nb 1",
    "$(touch evil) 1",
    "a`touch evil` 1",
    "a;touch evil 1",
    "a|b 1",
    "a\\u202eb 1",
    "\\u0645\\u0631\\u062d 1",
    "-rf 1",
    ".hidden 1",
    " ",
    "a\\u0000b 1",
    "a%f 1",
];

#[test]
fn names_that_could_do_harm_write_nothing() {
    let env = TestEnv::new().unwrap();
    for name in NAMES {
        let by_app = format!(
            "{{\"abc\": {{\"apps\": {{\"{name}\": {{\"version\": \"20240101\", \"exec\": \"\"}}}}}}}}"
        );
        let by_container =
            format!("{{\"{name}\": {{\"apps\": {{\"abc 1\": {{\"version\": \"20240101\"}}}}}}}}");
        for text in [by_app, by_container] {
            write(&env, "apps.json", &text);
            let said = run(&env, &["catalogue", "check", "apps.json"]);
            assert_eq!(said.code, 1, "{text}");
            assert!(said.out.contains("ND07"), "{}", said.out);
            assert!(!said.out.contains('\u{202e}'), "{}", said.out);
            assert_eq!(
                run(
                    &env,
                    &["menu", "build", "--apps", "apps.json", "--prefix", "out"]
                )
                .code,
                1
            );
            assert_eq!(files_below(&env.work()), ["apps.json"], "{text}");
        }
    }
    // Names of records are names of folders and files.
    let record = "{\"apps\": {\"x 1\": {\"version\": \"20240101\"}}}";
    write(&env, "releases/$(touch evil)/1.json", record);
    let said = run(
        &env,
        &[
            "catalogue",
            "build",
            "--releases",
            "releases",
            "-o",
            "out.json",
        ],
    );
    assert!(
        said.code == 1 && !env.work().join("out.json").exists(),
        "{}",
        said.err
    );
}

#[test]
fn wrong_types_are_told_each() {
    let cases = [
        ("[]", "ND0703"),
        ("{\"a\": []}", "ND0703"),
        ("{\"a\": {\"apps\": []}}", "ND0703"),
        ("{\"a\": {\"categories\": \"x\"}}", "ND0703"),
        ("{\"a\": {\"categories\": [1]}}", "ND0703"),
        ("{\"a\": {\"apps\": {\"a 1\": \"x\"}}}", "ND0703"),
        ("{\"a\": {\"apps\": {\"a 1\": {}}}}", "ND0705"),
        (
            "{\"a\": {\"apps\": {\"a 1\": {\"version\": true}}}}",
            "ND0703",
        ),
        (
            "{\"a\": {\"apps\": {\"a 1\": {\"version\": \"20240231\"}}}}",
            "ND0706",
        ),
        (
            "{\"a\": {\"apps\": {\"a 1\": {\"version\": \"20240101\", \"exec\": 1}}}}",
            "ND0703",
        ),
        (
            "{\"a\": {\"apps\": {\"a 1\": {\"version\": \"20240101\", \"exec\": \"x\"}}}}",
            "ND0708",
        ),
        (
            "{\"a\": {\"apps\": {\"x-a 1\": {\"version\": \"20240101\", \"exec\": \"'x\"}}}}",
            "ND0713",
        ),
        (
            "{\"a\": {\"apps\": {\"a.b 1\": {\"version\": \"20240101\"}, \"a_b 1\": {\"version\": \"20240101\"}}}}",
            "ND0710",
        ),
        ("{\"a\": {}, \"a\": {}}", "ND0702"),
        (
            "{\"a\": {\"apps\": {\"x 1\": {\"version\": \"20240101\"}}}, \"b\": {\"apps\": {\"x 1\": {\"version\": \"20240101\"}}}}",
            "ND0711",
        ),
        ("{\"a\": {", "ND0700"),
    ];
    let env = TestEnv::new().unwrap();
    for (text, code) in cases {
        write(&env, "apps.json", text);
        let said = run(&env, &["catalogue", "check", "apps.json"]);
        assert_eq!(said.code, 1, "{text}: {}", said.out);
        assert!(said.out.contains(code), "{text}: {}", said.out);
    }
    for (text, code) in [
        ("{\"a\": {\"categories\": [\"visualisation\"]}}", "ND0712"),
        ("{\"a\": {\"show_in_menu\": \"false\"}}", "ND0703"),
        ("{\"a\": {\"catgories\": []}}", "ND0704"),
        (
            "{\"amico\": {\"apps\": {\"amico 2.1.0 arm64\": {\"version\": \"20240101\"}}}}",
            "ND0709",
        ),
    ] {
        write(&env, "apps.json", text);
        let said = run(&env, &["catalogue", "check", "apps.json"]);
        assert_eq!(said.code, 0, "{text}: {}", said.out);
        assert!(said.out.contains(code), "{text}: {}", said.out);
        assert_eq!(
            run(&env, &["catalogue", "check", "apps.json", "--strict"]).code,
            1
        );
    }
}

#[test]
fn a_million_entries_end_in_one_diagnostic() {
    let env = TestEnv::new().unwrap();
    let mut text = String::from("{\"a\": {\"apps\": {");
    for at in 0..1_000_000 {
        text.extend(["\"a ", &at.to_string(), "\":{},"]);
    }
    text.push_str("\"a x\": {}}}}");
    write(&env, "apps.json", &text);
    let said = run(&env, &["catalogue", "check", "apps.json"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("ND0701") && said.out.len() < 2000,
        "{} bytes",
        said.out.len()
    );
    let said = run(&env, &["search", "a"]);
    assert_eq!(said.code, 1);
}
