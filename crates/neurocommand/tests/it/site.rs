//! A site that is made equal to its lock, and goes back.

use std::os::unix::fs::MetadataExt as _;

use nd_testkit::{ObjectStore, TestEnv};

use crate::support::{Said, files_below, good, image, read, run, write};

pub(crate) const SITE: [&str; 4] = ["--site", "site", "--settings", "ts.toml"];

/// A store with images, and the settings that say so.
pub(crate) fn store(env: &TestEnv, images: &[&str]) -> Option<ObjectStore> {
    let store = ObjectStore::start()?;
    let url = store.bucket("images");
    for name in images {
        store.put(&format!("images/{name}.simg"), &image(env, name));
    }
    let text = format!("[[source]]\nname = \"store\"\nkind = \"objects\"\nurl = \"{url}\"\n");
    write(env, "ts.toml", &text);
    Some(store)
}

pub(crate) fn lock(env: &TestEnv, path: &str, images: &[&str]) {
    let entry = |image: &&str| {
        let parts: Vec<&str> = image.split('_').collect();
        format!(
            "[[container]]\nname = \"{}\"\nversion = \"{}\"\ndate = \"{}\"\nwrappers = \"script\"\n",
            parts[0], parts[1], parts[2]
        )
    };
    let entries: Vec<String> = images.iter().map(entry).collect();
    write(env, path, &format!("version = 1\n{}", entries.concat()));
}

/// Names of containers that are there, with the modules that commit them.
pub(crate) fn there(env: &TestEnv) -> Vec<String> {
    let files = files_below(&env.work().join("site"));
    let lists = files
        .iter()
        .filter_map(|path| path.strip_suffix("/commands.txt"));
    lists.map(str::to_owned).collect()
}

fn call(env: &TestEnv, words: &[&str]) -> Said {
    run(env, &[words, &SITE].concat())
}

pub(crate) fn fine(env: &TestEnv, words: &[&str]) -> Said {
    good(env, &[words, &SITE].concat())
}

#[test]
fn a_site_is_made_equal_to_its_lock_goes_back_without_a_source_and_frees_what_no_state_needs() {
    let env = TestEnv::new().unwrap();
    let images = [
        "a_1_20240101",
        "a_1_20240202",
        "b_2.0_20240101",
        "c_3_20240101",
    ];
    let Some(store) = store(&env, &images) else {
        return;
    };
    lock(&env, "one.lock", &["a_1_20240101", "b_2.0_20240101"]);
    lock(&env, "two.lock", &["a_1_20240202", "c_3_20240101"]);

    let said = call(&env, &["sync", "one.lock", "--check"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (3, "+ a_1_20240101\n+ b_2.0_20240101\n")
    );
    assert!(!env.work().join("site").exists());
    fine(&env, &["sync", "one.lock"]);
    assert_eq!(there(&env), ["a_1_20240101", "b_2.0_20240101"]);
    // The lock of what is there pins bytes and modules, and asks for nothing more.
    fine(&env, &["lock", "--output", "pinned.lock"]);
    let pinned = read(&env, "pinned.lock");
    assert!(
        pinned.contains("sha256 = ") && pinned.contains("b/2.0.lua"),
        "{pinned}"
    );
    assert_eq!(fine(&env, &["sync", "pinned.lock", "--check"]).out, "");

    let said = fine(&env, &["sync", "two.lock", "--dry-run"]);
    let wanted = "- b_2.0_20240101\n- a_1_20240101\n+ a_1_20240202\n+ c_3_20240101\n";
    assert_eq!(said.out, wanted);
    fine(&env, &["sync", "two.lock"]);
    assert_eq!(there(&env), ["a_1_20240202", "c_3_20240101"]);

    // The sources are gone, and what was there comes back with its bytes.
    drop(store);
    fine(&env, &["rollback", "--offline"]);
    assert_eq!(there(&env), ["a_1_20240101", "b_2.0_20240101"]);
    assert_eq!(fine(&env, &["lock"]).out, pinned);
    fine(&env, &["rollback"]);
    assert_eq!(there(&env), [""; 0]);
    let said = call(&env, &["rollback"]);
    assert_eq!(said.code, 1, "{}", said.err);

    // Nothing needs the images any more.
    let kept = || files_below(&env.work().join("site/.state/kept")).len();
    assert_eq!(kept(), 4);
    let said = fine(&env, &["gc", "--dry-run", "--json"]);
    assert!(said.out.contains("\"images\":4"), "{}", said.out);
    assert_eq!(kept(), 4);
    fine(&env, &["gc"]);
    assert_eq!(kept(), 0);
}

#[test]
fn what_is_installed_is_upgraded_to_the_builds_of_the_catalogue() {
    let env = TestEnv::new().unwrap();
    let images = [
        "a_1_20240101",
        "a_1_20240202",
        "a_2_20240101",
        "b_2.0_20240101",
        "x_1_20240101",
    ];
    let Some(_store) = store(&env, &images) else {
        return;
    };
    lock(
        &env,
        "one.lock",
        &["a_1_20240101", "b_2.0_20240101", "x_1_20240101"],
    );
    fine(&env, &["sync", "one.lock"]);
    let app = |name: &str, date: &str| format!("\"{name}\": {{\"version\": \"{date}\"}}");
    let (a1, a2, b) = (
        app("a 1", "20240202"),
        app("a 2", "20240101"),
        app("b 2.0", "20240101"),
    );
    let apps = format!("{{\"a\": {{\"apps\": {{{a1}, {a2}}}}}, \"b\": {{\"apps\": {{{b}}}}}}}");
    write(&env, "apps.json", &apps);
    let said = fine(&env, &["upgrade", "--dry-run"]);
    assert_eq!(said.out, "a_1_20240101 -> a_1_20240202\n");
    assert!(said.err.contains("x_1_20240101 stays"), "{}", said.err);
    assert_eq!(fine(&env, &["upgrade", "b", "--dry-run"]).out, "");
    // A damaged one is made whole.
    let command = env.work().join("site/b_2.0_20240101/show");
    fs_err::remove_file(&command).unwrap();
    let said = fine(&env, &["upgrade", "--json"]);
    let wanted = ["a_1_20240202", "b_2.0_20240101"];
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["installed"], serde_json::json!(wanted));
    assert_eq!(
        there(&env),
        ["a_1_20240202", "b_2.0_20240101", "x_1_20240101"]
    );
    assert!(command.exists());
    let said = fine(&env, &["upgrade"]);
    assert!(said.err.contains("newest build"), "{}", said.err);
    assert_eq!(call(&env, &["upgrade", "nobody"]).code, 1);
}

