//! Looking into builds by the command: shells, parts, explanations, differences, secrets, the cache.

#![expect(
    clippy::panic,
    reason = "helpers of tests fail as the tests do, with what was said"
)]

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{build::Fixture, downloads::Server};

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Fixture {
    fn say(&self, words: &[&str]) -> Said {
        let output = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            code: output.status.code().unwrap(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// The same with the base, and what follows `--` after it.
    pub(crate) fn look(&self, words: &[&str], command: &[&str]) -> Said {
        let base = ["--base", self.base.to_str().unwrap()];
        let tail = if command.is_empty() {
            &[][..]
        } else {
            &["--"][..]
        };
        self.say(&[words, &base, tail, command].concat())
    }

    fn json(&self, words: &[&str]) -> Value {
        let said = self.look(words, &[]);
        let last = said.out.lines().last();
        let last = last.unwrap_or_else(|| panic!("{}: {}", said.code, said.err));
        serde_json::from_str(last).unwrap()
    }
}

fn out_folder(fixture: &Fixture) -> PathBuf {
    fixture.env.work().join("build/demo/out")
}

#[test]
fn a_shell_shows_the_container_and_its_steps_and_forgets_what_it_wrote() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let script = "cat /opt/demo/greeting; echo $DEMO_HOME; echo changed > /opt/demo/greeting";
    for _ in 0..2 {
        let said = fixture.look(&["shell", "demo"], &["sh", "-c", script]);
        assert_eq!(said.code, 0, "{}", said.err);
        assert_eq!(said.out, "hello from a file/opt/demo\n");
    }
    assert!(!out_folder(&fixture).exists(), "a shell writes no outputs");
    assert_eq!(
        fixture
            .look(&["shell", "demo"], &["sh", "-c", "exit 7"])
            .code,
        7
    );
    assert_eq!(
        fixture.look(&["shell", "demo"], &["no-such-program"]).code,
        127
    );

    // The state after the step that made the folder: the file that is copied later is not there.
    let steps = fixture.json(&["explain", "demo", "--json"]);
    let steps = steps["steps"].as_array().unwrap();
    let run = steps.iter().find(|step| {
        let title = step["title"].as_str().unwrap();
        title.starts_with("run mkdir -p /opt")
    });
    let line = run.unwrap()["line"]
        .as_str()
        .unwrap()
        .rsplit('/')
        .next()
        .unwrap();
    for at in [line, "run mkdir -p /opt"] {
        let list = ["sh", "-c", "ls /opt/demo"];
        let said = fixture.look(&["shell", "demo", "--at", at], &list);
        assert_eq!(said.out, "demo\ngreeting\n", "{at}: {}", said.err);
    }
    let wrong = fixture.look(&["shell", "demo", "--at", "walk"], &["true"]);
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    assert!(wrong.err.contains("no step is `walk`"), "{}", wrong.err);

    fs_err::write(fixture.env.work().join("mine"), "of the host\n").unwrap();
    let said = fixture.look(&["shell", "demo", "--bind"], &["cat", "mine"]);
    assert_eq!(said.out, "of the host\n", "{}", said.err);
}

#[test]
fn a_build_stops_after_a_step() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let said = fixture.look(&["build", "demo", "--until", "1"], &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("stopped after step 1 of"), "{}", said.out);
    assert!(said.out.contains("shell demo --at 1"), "{}", said.out);
    assert!(!out_folder(&fixture).exists());
    let explained = fixture.json(&["explain", "demo", "--json"]);
    let cached: Vec<bool> = explained["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["cached"].as_bool().unwrap())
        .collect();
    assert!(cached[0] && !cached[1..].contains(&true), "{cached:?}");
}

#[test]
fn steps_sizes_and_differences_are_explained() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.build(&["--no-test"]);
    let explained = fixture.json(&["explain", "demo", "--json"]);
    assert_eq!(explained["complete"], true);
    let before = fixture.say(&["diff", "demo"]);
    assert_eq!(before.code, 2, "only one build: {}", before.err);

    let sized = fixture.json(&["explain", "demo", "--size", "--json"]);
    let files = sized["size"]["files"].as_array().unwrap();
    assert_eq!(files[0]["path"], "bin/busybox");
    assert_eq!(files[0]["line"], Value::Null);
    let demo = files
        .iter()
        .find(|file| file["path"] == "opt/demo/data.txt");
    assert_eq!(demo.unwrap()["bytes"], 10);
    assert!(
        demo.unwrap()["line"]
            .as_str()
            .unwrap()
            .starts_with("recipes/demo/build.yaml:")
    );
    let lines = sized["size"]["lines"].as_array().unwrap();
    assert_eq!(lines[0]["line"], Value::Null);
    let kept: u64 = lines
        .iter()
        .map(|line| line["kept"].as_u64().unwrap())
        .sum();
    assert_eq!(sized["size"]["bytes"], kept);
    // Steps of this moment took some time, and the base took none.
    let seconds = |line: &Value| line["seconds"].as_f64().unwrap();
    assert_eq!(lines[0]["seconds"], 0.0);
    assert!(
        lines[1..].iter().any(|line| seconds(line) > 0.0),
        "{lines:?}"
    );
    let table = fixture.look(&["explain", "demo", "--size"], &[]).out;
    assert!(
        table.contains("in the image") && table.contains("/bin/busybox"),
        "{table}"
    );

    // Another content of one file, and another mode of a second.
    let copy = |from: &Path, to: &Path| {
        let status = std::process::Command::new("cp")
            .arg("-a")
            .args([from, to])
            .status();
        assert!(status.unwrap().success());
    };
    let kept_layout = fixture.env.work().join("kept-oci");
    copy(&out_folder(&fixture).join("oci"), &kept_layout);
    fs_err::write(
        fixture.env.work().join("recipes/demo/data.txt"),
        "other data\n",
    )
    .unwrap();
    fixture.edit("recipes/demo/build.yaml", "chmod 755 ", "chmod 750 ");
    let explained = fixture.look(&["explain", "demo"], &[]).out;
    assert!(explained.contains("changed: script"), "{explained}");
    assert!(explained.contains("a step before it has"), "{explained}");
    fixture.build(&["--no-test"]);

    let said = fixture.say(&["diff", "demo", "--json"]);
    assert_eq!(said.code, 1, "{}", said.err);
    let found: Value = serde_json::from_str(&said.out).unwrap();
    let differences = found["differences"].as_array().unwrap();
    let paths: Vec<&str> = differences
        .iter()
        .map(|d| d["path"].as_str().unwrap())
        .collect();
    assert!(
        paths.contains(&"opt/demo/data.txt") && paths.contains(&"opt/demo/demo"),
        "{paths:?}"
    );
    let of = |path: &str| differences.iter().find(|d| d["path"] == path).unwrap();
    assert_eq!(of("opt/demo/demo")["fields"], serde_json::json!(["mode"]));
    assert_eq!(of("opt/demo/demo")["new"]["mode"], "0750");
    let data = of("opt/demo/data.txt");
    assert_eq!(data["fields"], serde_json::json!(["content"]));
    let made = data["old"]["made_by"]["line"].as_str().unwrap();
    assert!(made.starts_with("recipes/demo/build.yaml:"), "{made}");

    // The layout that was kept is the build before, with its lines; the SIF is the layout.
    let kept_layout = kept_layout.to_str().unwrap();
    assert_eq!(fixture.say(&["diff", kept_layout, "demo~1"]).code, 0);
    let said = fixture.say(&["diff", kept_layout, "demo"]);
    assert!(
        said.code == 1 && said.out.contains("data.txt"),
        "{}{}",
        said.out,
        said.err
    );
    assert!(said.out.contains("build.yaml:"), "{}", said.out);
    let oci = out_folder(&fixture).join("oci");
    let sif = out_folder(&fixture).join("demo_1.0.0_20260102.simg");
    let said = fixture.say(&["diff", oci.to_str().unwrap(), sif.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = fixture.say(&["diff", kept_layout, sif.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert_eq!(fixture.say(&["diff", "demo", "nothing"]).code, 2);
}

#[test]
fn a_layout_becomes_a_sif_of_the_same_tree() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let base = fixture.base.to_str().unwrap();
    let said = fixture.say(&["convert", &format!("oci:{base}"), "b.sif", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let made: Value = serde_json::from_str(&said.out).unwrap();
    let sif = fixture.env.work().join("b.sif");
    assert_eq!(made["bytes"], fs_err::metadata(&sif).unwrap().len());
    let said = fixture.say(&["diff", base, "b.sif"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let again = fixture.say(&["convert", base, "again.sif", "--json"]);
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(again["digest"], made["digest"], "nothing else goes into it");
    assert_eq!(fixture.say(&["convert", "docker:x", "c.sif"]).code, 2);
    let Some(apptainer) = nd_testkit::peer("apptainer") else {
        return;
    };
    let output = std::process::Command::new(apptainer)
        .args(["exec", "--containall"])
        .args([sif.to_str().unwrap(), "cat", "/etc/group"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with("root:x:0:"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_secret_is_for_one_step_and_kept_nowhere() {
    const VALUE: &str = "correct-horse-battery";
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.edit(
        "recipes/demo/build.yaml",
        "        - mkdir -p /opt/demo\n",
        "        - mkdir -p /opt/demo\n        - cat /run/secrets/token; wc -c < /run/secrets/token > /opt/demo/size\n",
    );
    let base = fixture.base.to_str().unwrap();
    let words = ["build", "demo", "--base", base, "-v"];
    let build = |secret: &[&str]| {
        let mut command = fixture.command(&[&words[..], secret].concat());
        command.env("TOKEN", VALUE).output().unwrap()
    };
    let output = build(&["--secret", "token=ENV:TOKEN"]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{err}");
    assert!(err.contains("***"), "{err}");
    // The lock is read from a build with the secret, too; its layers are made anew for it.
    fs_err::remove_dir_all(fixture.env.cache().join("store/records")).unwrap();
    let words = ["lock", "demo", "--base", base, "-v", "--secret"];
    let mut command = fixture.command(&[&words[..], &["token=ENV:TOKEN"]].concat());
    let locked = command.env("TOKEN", VALUE).output().unwrap();
    let err = String::from_utf8_lossy(&locked.stderr).into_owned();
    assert!(locked.status.success() && err.contains("***"), "{err}");
    assert!(fixture.env.work().join("recipes/demo/recipe.lock").exists());
    // Files of the SIF are packed in a way of their own.
    let sif = out_folder(&fixture).join("demo_1.0.0_20260102.simg");
    let said = fixture.say(&["convert", sif.to_str().unwrap(), "dir:unpacked"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let unpacked = files_with(&fixture.env.work().join("unpacked"), b"hello from a file");
    assert_eq!(unpacked.len(), 1, "what is in a file is found");
    for said in [&output, &locked] {
        for said in [&said.stdout, &said.stderr] {
            assert!(
                !holds(said, VALUE.as_bytes()),
                "{}",
                String::from_utf8_lossy(said)
            );
        }
    }
    let found = files_with(fixture.env.root(), VALUE.as_bytes());
    assert_eq!(found, Vec::<PathBuf>::new());
    let size = fixture.look(
        &["shell", "demo"],
        &["sh", "-c", "cat /opt/demo/size; ls /run 2>&1"],
    );
    assert!(
        size.out.starts_with("21\n") && !size.out.contains("secrets"),
        "{}",
        size.out
    );

    // A secret that no step names is a mistake, and so is one that cannot be read.
    let file = fixture.env.work().join("token");
    fs_err::write(&file, "from-a-file-too").unwrap();
    let other = format!("other={}", file.display());
    let output = build(&["--secret", &other]);
    assert_eq!(output.status.code(), Some(2));
    assert!(holds(&output.stderr, b"no step names the secret `other`"));
    assert_eq!(
        build(&["--secret", "token=ENV:UNSET"]).status.code(),
        Some(2)
    );
}

#[test]
fn the_cache_is_listed_and_pruned_by_kind() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let server = Server::start(&[("/one.txt", b"the first file\n")]);
    let file = format!(
        "    - file: {{name: one, url: \"{}\"}}\n    - run: [\"cp {{{{ get_file('one') }}}} /opt/one\"]\n",
        server.url("/one.txt")
    );
    let copy = "    - copy: [data.txt";
    fixture.edit("recipes/demo/build.yaml", copy, &format!("{file}{copy}"));
    fixture.build(&["--no-test"]);
    let json = |words: &[&str]| -> Value {
        let said = fixture.say(&[&["cache"], words, &["--json"]].concat());
        assert_eq!(said.code, 0, "{words:?}: {}", said.err);
        serde_json::from_str(&said.out).unwrap()
    };
    let kept = || {
        let listed = json(&["list"]);
        let bytes = |kind: &str| listed["items"][kind]["bytes"].as_u64().unwrap();
        ["steps", "files", "images"].map(bytes)
    };
    let [steps, files, images] = kept();
    assert!(
        steps > 0 && files > 0 && images > 100_000,
        "{steps} {files} {images}"
    );

    let trial = json(&["prune", "--kind", "steps", "--dry-run"]);
    assert_eq!(trial["bytes"], steps);
    assert_eq!(kept(), [steps, files, images], "a trial removes nothing");
    // What has room stays; of the chosen kinds alone is counted.
    let nothing = json(&["prune", "--kind", "steps,files", "--keep-bytes", "1G"]);
    assert_eq!(
        (&nothing["items"], &nothing["left"]),
        (&0.into(), &(steps + files).into())
    );
    let room = steps - 1;
    let some = json(&[
        "prune",
        "--kind",
        "steps",
        "--keep-bytes",
        &room.to_string(),
    ]);
    assert!(some["items"].as_u64().unwrap() > 0, "{some}");
    assert!(some["left"].as_u64().unwrap() <= room, "{some}");
    json(&["prune", "--kind", "steps"]);
    assert_eq!(kept(), [0, files, images]);
    json(&["prune", "--kind", "files"]);
    assert_eq!(kept(), [0, 0, images]);
    server.asked();
    let built = fixture.build(&["--no-test"]);
    assert_eq!(built["all_cached"], false);
    assert_eq!(server.asked(), 1);
    json(&["prune", "--kind", "images"]);
    let [steps, files, images] = kept();
    assert!(
        steps > 0 && files > 0 && images == 0,
        "{steps} {files} {images}"
    );
    let said = fixture.say(&["cache", "prune"]);
    assert!(
        said.code == 0 && said.out.starts_with("removed "),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(kept(), [0; 3]);
}

pub(crate) fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|part| part == wanted)
}

/// Files below a folder that hold some bytes, as they are or compressed.
fn files_with(folder: &Path, wanted: &[u8]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            out.extend(files_with(&path, wanted));
            continue;
        }
        let bytes = fs_err::read(&path).unwrap_or_default();
        let mut unpacked = Vec::new();
        let _ = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked);
        let list = zstd::decode_all(&bytes[..]).unwrap_or_default();
        if [&bytes, &unpacked, &list]
            .iter()
            .any(|bytes| holds(bytes, wanted))
        {
            out.push(path);
        }
    }
    out
}
