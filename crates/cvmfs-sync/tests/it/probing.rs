//! Stratum 1s on the loopback, made by `replicate`: one slow, one stale, one of another repository; and
//! a client whose mount is a folder with the attributes that a mount has.

use std::{path::Path, process::Output};

use jiff::{SignedDuration, Timestamp};
use nd_cvmfs::{Algorithm, Directory, KeyFolder, NewRepository, RepositoryName, create};
use nd_testkit::{TestEnv, peer};
use serde_json::Value;

use crate::{
    life::{NAME, put},
    server::{Manner, Server},
    servers::{SERVERS, with_key},
};

struct Sites {
    env: TestEnv,
}

impl Sites {
    /// A repository that was made hours ago, with a copy from then, and two copies of today, which has so
    /// many files more.
    fn new(files: u32) -> Self {
        let sites = Self {
            env: TestEnv::new().unwrap(),
        };
        sites.old("storage", NAME);
        sites.old("other", "other.example.org");
        sites.replicate("stale");
        // Names that no compression makes short: a root catalogue that is worth a transfer.
        for number in 0..files {
            let hex = |part: u32| {
                nd_names::Sha256::of([number, part].map(u32::to_le_bytes).concat()).hex()
            };
            let name = [0, 1, 2].map(hex).concat();
            put(&sites.env.work().join("tree").join(name), b"");
        }
        sites.good(&[
            "publish",
            "tree",
            "--at",
            "tree",
            "--nested",
            "never",
            "--repository",
            NAME,
            "--storage",
            "storage",
            "--keys",
            "keys",
        ]);
        for copy in ["fast", "slow"] {
            sites.replicate(copy);
        }
        sites
    }

    fn old(&self, storage: &str, name: &str) {
        let then = Timestamp::now() - SignedDuration::from_hours(2);
        let name: RepositoryName = name.parse().unwrap();
        let folder = KeyFolder::new(self.env.work().join("keys"), name.clone());
        let keys = folder.create(then).unwrap();
        let new = NewRepository {
            name,
            algorithm: Algorithm::Sha1,
            ttl: 240,
            collectable: true,
            days: 30,
            meta_info: None,
        };
        let storage = Directory::new(self.env.work().join(storage));
        create(&storage, &new, &keys, then).unwrap();
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = self.env.command(env!("CARGO_BIN_EXE_cvmfs-sync"));
        command.args(words).output().unwrap()
    }

