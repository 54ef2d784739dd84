//! Images that must have the digest that was recorded at installation.

use std::{
    os::unix::fs::{FileExt as _, MetadataExt as _},
    time::Duration,
};

use nd_launcher::{Form, LaunchFile};

use crate::{fixture::Fixture, native::Pair, warm::Site};

/// Longer than a file is young.
const RIPE: Duration = Duration::from_millis(3100);

/// What the launcher says when the bytes are others.
const REFUSED: &str =
    "the policy demands the digest that was recorded at installation, and that of the image is ";

fn record(fixture: &Fixture, form: Form, sha256: Option<&str>) {
    let mut launch = LaunchFile::new("abc_1.0_20240131", "abc_1.0_20240131.simg", form);
    launch.sha256 = sha256.map(|text| std::ffi::OsStr::new(text).into());
    fixture.write(&launch);
}

fn digest_of(site: &Site) -> String {
    let bytes = fs_err::read(site.image()).unwrap();
    nd_names::Sha256::of(bytes).hex()
}

fn demand(site: &Site, policy: &str) {
    site.fixture
        .policy(&format!("demand-digest on\nkeep 1\n{policy}\n"));
}

#[test]
fn an_image_with_other_bytes_starts_nothing() {
    let Some(site) = Site::new(1) else { return };
    let recorded = digest_of(&site);
    record(&site.fixture, Form::Sif, Some(&recorded.to_uppercase()));
    demand(&site, "runtime native");
    assert_eq!(site.run("echo started"), "started\n");
    // What was remembered of a file that may still be written to in the same moment is nothing.
    std::thread::sleep(RIPE);
    assert_eq!(site.run("echo started"), "started\n");
    assert_eq!(site.places("checked").len(), 1);
    assert_eq!(site.places("reading").len(), 0);
    assert_eq!(site.run("echo again"), "again\n");

    // One byte, with length and modification time as they were: the change time tells.
    let about = fs_err::metadata(site.image()).unwrap();
    let file = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .open(site.image())
        .unwrap()
        .into_parts()
        .0;
    let mut byte = [0];
    let at = about.len() - 1;
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let times = std::fs::FileTimes::new().set_modified(about.modified().unwrap());
    file.set_times(times).unwrap();
    let now = fs_err::metadata(site.image()).unwrap();
    assert_eq!(
        (now.len(), now.mtime(), now.mtime_nsec()),
        (about.len(), about.mtime(), about.mtime_nsec())
    );
    // Neither without a runtime nor with one.
    let found = digest_of(&site);
    for policy in ["runtime native", "runtime apptainer", "runtime auto"] {
        demand(&site, policy);
        let (text, said) = site.said("echo started");
        assert_eq!(text, "", "{policy}");
        assert!(
            said.contains(&format!("{REFUSED}{found}; install it anew")),
            "{said}"
        );
    }
    // Whoever does not demand it gets what is there.
    site.fixture.policy("runtime apptainer\n");
    assert_eq!(site.run("echo started"), "started\n");

    file.write_all_at(&byte, at).unwrap();
    demand(&site, "runtime native");
    assert_eq!(site.run("echo back"), "back\n");
}

#[test]
fn a_replaced_image_starts_nothing() {
    let Some(site) = Site::new(1) else { return };
    record(&site.fixture, Form::Sif, Some(&digest_of(&site)));
    demand(&site, "runtime native");
    assert_eq!(site.run("echo started"), "started\n");
    let other = site.fixture.path("other");
    let mut bytes = fs_err::read(site.image()).unwrap();
    bytes.push(0);
    fs_err::write(&other, bytes).unwrap();
    fs_err::rename(&other, site.image()).unwrap();
    let (text, said) = site.said("echo started");
    assert_eq!(text, "");
    assert!(said.contains(REFUSED), "{said}");
}

#[test]
fn many_first_starts_read_the_image_once() {
    let Some(site) = Site::new(2) else { return };
    record(&site.fixture, Form::Sif, Some(&digest_of(&site)));
    demand(&site, "runtime native");
    std::thread::sleep(RIPE);
    let script = "i=0; while [ $i -lt 50 ]; do \"$0\" -c 'pwd' & i=$((i + 1)); done; wait";
    let ran = site
        .user
        .program(&site.fixture, "sh")
        .args(["-c", script])
        .arg(site.fixture.folder.join("sh"))
        .env(nd_launcher::VERBOSE_VARIABLE, "1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    assert_eq!(String::from_utf8_lossy(&ran.stdout).lines().count(), 50);
    assert_eq!(
        (site.places("checked").len(), site.places("reading").len()),
        (1, 0)
    );
}

#[test]
fn an_image_without_a_digest_starts_nothing() {
    let Some(site) = Site::new(1) else { return };
    record(&site.fixture, Form::Sif, None);
    for policy in ["runtime native", "runtime apptainer"] {
        demand(&site, policy);
        let (text, said) = site.said("echo started");
        assert_eq!(text, "", "{policy}");
        assert!(
            said.ends_with("none was; install the image anew\n"),
            "{said}"
        );
    }
}

#[test]
fn a_folder_starts_nothing_unless_the_policy_speaks_of_files_alone() {
    let Some(pair) = Pair::new(Form::Folder) else {
        return;
    };
    let start = |policy: &str| {
        pair.seen(policy, &|command| {
            command.args(["-c", "echo started"]);
        })
    };
    for policy in ["runtime native", "runtime apptainer", "runtime auto"] {
        let seen = start(&format!("demand-digest on\n{policy}\n"));
        assert_eq!((seen.status, &*seen.text), (Some(125), ""), "{policy}");
        let said = "the policy demands a digest, which nothing compares with a folder";
        assert!(seen.said.contains(said), "{policy}: {}", seen.said);
    }
    for policy in ["runtime native", "runtime apptainer"] {
        let seen = start(&format!("demand-digest files\n{policy}\n"));
        assert_eq!((&*seen.text, &*seen.said), ("started\n", ""), "{policy}");
    }
    // A file in its place is none of the folders that the site trusts.
    let Some(other) = Fixture::real(Form::Sif) else {
        return;
    };
    let image = pair.fixture.folder.join("abc_1.0_20240131.simg");
    fs_err::rename(&image, pair.fixture.path("image")).unwrap();
    fs_err::copy(other.folder.join("abc_1.0_20240131.simg"), &image).unwrap();
    let seen = start("demand-digest files\nruntime apptainer\n");
    assert_eq!((seen.status, &*seen.text), (Some(125), ""), "{}", seen.said);
    assert_eq!(start("runtime apptainer\n").text, "started\n");
}

#[test]
fn programs_that_ask_for_a_shell_get_one_of_a_checked_image_alone() {
    let Some(site) = Site::new(1) else { return };
    let shell = || {
        let launcher = env!("CARGO_BIN_EXE_nd-launcher");
        let ran = site
            .user
            .program(&site.fixture, launcher)
            .args(["shell", "auto"])
            .arg(&site.fixture.folder)
            .output()
            .unwrap();
        (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
    };
    record(&site.fixture, Form::Sif, Some(&digest_of(&site)));
    demand(&site, "runtime auto");
    let (status, said) = shell();
    assert_eq!(status, Some(0), "{said}");
    record(&site.fixture, Form::Sif, Some(&"0".repeat(64)));
    let (status, said) = shell();
    assert_eq!(status, Some(125), "{said}");
    assert!(said.contains(REFUSED), "{said}");
}
