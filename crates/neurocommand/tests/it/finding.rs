//! Finding containers and commands through the program.

use nd_testkit::TestEnv;

use crate::support::{APPS, good, run, write};

fn env() -> TestEnv {
    let env = TestEnv::new().unwrap();
    write(&env, "apps.json", APPS);
    write(
        &env,
        "index.json",
        r#"{"schema_version": 1, "containers": {
            "abc": {"description": "Strips the skull of a brain.", "commands": ["bet", "abcview"]},
            "cat12": {"description": "Segments.", "commands": ["bet", "cat12"]}}}"#,
    );
    env
}

#[test]
fn words_are_found_in_names_commands_categories_and_descriptions() {
    let env = env();
    let first = |words: &[&str]| {
        let said = good(&env, &[&["search", "--json"], words].concat());
        let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        document["containers"][0]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(first(&["skull", "strip"]), "abc");
    assert_eq!(first(&["abcview"]), "abc");
    assert_eq!(first(&["CAT12"]), "cat12");
    assert_eq!(first(&["vizualization"]), "abc");
    assert_eq!(first(&["ofice"]), "office");
    assert_eq!(first(&["writer"]), "office");
    let said = run(&env, &["search", "abx"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("similar names: abc"), "{}", said.err);
    assert_eq!(run(&env, &["search", "zzzzqq", "--json"]).code, 1);
}

#[test]
fn who_offers_a_command_and_who_shadows_whom() {
    let env = env();
    let said = good(&env, &["search", "--command", "bet"]);
    assert!(
        said.out.contains("abc        1.0      cat12"),
        "{}",
        said.out
    );
    let said = run(&env, &["search", "--command", "bte"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("similar commands: bet"), "{}", said.err);
}

#[test]
fn containers_are_listed_and_shown() {
    let env = env();
    let said = good(&env, &["list"]);
    assert!(
        said.out.contains("cat12") && !said.out.contains("lite"),
        "{}",
        said.out
    );
    assert!(good(&env, &["list", "--hidden"]).out.contains("lite"));
    assert!(!good(&env, &["list", "visual*"]).out.contains("cat12"));
    assert_eq!(run(&env, &["list", "nothing-like-it"]).code, 1);
    let said = good(&env, &["info", "abc/1.0"]);
    assert!(
        said.out.contains("abcview --big") && said.out.contains("bet abcview"),
        "{}",
        said.out
    );
    let said = good(&env, &["info", "lite_20260428_20260813", "--json"]);
    assert!(
        said.out.contains("\"build_date\":\"20260813\""),
        "{}",
        said.out
    );
    let said = run(&env, &["info", "abc/2"]);
    assert!(
        said.code == 1 && said.err.contains("versions: 1.0"),
        "{}",
        said.err
    );
}

#[test]
fn what_the_repository_has_needs_no_installation() {
    let env = env();
    let root = env.work().join("cvmfs/modules");
    write(
        &env,
        "neurodesk.toml",
        &format!("module_root = \"{}\"\n", root.display()),
    );
    let before = good(&env, &["info", "abc"]).out;
    assert!(!before.contains("module load"), "{before}");
    for path in [
        "visualization/abc/1.0.lua",
        "data_organisation/abc/1.0.lua",
        "spine/abc/2.0",
    ] {
        write(&env, &format!("cvmfs/modules/{path}"), "");
    }
    let after = good(&env, &["info", "abc"]).out;
    let words = format!(
        "module use {}/data_organisation && module load abc/1.0\n",
        root.display()
    );
    assert!(after.contains(&words), "{after}");
    assert_eq!(after.matches("module load").count(), 1, "{after}");
    let said = good(&env, &["info", "abc", "--json"]).out;
    assert!(said.contains("\"load\":\"abc/1.0\""), "{said}");
}

#[test]
fn without_a_catalogue_it_says_where_it_looked() {
    let env = TestEnv::new().unwrap();
    write(
        &env,
        "site.toml",
        "brand = \"Site\"\ncatalogue = \"/nowhere/apps.json\"\n",
    );
    let said = run(&env, &["list", "--deployment", "site.toml"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("/nowhere/apps.json") && said.err.contains("--apps FILE"),
        "{}",
        said.err
    );
}

#[test]
fn the_deployment_says_where_its_values_come_from() {
    let env = TestEnv::new().unwrap();
    write(&env, "neurodesk.toml", "# site\nprefix = \"/opt/menu\"\n");
    let said = good(&env, &["config", "show", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["settings"]["brand"]["origin"], "shipped:4");
    let origin = document["settings"]["prefix"]["origin"].as_str().unwrap();
    assert!(origin.ends_with("neurodesk.toml:2"), "{origin}");
    write(
        &env,
        "config.ini",
        "[neurodesk]\ninstalldir = /opt/old\ndeskenv = cli\n",
    );
    let said = good(&env, &["config", "migrate", "config.ini"]);
    assert!(
        said.out.contains("prefix = \"/opt/old\"") && said.out.contains("desktop = \"cli\""),
        "{}",
        said.out
    );
}

#[test]
fn the_published_catalogue_is_copied_verified_and_used_without_a_network() {
    let env = TestEnv::new().unwrap();
    let published = write(&env, "published/apps.json", APPS);
    let text = format!(
        "brand = \"Site\"\ncatalogue_url = \"file://{}\"\n",
        published.display()
    );
    write(&env, "site.toml", &text);
    let with = ["--deployment", "site.toml"];
    let said = run(&env, &[&["list"], &with[..]].concat());
    assert!(
        said.code == 1 && said.err.contains("catalogue refresh"),
        "{}",
        said.err
    );
    good(&env, &[&["catalogue", "refresh"], &with[..]].concat());
    assert!(
        good(&env, &[&["list"], &with[..]].concat())
            .out
            .contains("cat12")
    );
    // What is broken or much smaller does not take the place of the copy.
    for (text, code) in [("{\"a\": []}", 1), ("{", 1), ("{}", 6)] {
        write(&env, "published/apps.json", text);
        let said = run(&env, &[&["catalogue", "refresh"], &with[..]].concat());
        assert_eq!(said.code, code, "{text}: {}", said.err);
    }
    fs_err::remove_file(published).unwrap();
    assert!(
        good(&env, &[&["search", "cat12"], &with[..]].concat())
            .out
            .contains("cat12")
    );
}
