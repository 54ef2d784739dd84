//! Status, modules, tags, lag, units and lists.

use std::time::{Duration, Instant};

use cvmfs_sync::publisher::{CvmfsServer, Publisher as _, ServerConfig};
use nd_host::{Environment, SystemClock, SystemPrograms};
use serde_json::Value;

use super::case::{Case, KINDS, Kind, NAME};

const LOG: &str = "a_1.0_20240101 categories:x,\nb_1.0_20240101 categories:x,\n";

/// The words that name the publisher of a case.
fn publisher(case: &Case) -> Vec<String> {
    let words = case.words();
    let at = words.iter().position(|word| word == "--state").unwrap();
    words[at..].to_vec()
}

fn run(case: &Case, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = case.program();
    command
        .args(words)
        .args(["--repository", NAME])
        .args(publisher(case));
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn status_tells_what_is_wrong() {
    for kind in KINDS {
        let case = Case::new(kind);
        case.image("a_1.0_20240101", "a");
        assert_eq!(run(&case, &["status", "--check"]).0, Some(1));
        let (_, report, _) = case.output(LOG, &[]);
        assert_eq!(report["failed"].as_array().unwrap().len(), 1);
        let (code, text, said) = run(&case, &["status", "--check", "--json"]);
        assert_eq!(code, Some(1), "{said}");
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["problems"].as_array().unwrap().len(), 2, "{status}");
        assert!(
            status["failed"][0][1]
                .as_str()
                .unwrap()
                .contains("has no image")
        );
        assert_eq!(status["whitelist_hours"].is_null(), kind != Kind::Native);
        case.apply("a_1.0_20240101 categories:x,\n", &[]);
        // It is not listed any more, so that nothing fails.
        let (code, text, said) = run(&case, &["status", "--check", "--prometheus"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(text.contains("cvmfs_sync_failed_containers{repository=\"test.example.org\"} 0\n"));
        if kind == Kind::Native {
            // Thirty days, by default.
            let (code, _, said) = run(&case, &["status", "--check", "--min-days", "31"]);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("the whitelist is good for"), "{said}");
        }
    }
}

#[test]
fn modules_are_reconciled_alone() {
    for kind in KINDS {
        let case = Case::new(kind);
        case.image("a_1.0_20240101", "a");
        case.image("b_1.0_20240101", "b");
        case.apply(LOG, &[]);
        let reconcile = ["modules", "reconcile", "--catalogue", "log.txt", "--json"];
        let check = [&reconcile[..], &["--check"]].concat();
        assert_eq!(run(&case, &check).0, Some(0));
        let log = LOG.replacen("categories:x", "categories:y z", 1);
        fs_err::write(case.env.work().join("log.txt"), &log).unwrap();
        assert_eq!(run(&case, &check).0, Some(3));
        let (code, text, said) = run(&case, &reconcile);
        assert_eq!(code, Some(0), "{said}");
        // One is written and one deleted.
        assert!(text.contains("\"changed\":2"), "{text}");
        assert!(case.read("neurodesk-modules/y_z/a/1.0.lua").is_some());
        assert_eq!(case.read("neurodesk-modules/x/a/1.0.lua"), None);
        case.holds(&log);
    }
}

#[test]
fn old_tags_go_when_asked() {
    let case = Case::new(Kind::Native);
    fs_err::create_dir_all(case.env.work().join("tree")).unwrap();
    for tag in ["one", "generic-two"] {
        fs_err::write(case.env.work().join("tree/file"), tag).unwrap();
        let mut command = case.program();
        command.args(["publish", "tree", "--at", "t", "--tag", tag]);
        command
            .args(["--repository", NAME, "--storage", "storage"])
            .assert()
            .success();
    }
    let clean = |more: &[&str]| {
        let words = [&["tags", "clean", "--json"], more].concat();
        let (code, text, said) = run(&case, &words);
        assert_eq!(code, Some(0), "{said}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    assert_eq!(clean(&[])["old"].as_array().unwrap().len(), 0);
    // Everything made before now; a second has to pass.
    let began = Instant::now();
    while clean(&["--older-than", "0"])["old"]
        .as_array()
        .unwrap()
        .is_empty()
    {
        assert!(began.elapsed() < Duration::from_secs(60));
    }
    let found = clean(&["--older-than", "0"]);
    assert_eq!(
        (&found["old"][0], &found["applied"]),
        (&Value::from("one"), &Value::from(false))
    );
    assert_eq!(clean(&["--older-than", "0", "--apply"])["removed"], 1);
    assert_eq!(
        clean(&["--older-than", "0"])["old"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let verified = case
        .program()
        .args(["verify", "--full", "storage"])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    let log = case.program().args(["log", "storage"]).output().unwrap();
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(
        log.contains("generic-two") && !log.contains("one\n"),
        "{log}"
    );
}

#[test]
fn cvmfs_server_removes_tags_without_a_question() {
    let case = Case::new(Kind::CvmfsServer);
    let environment = Environment::new([("PATH", "/usr/bin:/bin")], case.env.work());
    let name = NAME.parse().unwrap();
    let config = ServerConfig::load(&case.host.repositories, &name).unwrap();
    let mut publisher = CvmfsServer::new(
        config,
        case.host.program.clone(),
        Box::new(SystemPrograms::new(&environment)),
        Box::new(SystemClock),
        &case.env.work(),
        &environment,
    )
    .unwrap();
    assert_eq!(publisher.untag(&["old".parse().unwrap()]).unwrap(), 1);
    assert!(case.host.spool.join("removed-old").exists());
    fs_err::write(case.host.spool.join("in_transaction.lock"), "").unwrap();
    assert!(publisher.untag(&["old".parse().unwrap()]).is_err());
}

#[test]
fn copies_that_are_late_are_told() {
    let case = Case::new(Kind::Native);
    case.image("a_1.0_20240101", "a");
    let good = |words: &[&str]| {
        let output = case.program().args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(good(&["replicate", "storage", "late"]).0, Some(0));
    case.apply("a_1.0_20240101 categories:x,\n", &[]);
    assert_eq!(good(&["replicate", "storage", "good"]).0, Some(0));
    assert_eq!(good(&["verify", "storage", "--servers", "good"]).0, Some(0));
    let servers = [
        "verify",
        "storage",
        "--servers",
        "late",
        "--servers",
        "good",
        "--servers",
        "absent",
    ];
    let (code, said) = good(&servers);
    assert_eq!(code, Some(1), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("1 behind"), "{said}");
    assert!(lines[1].ends_with("current"), "{said}");
    assert!(
        lines[2].contains("no repository") || lines[2].contains("absent"),
        "{said}"
    );
    let status = |more: &[&str]| {
        let servers = [
            "status",
            "--check",
            "--servers",
            "good",
            "--servers",
            "late",
        ];
        run(&case, &[&servers[..], more].concat())
    };
    let (code, told, said) = status(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(told.contains("good: current"), "{told}");
    assert!(said.contains("late is 1 revisions behind"), "{said}");
    assert_eq!(status(&["--max-behind", "1"]).0, Some(0));
    let (_, metrics, _) = status(&["--prometheus"]);
    assert!(metrics.contains("late\"} 1\n"), "{metrics}");
    // The right revision behind a whitelist that no client believes.
    let whitelist = case.env.work().join("good/.cvmfswhitelist");
    let mut bytes = fs_err::read(&whitelist).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(whitelist, bytes).unwrap();
    let (code, said) = good(&["verify", "storage", "--servers", "good"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("current"), "{said}");
}

#[test]
fn watching_applies_what_changes_and_stops_when_asked() {
    let case = Case::new(Kind::Directory);
    case.image("a_1.0_20240101", "a");
    case.image("b_1.0_20240101", "b");
    let log = case.env.work().join("log.txt");
    fs_err::write(&log, "a_1.0_20240101 categories:x,\n").unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test signals a program that it started"
    )]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cvmfs-sync"));
    let mut child = command
        .arg("watch")
        .args(&case.words()[1..])
        .args(["--catalogue", "log.txt", "--interval", "1"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", case.env.root().join("home"))
        .env("ND_CACHE_DIR", case.env.cache())
        .current_dir(case.env.work())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let appears = |stem: &str| {
        let began = Instant::now();
        while case
            .read(&format!("containers/{stem}/commands.txt"))
            .is_none()
        {
            assert!(began.elapsed() < Duration::from_secs(60), "{stem}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    appears("a_1.0_20240101");
    nd_host::write_atomic(&log, LOG.as_bytes()).unwrap();
    appears("b_1.0_20240101");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    // 130 when it was in the middle of a run.
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 130)), "{code:?}");
    case.holds(LOG);
}

#[test]
fn a_unit_and_a_wish_list_are_printed() {
    let case = Case::new(Kind::Directory);
    let unit = case
        .program()
        .args([
            "unit",
            "--repository",
            NAME,
            "--user",
            "root",
            "--program",
            "/bin/true",
        ])
        .args(["--", "--catalogue", "/srv/a b/log.txt"])
        .output()
        .unwrap();
    assert!(unit.status.success());
    let text = String::from_utf8(unit.stdout).unwrap();
    assert!(text.contains(
        "ExecStart=/bin/true watch --repository test.example.org --catalogue \"/srv/a b/log.txt\""
    ));
    if let Some(analyze) = nd_testkit::peer("systemd-analyze") {
        let path = case.env.work().join("cvmfs-sync.service");
        fs_err::write(&path, &text).unwrap();
        let mut command = case.env.command(analyze);
        let output = command
            .args(["verify", "--man=no"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("cvmfs-sync.service:"), "{said}");
    }
    fs_err::write(case.env.work().join("log.txt"), LOG).unwrap();
    let mut command = case.program();
    command.args(["wishlist", "--catalogue", "log.txt", "--repository", NAME]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.ends_with("- 'https://registry.hub.docker.com/vnmd/b_1.0:20240101'\n"),
        "{text}"
    );
}
