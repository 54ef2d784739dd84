//! What is published, in a real store and a real registry.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use nd_testkit::{ObjectStore, Registry, TestEnv, peer};

use crate::support::{Said, image, write};

const APPS: &str = r#"{"a": {"apps": {"a 1": {"version": "20240101"}, "a 2": {"version": "20240202"},
    "showGUI-a 2": {"version": "20240202", "exec": "show"}}}, "b": {"apps": {"b 1": {"version": "20240101"}}}}"#;

/// The program with the key of a store.
fn program(env: &TestEnv, words: &[&str]) -> assert_cmd::Command {
    let mut command = env.command(env!("CARGO_BIN_EXE_neurocommand"));
    command
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "very secret")
        .args(words);
    command
}

fn call(env: &TestEnv, words: &[&str]) -> Said {
    let output = program(env, words).output().unwrap();
    let said = Said {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!said.err.contains("very secret"), "{}", said.err);
    said
}

#[test]
fn what_stores_lack_is_found_and_uploaded_and_one_failure_does_not_stop_the_others() {
    let (env, Some(store)) = (TestEnv::new().unwrap(), ObjectStore::start()) else {
        return;
    };
    write(&env, "apps.json", APPS);
    let (first, second) = (store.bucket("first"), store.bucket("second"));
    let both = ["--store", &first, "--store", &second];
    let bytes = image(&env, "a_1");
    store.put("first/a_1_20240101.simg", &bytes);
    store.put("second/a_1_20240101.simg", &bytes);
    store.put("second/b_1_20240101.simg", b"cut");
    let images = env.work().join("built");
    fs_err::create_dir(&images).unwrap();
    fs_err::write(images.join("a_2_20240202.simg"), image(&env, "a_2")).unwrap();
    write(&env, "built/b_1_20240101.simg", "an error page of a server");
    let said = call(&env, &[&["images", "check", "--json"], &both[..]].concat());
    assert_eq!(said.code, 1, "{}", said.err);
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let problems: Vec<String> = (found["images"].as_array().unwrap().iter())
        .map(|one| format!("{} {}", one["image"], one["problems"]))
        .collect();
    assert_eq!(
        problems,
        [
            "\"a_1_20240101\" []",
            "\"a_2_20240202\" [\"missing\"]",
            "\"b_1_20240101\" [\"missing\"]"
        ]
    );
    write(&env, "ts.toml", "source = []\n");
    let upload = [
        &[
            "images",
            "upload",
            "--from",
            "built",
            "--settings",
            "ts.toml",
        ],
        &both[..],
    ]
    .concat();
    let said = call(&env, &[&upload[..], &["--dry-run"]].concat());
    assert!(
        said.out
            .starts_with(&format!("a_2_20240202 to {first}, {second}\n")),
        "{}",
        said.out
    );
    let said = call(&env, &upload);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(
        said.err.contains("1 were there, 2 uploads, 1 failed"),
        "{}",
        said.err
    );
    for bucket in ["first", "second"] {
        let stored = store.get(&format!("{bucket}/a_2_20240202.simg"));
        assert_eq!(
            stored,
            fs_err::read(images.join("a_2_20240202.simg")).unwrap()
        );
        let digest =
            String::from_utf8(store.get(&format!("{bucket}/a_2_20240202.simg.sha256"))).unwrap();
        assert!(
            digest.ends_with("  a_2_20240202.simg\n") && digest.len() == 64 + 20,
            "{digest}"
        );
    }
    // Stores that disagree are told as well.
    store.put("first/b_1_20240101.simg", b"longer");
    let said = call(&env, &[&["images", "check", "b"], &both[..]].concat());
    assert!(
        said.code == 1 && said.out.contains("6 bytes") && said.out.contains("3 bytes"),
        "{}",
        said.out
    );
    let said = call(&env, &[&["images", "check", "a"], &both[..]].concat());
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
}