    fn good(&self, words: &[&str]) -> Value {
        let output = self.run(&[words, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn replicate(&self, copy: &str) {
        let key = format!("keys/{NAME}.pub");
        self.good(&["replicate", "storage", copy, "--key", &key]);
    }

    fn serve(&self, folder: &str, manner: Manner) -> Server {
        Server::start(self.env.work().join(folder), manner)
    }

    /// Describes these servers, in this order, at `servers.toml`.
    fn describe(&self, servers: &[&str]) {
        let servers: Vec<String> = servers
            .iter()
            .map(|server| format!("\"http://{server}\""))
            .collect();
        let start = SERVERS
            .split("[client]")
            .next()
            .unwrap()
            .replace("software.example.org", NAME);
        let key = self.env.work().join(format!("keys/{NAME}.pub"));
        let start = with_key(&start, &key);
        let client = format!(
            "[client]\ngeo_api = true\nservers = [{}]\n",
            servers.join(", ")
        );
        put(
            &self.env.work().join("servers.toml"),
            format!("{start}{client}").as_bytes(),
        );
    }

    fn configuration(&self) -> String {
        let path = format!("root/etc/cvmfs/config.d/{NAME}.conf");
        fs_err::read_to_string(self.env.work().join(path)).unwrap()
    }
}

fn column<'a>(answer: &'a Value, name: &str) -> Vec<&'a Value> {
    let servers = answer["servers"].as_array().unwrap();
    servers.iter().map(|server| &server[name]).collect()
}

#[test]
fn three_replicas_are_ranked_and_the_client_gets_the_good_ones() {
    let sites = Sites::new(3000);
    fs_err::create_dir(sites.env.work().join("root")).unwrap();
    // What the Geo API of the best server would answer.
    let hosts = ["127.0.0.1"; 5].join(",");
    let geo = format!("fast/api/v1.0/geo/cvmfs-sync/{hosts}");
    put(&sites.env.work().join(geo), b"4,2,1,3,5\n");
    let stale = sites.serve("stale", Manner::Honest);
    let slow = sites.serve("slow", Manner::Slow);
    let other = sites.serve("other", Manner::Honest);
    let fast = sites.serve("fast", Manner::Honest);
    let nobody = "127.0.0.1:1";
    sites.describe(&[
        &stale.address,
        &slow.address,
        &other.address,
        &fast.address,
        nobody,
    ]);

    let words = [
        "probe",
        "--description",
        "servers.toml",
        "--write",
        "--root",
        "root",
    ];
    let answer = sites.good(&words);
    let url = |server: &Server| format!("http://{}", server.address);
    assert_eq!(
        column(&answer, "server"),
        [
            &url(&fast),
            &url(&slow),
            &url(&stale),
            &url(&other),
            "http://127.0.0.1:1"
        ],
        "{answer}"
    );
    assert_eq!(
        column(&answer, "state"),
        ["good", "good", "stale", "failed", "failed"]
    );
    assert_eq!(answer["servers"][2]["behind"], 1);
    let why = answer["servers"][3]["why"].as_str().unwrap();
    assert!(why.contains("`other.example.org`"), "{why}");
    assert_eq!(answer["servers"][0]["distance"], 1);
    assert_eq!(answer["servers"][1]["distance"], 2);
    assert_eq!(answer["servers"][0]["samples"], 3);
    assert!(answer["servers"][1]["latency_ms"].as_f64().unwrap() > 100.0);
    for server in 0..2 {
        assert!(
            answer["servers"][server]["bytes_per_second"]
                .as_f64()
                .unwrap()
                > 1e5,
            "{answer}"
        );
    }
    let wanted = format!(
        "CVMFS_USE_GEOAPI=no\nCVMFS_SERVER_URL=\"{}/cvmfs/@fqrn@;{}/cvmfs/@fqrn@\"\n",
        url(&fast),
        url(&slow)
    );
    let written = sites.configuration();
    assert!(written.starts_with(&wanted), "{written}");

    // An earlier ranking is asked for again as long as all of its servers are good.
    let again = [&words[..], &["--reuse", "24"]].concat();
    let answer = sites.good(&again);
    assert_eq!(answer["reused"], true, "{answer}");
    assert_eq!(column(&answer, "server"), [&url(&fast), &url(&slow)]);
    assert_eq!(sites.good(&words)["reused"], false);
    drop(slow);
    let answer = sites.good(&again);
    assert_eq!(answer["reused"], false, "{answer}");
    assert_eq!(answer["best"], serde_json::json!([url(&fast)]));
    assert_eq!(sites.good(&again)["reused"], true);
    let written = sites.configuration();
    assert!(!written.contains(';'), "{written}");

    // Nobody answers: what is there stays; where nothing is, clients get everything.
    drop((stale, other, fast));
    let output = sites.run(&words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("offline"), "{said}");
    assert_eq!(sites.configuration(), written);
    fs_err::remove_dir_all(sites.env.work().join("root/etc")).unwrap();
    assert_eq!(sites.run(&words).status.code(), Some(1));
    assert!(sites.configuration().starts_with("CVMFS_USE_GEOAPI=yes\n"));
}

#[test]
fn servers_that_end_early_or_drip_are_not_used_and_do_not_hold_us() {
    let sites = Sites::new(1);
    let cut = sites.serve("fast", Manner::Cut);
    let slow = sites.serve("slow", Manner::Slow);
    let drip = sites.serve("fast", Manner::Drip);
    sites.describe(&[&cut.address, &slow.address, &drip.address]);
    let answer = sites.good(&["probe", "--description", "servers.toml", "--patience", "3"]);
    assert_eq!(
        column(&answer, "state"),
        ["good", "failed", "failed"],
        "{answer}"
    );
    let why = |at: usize| answer["servers"][at]["why"].as_str().unwrap();
    assert!(why(1).contains("ended after"), "{answer}");
    assert_eq!(why(2), "it sends too slowly");
    assert_eq!(
        answer["best"],
        serde_json::json!([format!("http://{}", slow.address)])
    );
}

#[test]
fn a_server_that_invents_a_revision_does_not_make_the_others_stale() {
    let sites = Sites::new(1);
    // Its manifest says more than anybody signed.
    let path = sites.env.work().join("stale/.cvmfspublished");
    let text = fs_err::read(&path).unwrap();
    let at = text.windows(3).position(|line| line == b"\nS1").unwrap();
    let lied = [&text[..at], b"\nS9", &text[at + 3..]].concat();
    fs_err::write(&path, lied).unwrap();
    // Signed by somebody else, whose repository has the name of ours.
    let keys = sites.env.work().join("keys");
    let kept = sites.env.work().join("kept");
    fs_err::rename(&keys, &kept).unwrap();
    sites.old("forged", NAME);
    fs_err::remove_dir_all(&keys).unwrap();
    fs_err::rename(&kept, &keys).unwrap();
    let liar = sites.serve("stale", Manner::Honest);
    let forger = sites.serve("forged", Manner::Honest);
    let fast = sites.serve("fast", Manner::Honest);
    sites.describe(&[&liar.address, &forger.address, &fast.address]);
    let answer = sites.good(&["probe", "--description", "servers.toml"]);
    assert_eq!(
        column(&answer, "state"),
        ["good", "failed", "failed"],
        "{answer}"
    );
    assert_eq!(
        answer["servers"][0]["server"],
        format!("http://{}", fast.address)
    );
    let why = |at: usize| answer["servers"][at]["why"].as_str().unwrap();
    assert!(
        why(1).contains("text was changed") || why(1).contains("manifest cannot be used"),
        "{answer}"
    );
    assert!(why(2).starts_with("it is not trusted"), "{answer}");
}

#[test]
fn a_clients_words_are_joined_with_what_the_servers_answer() {
    let Some(setfattr) = peer("setfattr") else {
        return;
    };
    let sites = Sites::new(1);
    let fast = sites.serve("fast", Manner::Honest);
    let slow = sites.serve("slow", Manner::Slow);
    sites.describe(&[&slow.address, &fast.address]);
    let mount = sites.env.work().join("mount");
    fs_err::create_dir(&mount).unwrap();
    let status = [
        "client",
        "status",
        "--description",
        "servers.toml",
        "--mount",
        "mount",
    ];
    let output = sites.run(&status);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("no mounted repository") && said.contains("`cvmfs_talk` is not installed"),
        "{said}"
    );

