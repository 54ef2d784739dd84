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

/// Commands that read the catalogue, each with what else it needs.
const READERS: &[&[&str]] = &[
    &["list", "--hidden"],
    &["search", "evil"],
    &["info", "abc"],
    &[
        "install",
        "--all",
        "--offline",
        "--site",
        "site",
        "--wrapper-style",
        "script",
    ],
    &["run", "--offline", "--site", "site", "abc", "1", "true"],
    &["upgrade", "--offline", "--site", "site"],
    &[
        "catalogue",
        "log",
        "--apps",
        "apps.json",
        "--output",
        "log.txt",
    ],
    &[
        "catalogue",
        "applist",
        "--apps",
        "apps.json",
        "--output",
        "list.json",
    ],
    &["images", "check", "--store", "http://127.0.0.1:9/x"],
    &[
        "images",
        "stale",
        "--apply",
        "--store",
        "http://127.0.0.1:9/x",
    ],
];

#[test]
fn no_command_that_reads_such_names_leaves_its_folders_or_says_them_as_they_are() {
    let env = TestEnv::new().unwrap();
    for name in NAMES {
        let app = format!("\"{name}\": {{\"version\": \"20240101\", \"exec\": \"\"}}");
        let text = format!("{{\"abc\": {{\"apps\": {{{app}}}}}, \"{name}\": {{\"apps\": {{}}}}}}");
        write(&env, "apps.json", &text);
        for words in READERS {
            let said = run(&env, words);
            let told = format!("{name} {words:?}: {}{}", said.out, said.err);
            assert!((0..=6).contains(&said.code), "{} {told}", said.code);
            assert!(!told.contains(['\u{202e}', '\u{1b}', '\0']), "{told}");
            let mut there = files_below(&env.work());
            there.retain(|path| !path.starts_with("site/.state/"));
            there.retain(|path| !["apps.json", "log.txt", "list.json"].contains(&path.as_str()));
            assert_eq!(there, [""; 0], "{told}");
            assert!(!env.root().join("evil").exists() && !env.root().join("evil 1").exists());
        }
    }
}

#[test]
fn a_lock_that_names_what_no_container_is_called_changes_nothing() {
    let env = TestEnv::new().unwrap();
    for (key, value) in [
        ("name", "../../evil"),
        ("name", "a/b"),
        ("name", "-rf"),
        ("name", "a\\u202eb"),
        ("name", "$(touch evil)"),
        ("version", "../1"),
        ("version", "1\\n2"),
        ("date", "../20240101"),
        ("date", "20240231"),
        ("sha256", "x"),
        ("modules", "../../a/1.lua"),
    ] {
        let mut fields = [
            ("name", "\"a\"".to_owned()),
            ("version", "\"1\"".to_owned()),
            ("date", "\"20240101\"".to_owned()),
            ("sha256", format!("\"{}\"", "0".repeat(64))),
            ("modules", "[\"a/1.lua\"]".to_owned()),
        ];
        let list = key == "modules";
        let wrong = if list {
            format!("[\"{value}\"]")
        } else {
            format!("\"{value}\"")
        };
        for field in fields.iter_mut().filter(|field| field.0 == key) {
            field.1.clone_from(&wrong);
        }
        let lines: Vec<String> = (fields.iter())
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect();
        write(
            &env,
            "bad.lock",
            &format!("version = 1\n[[container]]\n{}", lines.concat()),
        );
        let words = ["sync", "bad.lock", "--offline", "--site", "site"];
        let said = run(&env, &words);
        assert_eq!(said.code, 1, "{key} {value}: {}", said.err);
        assert!(said.err.contains("bad.lock"), "{}", said.err);
        assert!(!said.err.contains('\u{202e}'), "{}", said.err);
        assert_eq!(files_below(&env.work()), ["bad.lock"], "{key} {value}");
    }
}

#[test]
fn an_index_from_elsewhere_moves_no_cursor() {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", crate::support::APPS);
    let about =
        r#"{"description": "skull\u202e\u001b[2J strip\nper", "commands": ["b\u001b[1mt"]}"#;
    let index = format!(r#"{{"schema_version": 1, "containers": {{"abc": {about}}}}}"#);
    write(&env, "index.json", &index);
    for words in [
        &["search", "skull"][..],
        &["info", "abc"],
        &["search", "--command", "bt"],
    ] {
        let said = run(&env, words);
        let told = said.out + &said.err;
        assert!(!told.contains(['\u{202e}', '\u{1b}']), "{told}");
    }
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
