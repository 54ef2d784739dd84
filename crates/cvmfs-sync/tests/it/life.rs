//! mkfs, publish, verify, damage, rollback, replicate, gc, verify.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use nd_cvmfs::{KeyFolder, Keys, RepositoryName};
use nd_testkit::TestEnv;
use serde_json::Value;

use crate::place::Place;

pub(crate) const NAME: &str = "test.example.org";

/// An environment with a new repository.
pub(crate) struct Life {
    pub(crate) env: TestEnv,
    pub(crate) place: Place,
    /// What the command line calls the place.
    pub(crate) at: String,
}

impl Life {
    /// In the folder `storage` of the working directory.
    pub(crate) fn new() -> Self {
        let env = TestEnv::new().unwrap();
        let place = Place::folder(&env);
        Self::made(env, place)
    }

    /// In a bucket; `None` where there is no store.
    pub(crate) fn in_bucket() -> Option<Self> {
        Some(Self::made(TestEnv::new().unwrap(), Place::bucket()?))
    }

    fn made(env: TestEnv, place: Place) -> Self {
        let life = Self {
            env,
            at: place.word(),
            place,
        };
        life.write(&["mkfs"]);
        life
    }

    /// The name of the repository, and its keys.
    pub(crate) fn keys(&self) -> (RepositoryName, Keys) {
        let name: RepositoryName = NAME.parse().unwrap();
        let folder = self.env.root().join("home/.local/share/cvmfs-sync/keys");
        let keys = KeyFolder::new(folder.join(NAME), name.clone()).load();
        (name, keys.unwrap())
    }

    pub(crate) fn storage(&self) -> PathBuf {
        self.env.work().join("storage")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.env.command(env!("CARGO_BIN_EXE_cvmfs-sync"));
        command.envs(self.place.variables()).args(words);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Value {
        let assert = self.command(words).arg("--json").assert().success();
        let text = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
        serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap()
    }

    /// Runs what must end with this code and say this.
    pub(crate) fn fails(&self, words: &[&str], code: i32, text: &str) {
        let output = self.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(text), "{text}: {said}");
    }

    /// Runs a verb that writes to the storage.
    pub(crate) fn write(&self, words: &[&str]) -> Value {
        self.run(&[words, &["--repository", NAME, "--storage", &self.at]].concat())
    }

    pub(crate) fn verify(&self) -> Value {
        self.run(&["verify", "--full", &self.at])
    }

    pub(crate) fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        put(&self.env.work().join(path), bytes.as_ref());
    }
}

pub(crate) fn put(path: &Path, bytes: &[u8]) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn a_whole_life() {
    whole(&Life::new());
}

#[test]
fn a_whole_life_in_a_bucket() {
    if let Some(life) = Life::in_bucket() {
        whole(&life);
    }
}