    for (name, value) in [
        ("user.fqrn", NAME),
        ("user.revision", "1"),
        ("user.host", &slow.url()),
        ("user.proxy", "DIRECT"),
    ] {
        let set = sites
            .env
            .command(&setfattr)
            .args(["-n", name, "-v", value])
            .arg(&mount)
            .output();
        assert!(set.unwrap().status.success());
    }
    let talk = sites.env.work().join("bin/cvmfs_talk");
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = '-i {NAME} host info' ] || exit 1\nprintf '  [0] {} (120 ms)\\n  [1] {} (host \
         down)\\nActive host 0: {}\\n'\n",
        slow.url(),
        fast.url(),
        slow.url()
    );
    nd_testkit::program(&talk, script);
    let path = format!("{}:{}", talk.parent().unwrap().display(), search_path());
    let output = sites
        .env
        .command(env!("CARGO_BIN_EXE_cvmfs-sync"))
        .args(status)
        .arg("--json")
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("has revision 1, the servers have 2") && said.contains("server is number 2"),
        "{said}"
    );
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let client = &answer["client"];
    assert_eq!(answer["mounted"], true);
    assert_eq!(
        (&client["behind"], &client["rank"]),
        (&Value::from(1), &Value::from(2))
    );
    assert_eq!(client["host"], slow.url());
    assert_eq!(client["proxy"], "DIRECT");
    assert_eq!(client["servers"][1]["note"], "host down");
    assert_eq!(client["servers"][1]["rank"], 1);
}

fn search_path() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Path::new(&path).display().to_string()
}