/// Pushes an image of one file as `HOST/tools/a:1_20240101`.
fn push(env: &TestEnv, registry: &Registry) -> Option<()> {
    let (umoci, skopeo, tar) = (peer("umoci")?, peer("skopeo")?, peer("tar")?);
    image(env, "pushed");
    let at = |name: &str| env.work().join(name).display().to_string();
    let (layout, tagged) = (at("layout"), at("layout:x"));
    let to = format!("docker://{}/tools/a:1_20240101", registry.address());
    for (program, words) in [
        (&umoci, vec!["init", "--layout", &layout]),
        (&umoci, vec!["new", "--image", &tagged]),
        (
            &tar,
            vec!["-C", &at("root of pushed"), "-cf", &at("layer"), "opt"],
        ),
        (
            &umoci,
            vec!["raw", "add-layer", "--image", &tagged, &at("layer")],
        ),
        (
            &umoci,
            vec![
                "config",
                "--image",
                &tagged,
                "--config.env",
                "DEPLOY_PATH=/opt/tool",
            ],
        ),
        (
            &skopeo,
            vec![
                "--insecure-policy",
                "copy",
                "--dest-tls-verify=false",
                &format!("oci:{tagged}"),
                &to,
            ],
        ),
    ] {
        let output = Command::new(program).args(&words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
    }
    Some(())
}

#[test]
fn what_only_a_registry_has_is_converted_for_the_store() {
    let env = TestEnv::new().unwrap();
    let (Some(store), Some(registry)) = (ObjectStore::start(), Registry::start()) else {
        return;
    };
    if push(&env, &registry).is_none() {
        return;
    }
    write(&env, "apps.json", APPS);
    let url = store.bucket("images");
    let deployment = format!(
        "brand = \"Other\"\nregistries = [\"http://{}/tools\"]\nstores = [\"{url}\"]\n",
        registry.address()
    );
    write(&env, "neurodesk.toml", &deployment);
    let check = ["images", "check", "a_1_20240101", "--all"];
    let said = call(&env, &check);
    assert!(
        said.code == 1 && said.out.contains("missing") && said.out.contains("there"),
        "{}",
        said.out
    );
    let said = call(&env, &["images", "upload", "a_1_20240101"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = call(&env, &check);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        store
            .get("images/a_1_20240101.simg")
            .windows(4)
            .any(|four| four == b"hsqs")
    );
    // What was made for it is gone from this machine.
    let left = crate::support::files_below(&env.cache().join("images"));
    assert!(left.iter().all(|path| !path.contains(".sif")), "{left:?}");
}

/// Passes connections on to a store and stands still when so many bytes have gone there.
struct Gate {
    address: SocketAddr,
    state: Arc<(Mutex<u64>, Condvar)>,
}

impl Gate {
    fn new(to: &str, limit: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<(Mutex<u64>, Condvar)> = Arc::default();
        let (shared, to) = (state.clone(), to.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, shared) = (TcpStream::connect(&to).unwrap(), shared.clone());
                let (mut from, mut back) =
                    (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut back));
                std::thread::spawn(move || {
                    let (mut client, mut server, mut piece) = (client, server, vec![0; 64 << 10]);
                    while let Ok(got @ 1..) = client.read(&mut piece) {
                        let mut sent = shared.0.lock().unwrap();
                        *sent += got as u64;
                        shared.1.notify_all();
                        if *sent > limit {
                            // Whoever sends waits, and is killed.
                            let _held = shared.1.wait_while(sent, |_| true);
                            return;
                        }
                        drop(sent);
                        if server.write_all(&piece[..got]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, state }
    }

    /// Waits until so many bytes have come, or not for long.
    fn wait_for(&self, bytes: u64) -> bool {
        let sent = self.state.0.lock().unwrap();
        let patience = Duration::from_secs(180);
        let wait = |sent: &mut u64| *sent <= bytes;
        let waited = self.state.1.wait_timeout_while(sent, patience, wait);
        !waited.unwrap().1.timed_out()
    }
}

#[test]
fn an_upload_goes_on_after_a_kill() {
    let (env, Some(store)) = (TestEnv::new().unwrap(), ObjectStore::start()) else {
        return;
    };
    store.bucket("images");
    write(
        &env,
        "apps.json",
        r#"{"a": {"apps": {"a 1": {"version": "20240101"}}}}"#,
    );
    // What follows an image in its file is no part of it.
    let mut bytes = image(&env, "large");
    bytes.resize(40 << 20, 7);
    fs_err::create_dir(env.work().join("built")).unwrap();
    fs_err::write(env.work().join("built/a_1_20240101.simg"), &bytes).unwrap();
    let gate = Gate::new(store.address(), 36 << 20);
    let to = |address: &str| format!("http://{address}/images");
    let words = |store: &str| {
        let words = [
            "images", "upload", "--from", "built", "--json", "--store", store,
        ];
        words.map(str::to_owned)
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_neurocommand"))
        .args(words(&to(&gate.address.to_string())))
        .current_dir(env.work())
        .env_clear()
        .env("HOME", env.root().join("home"))
        .env("ND_CACHE_DIR", env.cache())
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "very secret")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(
            fs_err::File::create(env.root().join("err"))
                .unwrap()
                .into_file(),
        )
        .spawn()
        .unwrap();
    let has_come = gate.wait_for(36 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    let err = fs_err::read_to_string(env.root().join("err")).unwrap();
    assert!(has_come, "{err}");
    let words = words(&to(store.address()));
    let said = call(&env, &words.each_ref().map(String::as_str));
    assert_eq!(said.code, 0, "{}", said.err);
    // Of three parts the two that were whole are not sent again.
    let wanted = format!("\"sent\":{}", 8 << 20);
    assert!(said.out.contains(&wanted), "{}", said.out);
    assert_eq!(store.get("images/a_1_20240101.simg"), bytes);
}

#[test]
fn what_nobody_publishes_goes_only_when_told_and_not_by_a_list_that_may_be_wrong() {
    let (env, Some(store)) = (TestEnv::new().unwrap(), ObjectStore::start()) else {
        return;
    };
    write(&env, "apps.json", APPS);
    let url = store.bucket("images");
    for number in 1..=18 {
        let app = format!(r#"{{"version": "20240101", "image": "kept_{number}"}}"#);
        write(
            &env,
            &format!("releases/kept/{number}.json"),
            &format!(r#"{{"apps": {{"kept {number}": {app}}}}}"#),
        );
        store.put(&format!("images/kept_{number}_20240101.simg"), b"x");
    }
    store.put("images/a_1_20240101.simg", b"x");
    store.put("images/old_1_20230101.simg", b"x");
    store.put("images/old_1_20230101.simg.sha256", b"x");
    let stale = ["images", "stale", "--store", &url, "--retention", "0"];
    let with = |more: &[&str]| call(&env, &[&stale[..], more].concat());
    let said = with(&["--releases", "releases"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(
        said.out,
        "old_1_20230101.simg\nold_1_20230101.simg.sha256\n"
    );
    // Without the records, nearly all of them would go.
    let said = with(&["--apply"]);
    assert_eq!(said.code, 6, "{}", said.err);
    // A record that does not say what it publishes, and an entry with an error, stop everything.
    write(
        &env,
        "releases/kept/19.json",
        r#"{"apps": {"kept 19": {"version": "someday"}}}"#,
    );
    assert_eq!(with(&["--apply", "--releases", "releases"]).code, 1);
    fs_err::remove_file(env.work().join("releases/kept/19.json")).unwrap();
    write(&env, "apps.json", &APPS.replace("20240202", "2024"));
    assert_eq!(with(&["--apply", "--releases", "releases"]).code, 1);
    write(&env, "apps.json", APPS);
    assert!(
        store
            .get("images?list-type=2")
            .windows(4)
            .any(|four| four == b"old_")
    );
    // What was written just now stays for a month.
    let said = call(
        &env,
        &["images", "stale", "--store", &url, "--releases", "releases"],
    );
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    // What the repository does not have would be lost.
    write(&env, "tree/other_1_20230101/commands.txt", "");
    let tree = ["--apply", "--releases", "releases", "--containers", "tree"];
    let said = with(&tree);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(
        said.err
            .contains("the repository does not have its container"),
        "{}",
        said.err
    );
    let listed = || String::from_utf8(store.get("images?list-type=2")).unwrap();
    assert!(listed().contains("old_"));
    // One that cannot be looked at stops everything.
    let gone = [
        "--apply",
        "--releases",
        "releases",
        "--containers",
        "nowhere",
    ];
    assert_eq!(with(&gone).code, 1);
    write(&env, "tree/old_1_20230101/commands.txt", "");
    let said = with(&tree);
    assert_eq!(said.code, 0, "{}", said.err);
    let left = listed();
    assert!(
        !left.contains("old_") && left.matches("<Key>").count() == 19,
        "{left}"
    );
}
