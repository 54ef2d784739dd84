//! A real store of objects: what is listed, what is sent once, what a cut upload leaves.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nd_fetch::{
    FetchOptions, Retries,
    s3::{Bucket, Condition, Described, S3Credentials, S3Error, Upload, Uploaded},
};
use nd_names::Sha256;
use nd_report::{Cancel, Silent, StepId};
use nd_testkit::ObjectStore;
use tempfile::TempDir;

const MEBIBYTE: u64 = 1 << 20;

fn bucket(url: &str) -> Bucket {
    let options = FetchOptions {
        retries: Retries {
            attempts: 1,
            ..Retries::default()
        },
        ..FetchOptions::default()
    };
    let credentials = S3Credentials {
        access_key: "key".into(),
        secret_key: "secret".into(),
        session_token: None,
        region: "us-east-1".into(),
    };
    Bucket::new(options, url.parse().unwrap(), Some(credentials)).unwrap()
}

/// A file whose every part differs.
fn file(folder: &TempDir, name: &str, bytes: u64, seed: u32) -> (PathBuf, Vec<u8>) {
    let mut state = seed;
    let mut content = Vec::new();
    while (content.len() as u64) < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(usize::try_from(bytes).unwrap());
    let path = folder.path().join(name);
    fs_err::write(&path, &content).unwrap();
    (path, content)
}

fn upload(bucket: &Bucket, key: &str, file: &(PathBuf, Vec<u8>)) -> Result<Uploaded, S3Error> {
    bucket.upload(&Upload {
        key,
        file: &file.0,
        sha256: Sha256::of(&file.1),
        told: (Arc::new(Silent), StepId(0)),
        cancel: &Cancel::default(),
    })
}

