//! Lock files: text and back, and what a reviewer sees of a change.

use std::path::Path;

use nd_names::Sha256;
use neurocontainers_recipe::lock::{
    LOCK_FILE, LockFile, LockedArchive, LockedBase, LockedContainer, LockedFile, LockedPackage,
    LockedStep, LockedUrl, changes,
};
use proptest::prelude::*;

fn digest(byte: u8) -> Sha256 {
    Sha256::from_bytes([byte; 32])
}

fn package(name: &str, version: &str, byte: u8) -> LockedPackage {
    LockedPackage {
        name: name.into(),
        version: version.into(),
        architecture: Some("amd64".into()),
        url: Some(format!("http://deb.example/pool/{name}.deb")),
        sha256: Some(digest(byte)),
        size: Some(7),
    }
}

fn container() -> LockedContainer {
    LockedContainer {
        name: "demo".into(),
        architecture: "x86_64".into(),
        bases: vec![LockedBase {
            reference: "debian:bookworm".into(),
            image: digest(1).oci(),
            layers: vec![digest(2)],
            ids: Some("range".into()),
            bootstrap: Some("debian:bookworm".into()),
            archive_state: Some(digest(3).oci()),
            archive_date: Some("2026-01-02T00:00:00Z".into()),
            packages: vec![package("bash", "5.2-1", 4)],
        }],
        archives: vec![LockedArchive {
            uri: "http://deb.example/debian".into(),
            suite: "bookworm".into(),
            components: vec!["main".into()],
            date: "Fri, 02 Jan 2026 00:00:00 UTC".into(),
            files: vec![LockedFile {
                path: "InRelease".into(),
                sha256: digest(5),
                size: 9,
            }],
        }],
        urls: vec![LockedUrl {
            url: "https://example.org/a".into(),
            name: "a".into(),
            sha256: digest(6),
            size: 1,
            line: "recipes/demo/build.yaml:20".into(),
        }],
        steps: vec![LockedStep {
            title: "install hello".into(),
            line: "recipes/demo/build.yaml:30".into(),
            apt: vec![package("hello", "2.10-3", 7), package("libx", "1", 8)],
            pip: vec![LockedPackage {
                name: "numpy".into(),
                version: "2.0".into(),
                ..LockedPackage::default()
            }],
            unread: vec!["rpm database".into()],
            ..LockedStep::default()
        }],
    }
}

#[test]
fn a_lock_is_lines_and_a_change_of_one_package_is_one_line() {
    let before = container();
    let text = LockFile::new(vec![before.clone()]).to_string();
    assert!(
        text.contains(
            "    { name = \"hello\", version = \"2.10-3\", architecture = \"amd64\", sha256 = \""
        ),
        "{text}"
    );
    let mut after = before.clone();
    // Lines move when a comment is written.
    after.steps[0].line = "recipes/demo/build.yaml:31".into();
    assert_eq!(changes(&before, &after), []);
    after.steps[0].apt[0] = package("hello", "2.10-4", 9);
    after.steps[0].apt.pop();
    after.urls[0].sha256 = digest(10);
    after.steps[0].pip.push(LockedPackage {
        name: "scipy".into(),
        version: "1.0".into(),
        ..LockedPackage::default()
    });
    let shown: Vec<String> = changes(&before, &after)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            format!(
                "~ recipes/demo/build.yaml:20: url https://example.org/a: sha256 {}, 1 bytes -> sha256 {}, 1 bytes",
                digest(6), digest(10)
            ),
            "~ recipes/demo/build.yaml:31: `install hello` installs apt hello:amd64: 2.10-3 (070707070707) -> 2.10-4 (090909090909)".into(),
            "- recipes/demo/build.yaml:30: `install hello` installs apt libx:amd64: 1 (080808080808)".into(),
            "+ recipes/demo/build.yaml:31: `install hello` installs pip scipy: 1.0".into(),
        ]
    );
    let other = LockFile::new(vec![after]).to_string();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(&text), lines(&other));
    let gone = old.iter().filter(|line| !new.contains(line)).count();
    assert_eq!(gone, 4, "the digest, the line, and two packages");
}

#[test]
fn layers_of_a_bootstrapped_base_count_among_equal_ids() {
    let before = container();
    let mut after = before.clone();
    after.bases[0].layers = vec![digest(11)];
    assert_eq!(changes(&before, &after).len(), 1);
    after.bases[0].ids = Some("single".into());
    assert_eq!(changes(&before, &after), []);
    after.bases[0].packages[0].version = "5.2-2".into();
    assert_eq!(changes(&before, &after).len(), 1);
}

#[test]
fn what_cannot_be_fetched_is_named() {
    let named = container().unfetchable();
    assert_eq!(
        named,
        [
            "recipes/demo/build.yaml:30: pip numpy 2.0",
            "recipes/demo/build.yaml:30: rpm database",
        ]
    );
}

#[test]
fn other_versions_and_unknown_keys_are_refused() {
    let error = LockFile::parse("version = 9\nnew = 1\n").unwrap_err();
    assert!(error.to_string().contains("version 9"), "{error}");
    assert!(LockFile::parse("version = 1\nnew = 1\n").is_err());
    assert!(LockFile::parse("").is_err());
}

#[test]
fn lock_files_of_earlier_programs_are_read_and_written_as_they_are() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut read = 0;
    for recipe in fs_err::read_dir(recipes).unwrap() {
        let path = recipe.unwrap().path().join(LOCK_FILE);
        let text = fs_err::read_to_string(path).unwrap();
        let file = LockFile::parse(&text).unwrap();
        assert_eq!(file.to_string(), text);
        read += file.containers.len();
    }
    assert!(read >= 3, "{read}");
}

proptest! {
    #[test]
    fn text_and_back_is_the_identity(words in proptest::collection::vec(any::<String>(), 8), byte in any::<u8>()) {
        let mut locked = container();
        locked.name.clone_from(&words[0]);
        locked.bases[0].reference.clone_from(&words[1]);
        locked.steps[0].title.clone_from(&words[2]);
        locked.steps[0].apt[0].name.clone_from(&words[3]);
        locked.steps[0].apt[0].version.clone_from(&words[4]);
        locked.steps[0].apt[1].url = Some(words[5].clone());
        locked.steps[0].unread.push(words[6].clone());
        locked.archives[0].files[0].path.clone_from(&words[7]);
        locked.urls[0].sha256 = digest(byte);
        locked.steps[0].apt[1].sha256 = None;
        let file = LockFile::new(vec![locked]);
        let back = LockFile::parse(&file.to_string()).unwrap();
        prop_assert_eq!(&back, &file);
        prop_assert_eq!(back.to_string(), file.to_string());
    }
}