#[test]
fn others_of_the_group_can_go_on_with_the_states_of_a_site() {
    let env = TestEnv::new().unwrap();
    let Some(_store) = store(&env, &["a_1_20240101"]) else {
        return;
    };
    let group = fs_err::metadata(env.work()).unwrap().gid();
    let settings = format!("{}[site]\ngroup = \"{group}\"\n", read(&env, "ts.toml"));
    write(&env, "ts.toml", &settings);
    lock(&env, "one.lock", &["a_1_20240101"]);
    lock(&env, "none.lock", &[]);
    fine(&env, &["sync", "one.lock"]);
    fine(&env, &["sync", "none.lock"]);
    let states = env.work().join("site/.state/states");
    for (path, bits) in [
        (states.clone(), 0o2070),
        (states.join("in-use"), 0o060),
        (states.join("000001.lock"), 0o060),
        (env.work().join("site/.state/kept"), 0o2070),
    ] {
        let mode = fs_err::metadata(&path).unwrap().mode();
        assert_eq!(mode & bits, bits, "{}: {mode:o}", path.display());
    }
}

#[test]
fn another_image_than_the_pinned_one_is_refused_and_nothing_is_removed() {
    let env = TestEnv::new().unwrap();
    let Some(_store) = store(&env, &["a_1_20240101", "b_2.0_20240101"]) else {
        return;
    };
    lock(&env, "one.lock", &["a_1_20240101"]);
    fine(&env, &["sync", "one.lock"]);
    lock(&env, "two.lock", &["b_2.0_20240101"]);
    let pinned = format!(
        "{}sha256 = \"{}\"\n",
        read(&env, "two.lock"),
        "0".repeat(64)
    );
    write(&env, "two.lock", &pinned);
    let said = call(&env, &["sync", "two.lock"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("b_2.0_20240101") && said.err.contains("none removed"),
        "{}",
        said.err
    );
    assert_eq!(there(&env), ["a_1_20240101"]);
    // The change has not ended: going back leads to the state before it.
    fine(&env, &["rollback"]);
    assert_eq!(there(&env), ["a_1_20240101"]);
    // What is no lock changes nothing.
    write(
        &env,
        "bad.lock",
        "version = 1\n[[container]]\nname = \"a\"\n",
    );
    let said = call(&env, &["sync", "bad.lock"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert_eq!(there(&env), ["a_1_20240101"]);
}

#[test]
fn containers_are_carried_to_a_site_without_a_network_and_to_the_disk_of_a_node() {
    let env = TestEnv::new().unwrap();
    let Some(store) = store(&env, &["a_1_20240101", "b_2.0_20240101"]) else {
        return;
    };
    lock(&env, "one.lock", &["a_1_20240101", "b_2.0_20240101"]);
    fine(&env, &["sync", "one.lock"]);
    drop(store);
    fine(&env, &["bundle", "export", "usb"]);
    let bundle = ["a_1_20240101.simg", "b_2.0_20240101.simg", "site.lock"];
    assert_eq!(files_below(&env.work().join("usb")), bundle);
    // What is there already is not written again.
    let said = fine(&env, &["bundle", "export", "usb", "--json"]);
    assert!(said.out.contains("\"written\":0"), "{}", said.out);

    let there = ["--site", "far", "--settings", "ts.toml"];
    let import = [&["bundle", "import", "usb"], &there[..]].concat();
    good(&env, &import);
    good(&env, &import);
    // The far site is what the lock of the bundle says, and stays so.
    let check = [&["sync", "usb/site.lock", "--check"], &there[..]].concat();
    assert_eq!(good(&env, &check).out, "");
    fine(&env, &["prefetch", "a", "--to", "node"]);
    let found = files_below(&env.work().join("node"));
    let has = |path: &str| found.iter().any(|found| found == path);
    assert!(
        has("a_1_20240101/show") && has("modules/a/1.lua") && !has("b_2.0_20240101/show"),
        "{found:?}"
    );

    // Another image than the pinned one is not installed.
    write(&env, "usb/b_2.0_20240101.simg", "something else");
    let import = [
        "bundle",
        "import",
        "usb",
        "--site",
        "third",
        "--settings",
        "ts.toml",
    ];
    let said = run(&env, &import);
    assert!(
        said.code == 1 && said.err.contains("is not what the bundle says"),
        "{}",
        said.err
    );
    assert!(!env.work().join("third/b_2.0_20240101").exists());
}