/// Passes connections on to `to`, and cuts all of them when `limit` bytes have gone there.
fn cut_after(to: &str, limit: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (listener.local_addr().unwrap(), to.to_owned());
    let sent = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&to) else {
                return;
            };
            let (mut from, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut back));
            let sent = sent.clone();
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let mut piece = vec![0; 64 << 10];
                loop {
                    let got = client.read(&mut piece).unwrap_or(0);
                    let all = sent.fetch_add(got as u64, Ordering::Relaxed);
                    if got == 0 || all > limit || server.write_all(&piece[..got]).is_err() {
                        let _ = client.shutdown(std::net::Shutdown::Both);
                        let _ = server.shutdown(std::net::Shutdown::Both);
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn objects_are_written_listed_in_pages_and_removed() {
    let Some(store) = ObjectStore::start() else {
        return;
    };
    let bucket = bucket(&store.bucket("images"));
    assert_eq!(bucket.list("").unwrap(), []);
    assert_eq!(bucket.head("missing").unwrap(), None);
    for number in 0..1001 {
        store.put(&format!("images/many/{number:04}"), b"x");
    }
    bucket.put("a+b ü/1.simg", b"text").unwrap();
    let all = bucket.list("").unwrap();
    assert_eq!(all.len(), 1002);
    let first = &all[0];
    assert_eq!((first.key.as_str(), first.bytes), ("a+b ü/1.simg", 4));
    assert!(first.modified.is_some());
    assert_eq!(bucket.list("many/1").unwrap().len(), 1);
    bucket.delete("a+b ü/1.simg").unwrap();
    bucket.delete("a+b ü/1.simg").unwrap();
    assert_eq!(bucket.head("a+b ü/1.simg").unwrap(), None);
    bucket.put("a&<b> \"ü\"", b"text").unwrap();
    // What is not there is removed already, and what was not named stays.
    let mut keys: Vec<&str> = all[1..].iter().map(|one| one.key.as_str()).collect();
    keys.splice(..2, ["a&<b> \"ü\"", "missing"]);
    assert_eq!(bucket.delete_many(&keys).unwrap(), [""; 0]);
    let left = bucket.list("").unwrap();
    let left: Vec<&str> = left.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(left, ["many/0000", "many/0001"]);
}

#[test]
fn an_upload_that_was_cut_goes_on_where_it_was_and_never_replaces_another_object() {
    let Some(store) = ObjectStore::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let bucket_url = store.bucket("images");
    let large = file(&folder, "large", 50 * MEBIBYTE, 1);
    // Two parts of 16 MiB get through, the third one does not.
    let proxy = cut_after(store.address(), 40 * MEBIBYTE);
    let error = upload(
        &bucket(&format!("http://{proxy}/images")),
        "large.simg",
        &large,
    )
    .unwrap_err();
    assert!(matches!(error, S3Error::Connection { .. }), "{error}");
    let whole = bucket(&bucket_url);
    assert_eq!(whole.head("large.simg").unwrap(), None);
    let done = upload(&whole, "large.simg", &large).unwrap();
    assert_eq!((done.bytes, done.sent), (50 * MEBIBYTE, 18 * MEBIBYTE));
    assert_eq!(store.get("images/large.simg"), large.1);
    let stored = whole.head("large.simg").unwrap().unwrap();
    assert_eq!(
        (stored.bytes, stored.sha256),
        (50 * MEBIBYTE, Some(Sha256::of(&large.1)))
    );

    // The same once more is no error, another file is.
    upload(&whole, "large.simg", &large).unwrap();
    for (key, bytes) in [("large.simg", 40 * MEBIBYTE), ("small.simg", 10)] {
        let one = file(&folder, "one", bytes, 2);
        let other = file(&folder, "other", bytes, 3);
        if key == "small.simg" {
            assert_eq!(upload(&whole, key, &one).unwrap().sent, bytes);
            upload(&whole, key, &one).unwrap();
        }
        let error = upload(&whole, key, &other).unwrap_err();
        assert!(matches!(error, S3Error::Exists { .. }), "{error}");
    }
    assert_eq!(store.get("images/large.simg"), large.1);
    // Nothing half-done is left that would cost room.
    let left = String::from_utf8(store.get("images?uploads")).unwrap();
    assert!(!left.contains("<UploadId>"), "{left}");
}

#[test]
fn parts_of_another_file_are_sent_again() {
    let Some(store) = ObjectStore::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let url = store.bucket("images");
    let (old, new) = (
        file(&folder, "old", 20 * MEBIBYTE, 1),
        file(&folder, "new", 20 * MEBIBYTE, 2),
    );
    let proxy = cut_after(store.address(), 18 * MEBIBYTE);
    upload(&bucket(&format!("http://{proxy}/images")), "x.simg", &old).unwrap_err();
    let done = upload(&bucket(&url), "x.simg", &new).unwrap();
    assert_eq!(done.sent, done.bytes);
    assert_eq!(store.get("images/x.simg"), new.1);
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_store() {
    let Some(store) = ObjectStore::start() else {
        return;
    };
    let nowhere = bucket(&format!("http://{}/nowhere", store.address()));
    let error = nowhere.list("").unwrap_err().to_string();
    assert!(error.contains("404: NoSuchBucket: "), "{error}");
    for removed in [nowhere.delete("a"), nowhere.delete_many(&["a"]).map(|_| ())] {
        let error = removed.unwrap_err();
        assert_eq!(error.code(), Some("NoSuchBucket"), "{error}");
    }
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn an_object_is_written_only_where_its_condition_is_met() {
    let Some(store) = ObjectStore::start() else {
        return;
    };
    let bucket = bucket(&store.bucket("images"));
    let told = Described {
        content_type: Some("application/x-cvmfs"),
        cache_control: Some("max-age=61"),
    };
    let put = |bytes: &[u8], condition| bucket.put_if("a/b", bytes, told, condition).unwrap();
    // What is not there is no version of anything.
    assert_eq!(put(b"0", Condition::Is("0123")), None);
    let first = put(b"1", Condition::Absent).unwrap();
    assert_eq!(put(b"2", Condition::Absent), None);
    assert_eq!(put(b"2", Condition::Is("0123")), None);
    let second = put(b"2", Condition::Is(&first)).unwrap();
    assert_eq!(put(b"3", Condition::Is(&first)), None);
    put(b"2", Condition::None).unwrap();
    let (stored, mut body) = bucket.get("a/b").unwrap().unwrap();
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).unwrap();
    assert_eq!((&bytes[..], stored.etag), (&b"2"[..], Some(second)));
    assert!(stored.age.unwrap().as_secs() < 60);
    assert!(bucket.get("a/c").unwrap().is_none());
}
