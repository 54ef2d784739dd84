//! Catalogues and lists through the program.

use nd_testkit::{TestEnv, corpus};

use crate::support::{APPS, files_below, good, read, run, write};

/// A record of one container.
fn record(name: &str, version: &str, date: &str) -> String {
    format!(
        "{{\n  \"apps\": {{\n    \"{name} {version}\": {{\n      \"version\": \"{date}\",\n      \"exec\": \"\",\n      \"apptainer_args\": []\n    }}\n  }},\n  \"categories\": [\n    \"statistics\"\n  ]\n}}"
    )
}

#[test]
fn records_become_a_catalogue_and_its_lists() {
    let env = TestEnv::new().unwrap();
    write(
        &env,
        "releases/tool/1.0.json",
        &record("tool", "1.0", "20240101"),
    );
    write(
        &env,
        "releases/tool_arm64/2.json",
        &record("tool_arm64", "2", "20240102"),
    );
    good(
        &env,
        &[
            "catalogue",
            "build",
            "--releases",
            "releases",
            "--output",
            "apps.json",
        ],
    );
    good(
        &env,
        &["catalogue", "log", "--apps", "apps.json", "-o", "log.txt"],
    );
    assert_eq!(
        read(&env, "log.txt"),
        "tool_1.0_20240101 categories:statistics,\ntool_arm64_2_20240102 categories:statistics,\n"
    );
    good(
        &env,
        &[
            "catalogue",
            "applist",
            "--apps",
            "apps.json",
            "-o",
            "applist.json",
        ],
    );
    assert!(read(&env, "applist.json").contains("\"application\": \"tool_arm64_2_20240102\""));
    good(&env, &["catalogue", "check", "apps.json", "--strict"]);
    // One more record: added, it gives what building gives.
    let path = write(
        &env,
        "releases/tool/1.1.json",
        &record("tool", "1.1", "20240201"),
    );
    let built = [
        "catalogue",
        "build",
        "--releases",
        "releases",
        "-o",
        "apps.json",
        "--check",
    ];
    assert_eq!(run(&env, &built).code, 3);
    let path = path.to_str().unwrap();
    good(
        &env,
        &[
            "catalogue",
            "add",
            path,
            "--apps",
            "apps.json",
            "-o",
            "added.json",
        ],
    );
    good(
        &env,
        &[
            "catalogue",
            "build",
            "--releases",
            "releases",
            "-o",
            "apps.json",
        ],
    );
    assert_eq!(read(&env, "added.json"), read(&env, "apps.json"));
    assert_eq!(run(&env, &built).code, 0);
    // And taken out again.
    good(
        &env,
        &[
            "catalogue",
            "remove",
            "tool/1.1",
            "--apps",
            "apps.json",
            "-o",
            "less.json",
            "--allow-shrink",
        ],
    );
    let said = run(
        &env,
        &["catalogue", "diff", "apps.json", "less.json", "--check"],
    );
    assert_eq!(
        (said.code, said.out.as_str()),
        (3, "~ tool\n  - tool 1.1 (20240201)\n")
    );
    // Or only out of sight: it stays installable, and menus and lists have it no more.
    let hide = ["catalogue", "remove", "tool/1.1", "--keep-reproducible"];
    let files = ["--apps", "apps.json", "-o", "hidden.json"];
    good(&env, &[&hide[..], &files].concat());
    let hidden: serde_json::Value = serde_json::from_str(&read(&env, "hidden.json")).unwrap();
    let app = &hidden["tool"]["apps"]["tool 1.1"];
    assert_eq!(app["version"], "20240201", "{hidden}");
    assert_eq!(app["show_in_menu"], false, "{hidden}");
    good(&env, &["catalogue", "check", "hidden.json"]);
    let menu = ["menu", "build", "--apps", "hidden.json", "--prefix", "out"];
    good(&env, &menu);
    let there = files_below(&env.work().join("out"));
    let has = |path: &str| there.iter().any(|one| one == path);
    assert!(has("applications/tool-1_0.desktop"), "{there:?}");
    assert!(!has("applications/tool-1_1.desktop"), "{there:?}");
    assert!(has("bin/tool-1_1.sh"), "{there:?}");
}

