//! Whatever is changed, missing, forged or too old is found and named.

use nd_cvmfs::{
    Algorithm, Depth, Directory, Keys, MANIFEST, ReplicateError, ReplicateOptions, Repository,
    WHITELIST, Whitelist, replicate, seal_whitelist,
};
use nd_report::Cancel;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::fixture::{Fixture, keys, name, now, small_tree};

fn published() -> Fixture {
    let mut fixture = Fixture::new();
    let source = fixture.folder.path().join("tree");
    small_tree(&source);
    fixture.publish_folder("containers/one", &source);
    fixture
}

/// Everything below `data/`, and the documents, that the current revision needs.
fn needed(fixture: &Fixture) -> Vec<std::path::PathBuf> {
    let name = name();
    let keep = nd_cvmfs::Keep { seconds: -1 };
    let action = nd_cvmfs::Action::Apply;
    nd_cvmfs::collect(fixture.begin(&name), keep, action, &Cancel::default()).unwrap();
    let mut out = vec![
        fixture.root().join(MANIFEST),
        fixture.root().join(WHITELIST),
    ];
    out.push(fixture.root().join(".cvmfsreflog"));
    for folder in fs_err::read_dir(fixture.root().join("data")).unwrap() {
        let folder = folder.unwrap().path();
        if folder.ends_with("txn") {
            continue;
        }
        for file in fs_err::read_dir(&folder).unwrap() {
            out.push(file.unwrap().path());
        }
    }
    out.sort();
    out
}

#[test]
fn one_flipped_bit_or_a_missing_object_is_found_and_named() {
    let fixture = published();
    let files = needed(&fixture);
    // Older roots are kept by tags and are no part of the current revision.
    let current: Vec<_> = files
        .iter()
        .filter(|file| {
            let away = file.with_extension("away");
            fs_err::rename(file, &away).unwrap();
            let gone = match Repository::open(&fixture.storage) {
                Ok(_) => !fixture.findings().is_empty(),
                Err(_) => true,
            };
            fs_err::rename(&away, file).unwrap();
            gone
        })
        .collect();
    assert!(current.len() > 10, "{current:?}");
    let mut runner = TestRunner::new(Config::with_cases(60));
    let places = (0..current.len(), any::<prop::sample::Index>(), 0..8u8);
    runner
        .run(&places, |(file, byte, bit)| {
            let file = current[file];
            let good = fs_err::read(file).unwrap();
            let mut bad = good.clone();
            let at = byte.index(bad.len());
            bad[at] ^= 1 << bit;
            fs_err::write(file, &bad).unwrap();
            let found = match Repository::open(&fixture.storage) {
                Ok(_) => fixture.findings().join("\n"),
                Err(error) => error.to_string(),
            };
            fs_err::write(file, &good).unwrap();
            prop_assert!(!found.is_empty(), "{} {at} {bit}", file.display());
            if let Some(folder) = file.parent().filter(|dir| !dir.ends_with("storage")) {
                let object = format!(
                    "{}/{}",
                    folder.file_name().unwrap().to_string_lossy(),
                    file.file_name().unwrap().to_string_lossy()
                );
                prop_assert!(found.contains(&object), "{object}: {found}");
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(fixture.findings(), [""; 0]);
}

#[test]
fn a_forged_manifest_and_foreign_or_old_whitelists_are_refused() {
    let fixture = published();
    let stranger = Keys::generate(&name(), now()).unwrap();
    let path = fixture.root().join(MANIFEST);
    let good = fs_err::read(&path).unwrap();
    let manifest = Repository::open(&fixture.storage)
        .unwrap()
        .manifest()
        .clone();

    // Signed with a key that the certificate does not have.
    let forged = stranger.release().unwrap().seal(&manifest).unwrap();
    fs_err::write(&path, forged).unwrap();
    let found = fixture.findings().join("\n");
    assert!(
        found.contains("not signed by the key of its certificate"),
        "{found}"
    );
    fs_err::write(&path, &good).unwrap();

    // A whole chain of a stranger: his whitelist, his certificate.
    let list_path = fixture.root().join(WHITELIST);
    let good_list = fs_err::read(&list_path).unwrap();
    let print = |keys: &Keys| {
        let release = keys.release().unwrap();
        release.certificate().fingerprint(Algorithm::Sha1)
    };
    let seal = |list: &Whitelist, keys: &Keys| {
        seal_whitelist(list, Algorithm::Sha1, keys.master().unwrap()).unwrap()
    };
    let own = Whitelist::new(name(), print(keys()), now(), 30);
    fs_err::write(&list_path, seal(&own, &stranger)).unwrap();
    let found = fixture.findings().join("\n");
    assert!(
        found.contains("signed by none of the public keys"),
        "{found}"
    );

    let other = Whitelist::new(name(), print(&stranger), now(), 30);
    fs_err::write(&list_path, seal(&other, keys())).unwrap();
    let found = fixture.findings().join("\n");
    assert!(
        found.contains("certificate is not on the whitelist"),
        "{found}"
    );

    let elsewhere = Whitelist::new(
        "other.example.org".parse().unwrap(),
        print(keys()),
        now(),
        30,
    );
    fs_err::write(&list_path, seal(&elsewhere, keys())).unwrap();
    let found = fixture.findings().join("\n");
    assert!(
        found.contains("the whitelist is that of `other.example.org`"),
        "{found}"
    );

    let old = Whitelist::new(name(), print(keys()), now(), 0);
    fs_err::write(&list_path, seal(&old, keys())).unwrap();
    let found = fixture.findings().join("\n");
    assert!(found.contains("expired"), "{found}");
    let name = name();
    let refused = nd_cvmfs::Publisher::begin(fixture.begin(&name)).unwrap_err();
    assert!(refused.to_string().contains("expired"), "{refused}");
    let copy = Directory::new(fixture.folder.path().join("copy"));
    let public = [keys().public.clone().unwrap()];
    let options = ReplicateOptions {
        keys: &public,
        name: None,
        now: now(),
        parallel: None,
    };
    let refused = replicate(&fixture.storage, &copy, &options, &Cancel::default());
    assert!(
        matches!(refused, Err(ReplicateError::Trust(_))),
        "{refused:?}"
    );
    fs_err::write(&list_path, &good_list).unwrap();
    assert!(fixture.verify(Depth::Full).is_good());
}

#[test]
fn a_damaged_original_is_not_copied() {
    let fixture = published();
    let repository = Repository::open(&fixture.storage).unwrap();
    let row = repository.stat(b"/containers/one/bin/tool").unwrap();
    let object = row.hash.unwrap().path(nd_cvmfs::ObjectKind::File);
    let path = fixture.root().join(&object);
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[3] ^= 1;
    fs_err::write(&path, bytes).unwrap();
    let copy = Directory::new(fixture.folder.path().join("copy"));
    let public = [keys().public.clone().unwrap()];
    let options = ReplicateOptions {
        keys: &public,
        name: None,
        now: now(),
        parallel: None,
    };
    let error = replicate(&fixture.storage, &copy, &options, &Cancel::default()).unwrap_err();
    assert!(error.to_string().contains(&object), "{error}");
    assert!(!copy.root().join(MANIFEST).exists());
}