fn whole(life: &Life) {
    use std::os::unix::fs::PermissionsExt as _;
    let storage = &life.at[..];
    let keys = life
        .env
        .root()
        .join("home/.local/share/cvmfs-sync/keys")
        .join(NAME);
    for (file, mode) in [("masterkey", 0o600), ("key", 0o600)] {
        let data = fs_err::metadata(keys.join(format!("{NAME}.{file}"))).unwrap();
        assert_eq!(data.permissions().mode() & 0o777, mode);
    }
    life.put("tree/bin/tool", "#!/bin/sh\n");
    life.put("tree/share/words", "words\n".repeat(1000));
    life.put("modules/tool.lua", "help()\n");
    let at = "containers/tool_1/tool_1.simg";
    let first = life.write(&[
        "publish",
        "tree",
        "--at",
        at,
        "--tag",
        "one",
        "--nested",
        "always",
        "--files",
        "modules=modules",
    ]);
    assert_eq!(
        (first["revision"].as_u64(), first["changed"].as_bool()),
        (Some(2), Some(true))
    );
    let verified = life.verify();
    assert_eq!(
        (verified["good"].as_bool(), verified["trees"].as_u64()),
        (Some(true), Some(1))
    );
    // The tree's digest that publish told is the one of its record.
    let record = life
        .command(&["cat", storage, "containers/tool_1/tree.json"])
        .output()
        .unwrap();
    let record: Value = serde_json::from_slice(&record.stdout).unwrap();
    assert_eq!(record["tree"], first["tree"]);

    let listed = life.run(&["ls", storage, at]);
    let names: Vec<_> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].clone())
        .collect();
    assert_eq!(names, [".cvmfscatalog", "bin", "share"]);
    assert_eq!(life.run(&["stat", storage, "modules/tool.lua"])["size"], 7);
    assert_eq!(
        life.run(&["catalogs", storage])["catalogs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    // Without a key nothing is trusted.
    let other = life.env.root().join("none");
    let other = other.to_str().unwrap();
    life.fails(
        &["verify", storage, "--keys", other],
        1,
        "no public key was given",
    );

    life.put("tree/bin/tool", "#!/bin/sh\nexit 1\n");
    life.write(&["publish", "tree", "--at", at, "--nested", "always"]);
    let changes = life.run(&["diff", storage, "one"]);
    let changed: Vec<_> = changes["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["path"].clone())
        .collect();
    assert!(
        changed.contains(&format!("/{at}/bin/tool").into()),
        "{changed:?}"
    );
    let back = life.write(&["rollback", "--to", "one"]);
    assert_eq!(back["revision"], 4);
    let tool = life
        .command(&["cat", storage, &format!("{at}/bin/tool")])
        .output()
        .unwrap();
    assert_eq!(tool.stdout, b"#!/bin/sh\n");
    let log = life.run(&["log", storage]);
    assert_eq!(log["tags"][0]["name"], "trunk");

    // One flipped bit is found, named, and gone again.
    let object = life.run(&["stat", storage, &format!("{at}/share/words")])["objects"][0].clone();
    let path = object.as_str().unwrap();
    let good = life.place.read(path);
    let mut bad = good.clone();
    bad[9] ^= 4;
    life.place.write(path, &bad);
    life.fails(&["verify", "--full", storage], 1, path);
    life.place.write(path, &good);

    life.run(&["replicate", storage, "copy"]);
    assert_eq!(life.run(&["verify", "--full", "copy"])["good"], true);
    let planned = life.write(&["gc", "--keep-hours", "0", "--dry-run"]);
    let done = life.write(&["gc", "--keep-hours", "0"]);
    assert_eq!(planned["deleted_objects"], done["deleted_objects"]);
    assert_eq!(life.verify()["good"], true);
    life.write(&["remove", "containers/tool_1"]);
    assert_eq!(life.verify()["entries"], 4);
    let failed = life
        .command(&["ls", storage, "containers/tool_1"])
        .output()
        .unwrap();
    assert_eq!(failed.status.code(), Some(1));
}

#[test]
fn a_whitelist_is_signed_where_the_master_key_is() {
    let life = Life::new();
    life.run(&["keys", "export", NAME, "vault"]);
    let keys = life
        .env
        .root()
        .join("home/.local/share/cvmfs-sync/keys")
        .join(NAME);
    fs_err::remove_file(keys.join(format!("{NAME}.masterkey"))).unwrap();
    let resign = ["resign", "--repository", NAME, "--storage", "storage"];
    life.fails(&resign, 1, "private master key is missing");
    let before = fs_err::read(life.storage().join(".cvmfswhitelist")).unwrap();
    let resign = |words: &[&str]| {
        let repository = ["resign", "--repository", NAME, "--storage", "storage"];
        life.command(&[&repository, words].concat())
            .assert()
            .success();
    };
    resign(&["--prepare", "list", "--days", "7"]);
    resign(&["--sign", "list", "--keys", "vault"]);
    resign(&["--signature", "list"]);
    assert_ne!(
        fs_err::read(life.storage().join(".cvmfswhitelist")).unwrap(),
        before
    );
    assert_eq!(life.verify()["good"], true);
    // A signature of something else is refused.
    life.put(
        "list",
        fs_err::read_to_string(life.env.work().join("list"))
            .unwrap()
            .replace('E', "E1"),
    );
    let refused = life
        .command(&[
            "resign",
            "--repository",
            NAME,
            "--storage",
            "storage",
            "--signature",
            "list",
        ])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert_eq!(life.verify()["good"], true);
}

#[test]
fn keys_are_never_put_where_they_would_be_served() {
    let life = Life::new();
    let words = [
        "mkfs",
        "--repository",
        NAME,
        "--storage",
        "s",
        "--keys",
        "s/keys",
    ];
    life.fails(&words, 6, "below the storage");
    assert!(!life.env.work().join("s").exists());
}

#[test]
fn a_tar_on_standard_input_is_published_as_it_comes() {
    let life = Life::new();
    life.put("t/a/b", "b");
    life.put("t/a/same", "b");
    life.put(
        "t/large",
        (0..2_000_000u32)
            .flat_map(u32::to_le_bytes)
            .collect::<Vec<_>>(),
    );
    let publish = |at: &str, compress: &str| {
        let mut tar = life.env.command("tar");
        let tar = tar.args(["-C", "t", "-c", compress, "."]).output().unwrap();
        let words = ["publish", "-", "--at", at, "--json"];
        let mut command = life.command(&words);
        command.args(["--repository", NAME, "--storage", "storage"]);
        let assert = command.write_stdin(tar.stdout).assert().success();
        serde_json::from_slice::<Value>(&assert.get_output().stdout).unwrap()
    };
    let first = publish("t/t.simg", "--no-recursion");
    assert_eq!(first["entries"], 0);
    let first = publish("t/t.simg", "--format=posix");
    let found = life
        .command(&["cat", "storage", "t/t.simg/a/b"])
        .output()
        .unwrap();
    assert_eq!(found.stdout, b"b");
    let verified = life.verify();
    assert_eq!(
        (&verified["good"], &verified["trees"]),
        (&true.into(), &1.into())
    );
    // What is known costs a look-up, in a stream as well, and a folder gives the same.
    let second = publish("again", "--gzip");
    assert_eq!(second["tree"], first["tree"]);
    assert!(second["new_bytes"].as_u64() < Some(1 << 20), "{second}");
    assert_eq!(life.verify()["good"], true);
    let third = life.write(&["publish", "t", "--at", "again"]);
    assert_eq!(
        (&third["read_bytes"], &third["tree"]),
        (&0.into(), &first["tree"])
    );
    // Nothing of a stream is kept, and a tar that ends early is not published.
    let mut command = life.command(&["publish", "-", "--at", "cut", "--repository", NAME]);
    let tar = life
        .env
        .command("tar")
        .args(["-C", "t", "-c", "."])
        .output()
        .unwrap()
        .stdout;
    let cut = command
        .args(["--storage", "storage"])
        .write_stdin(&tar[..tar.len() / 2]);
    assert!(!cut.output().unwrap().status.success());
    assert_eq!(life.verify()["revision"], 5);
}

#[test]
fn what_others_published_is_learned_and_not_stored_again() {
    let life = Life::new();
    life.put("tree/bin/tool", "#!/bin/sh\n".repeat(200));
    life.put("tree/share/words", "words\n".repeat(1000));
    // Another compressor gives other objects, and another machine has another index.
    life.write(&["publish", "tree", "--at", "theirs", "--level", "12"]);
    fs_err::remove_dir_all(life.env.cache()).unwrap();
    let learned = life.run(&["learn", &life.at]);
    assert_eq!(
        (&learned["contents"], &learned["known"]),
        (&2.into(), &0.into())
    );
    assert_eq!(life.run(&["learn", &life.at])["contents"], 0);
    let published = life.write(&["publish", "tree", "--at", "ours"]);
    assert_eq!(published["read_bytes"], 0);
    let objects = |path: &str| life.run(&["stat", &life.at, path])["objects"].clone();
    assert_eq!(objects("ours/bin/tool"), objects("theirs/bin/tool"));
    assert_eq!(life.verify()["good"], true);
}

#[test]
fn the_files_that_commands_open_are_listed_beside_the_container() {
    let life = Life::new();
    life.put("tree/bin/tool", "#!/bin/sh\n");
    life.put("tree/share/words", "words\n");
    life.put("list", "/share/words\n/bin/tool\n/proc/self/maps\n");
    let words = ["publish", "tree", "--opened", "list", "--at"];
    let at = ["--repository", NAME, "--storage", &life.at];
    life.fails(
        &[&words[..], &["tool"], &at].concat(),
        2,
        "a folder beside the tree",
    );
    life.write(&[&words[..], &["tool_1/tool_1.simg"]].concat());
    let list = life
        .command(&["cat", &life.at, "tool_1/opened.txt"])
        .output()
        .unwrap();
    assert_eq!(list.stdout, b"share/words\nbin/tool\n");
    // As it looks where it is mounted.
    life.put("mounted/tool_1/tool_1.simg/share/words", "words\n");
    life.put("mounted/tool_1/opened.txt", list.stdout);
    let read = life.run(&["prefetch", "mounted/tool_1/tool_1.simg"]);
    assert_eq!((&read["files"], &read["missing"]), (&1.into(), &1.into()));
}

#[test]
fn a_catalogue_that_is_too_large_is_told_where_to_cut() {
    let life = Life::new();
    for n in 0..400 {
        let dir = ["bin", "lib/a", "lib/b"][n % 3];
        life.put(&format!("tree/{dir}/{n:->200}"), "");
    }
    life.write(&["publish", "tree", "--at", "tree", "--nested", "never"]);
    let found = life.run(&["catalogs", &life.at, "--above", "0"]);
    let root = &found["catalogs"][0];
    assert_eq!((&root["path"], &root["depth"]), (&"/".into(), &0.into()));
    assert_eq!(
        (&root["entries"], &root["files"]),
        (&406.into(), &400.into())
    );
    let cuts: Vec<_> = root["cuts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cut| cut["path"].clone())
        .collect();
    assert_eq!(cuts, ["/tree/bin", "/tree/lib/a", "/tree/lib/b"]);
    // Cut there, none of the catalogues is.
    life.write(&[
        "publish", "tree/lib", "--at", "tree/lib", "--nested", "always",
    ]);
    let found = life.run(&["catalogs", &life.at]);
    let all: Vec<_> = found["catalogs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["path"].clone(),
                one["depth"].clone(),
                one["cuts"].clone(),
            )
        })
        .collect();
    let none = serde_json::json!([]);
    assert_eq!(
        all,
        [
            ("/".into(), 0.into(), none.clone()),
            ("/tree/lib".into(), 1.into(), none)
        ]
    );
}