#[test]
fn a_catalogue_that_shrinks_is_refused() {
    let env = TestEnv::new().unwrap();
    for version in 0..10 {
        let (version, date) = (format!("{version}"), "20240101");
        write(
            &env,
            &format!("releases/tool/{version}.json"),
            &record("tool", &version, date),
        );
    }
    let build = [
        "catalogue",
        "build",
        "--releases",
        "releases",
        "-o",
        "apps.json",
    ];
    good(&env, &build);
    for gone in ["3", "4"] {
        fs_err::remove_file(env.work().join(format!("releases/tool/{gone}.json"))).unwrap();
    }
    let before = read(&env, "apps.json");
    let said = run(&env, &build);
    assert_eq!(said.code, 6, "{}", said.err);
    assert!(said.err.contains("from 10 to 8"), "{}", said.err);
    assert_eq!(read(&env, "apps.json"), before);
    good(&env, &[&build[..], &["--allow-shrink"]].concat());
}

#[test]
fn queued_changes_are_merged_and_conflicts_told() {
    let env = TestEnv::new().unwrap();
    write(&env, "base.json", APPS);
    write(
        &env,
        "one.json",
        &APPS.replace(
            "\"abc 1.0\": {\"version\": \"20240131\"",
            "\"abc 1.0\": {\"version\": \"20250101\"",
        ),
    );
    write(
        &env,
        "two.json",
        &APPS.replace(
            "\"cat12 12.9\": {\"version\": \"20240202\"",
            "\"cat12 12.9\": {\"version\": \"20250202\"",
        ),
    );
    write(
        &env,
        "three.json",
        &APPS.replace(
            "\"abc 1.0\": {\"version\": \"20240131\"",
            "\"abc 1.0\": {\"version\": \"20260101\"",
        ),
    );
    good(
        &env,
        &[
            "catalogue",
            "merge",
            "--base",
            "base.json",
            "one.json",
            "two.json",
            "-o",
            "out.json",
        ],
    );
    let merged = read(&env, "out.json");
    assert!(merged.contains("20250101") && merged.contains("20250202"));
    let all = [
        "catalogue",
        "merge",
        "--base",
        "base.json",
        "one.json",
        "three.json",
        "-o",
        "not.json",
    ];
    let said = run(&env, &all);
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains("`three.json` and `one.json` disagree about `abc/abc 1.0`"),
        "{}",
        said.err
    );
    assert!(!env.work().join("not.json").exists());
    good(&env, &[&all[..], &["--later-wins"]].concat());
    assert!(read(&env, "not.json").contains("20260101"));
}

#[test]
fn the_published_catalogue_has_no_errors() {
    let Some(corpus) = corpus() else { return };
    let env = TestEnv::new().unwrap();
    let apps = corpus.join("neurocommand/apps.json");
    let said = good(&env, &["catalogue", "check", apps.to_str().unwrap()]);
    assert!(
        said.err.contains("checked 504 applications: 0 errors"),
        "{}{}",
        said.out,
        said.err
    );
}

#[test]
fn web_applications_need_a_release_and_their_icon() {
    let env = TestEnv::new().unwrap();
    let recipe = "name: web\nversion: \"1.10\"\narchitectures: [x86_64]\ncategories: [statistics]\n\
        build:\n  kind: neurodocker\n  base-image: debian:12\n  pkg-manager: apt\n  directives: []\n\
        deploy:\n  bins: [web]\n  webapp:\n    title: Web\n    icon: icon.svg\n    startup_command: web start\n    port: 80\n\
        readme: text\n";
    write(&env, "recipes/web/build.yaml", recipe);
    write(
        &env,
        "releases/other/1.json",
        &record("other", "1", "20240101"),
    );
    let words = [
        "catalogue",
        "webapps",
        "--recipes",
        "recipes",
        "--releases",
        "releases",
        "-o",
        "webapps.json",
    ];
    good(&env, &words);
    assert!(!read(&env, "webapps.json").contains("Web"));
    write(
        &env,
        "releases/web/1.10.json",
        &record("web", "1.10", "20240101"),
    );
    let said = good(&env, &words);
    assert!(said.err.contains("no file `icon.svg`"), "{}", said.err);
    write(&env, "recipes/web/icon.svg", "<svg/>");
    good(&env, &words);
    let text = read(&env, "webapps.json");
    assert!(
        text.ends_with(
            "\"port\": 80,\n      \"module\": \"web\",\n      \"version\": \"1.10\"\n    }\n  }\n}"
        ),
        "{text}"
    );
    assert!(text.contains("/recipes/web/icon.svg"));
}
