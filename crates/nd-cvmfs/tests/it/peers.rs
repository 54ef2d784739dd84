//! Programs of others: OpenSSL verifies what we signed, Python's SQLite what we wrote; Python's zlib makes
//! objects as CVMFS does.

use std::{collections::HashMap, num::NonZeroUsize, path::Path};

use nd_cvmfs::{
    Algorithm, KeyFolder, Known, MANIFEST, ObjectKind, Piece, PutOptions, Repository, Stored,
    WHITELIST,
};
use nd_names::Sha256;
use nd_report::Cancel;
use nd_testkit::{TestEnv, peer};

use crate::fixture::{Fixture, keys, name, small_tree};

fn published() -> Fixture {
    let mut fixture = Fixture::new();
    let source = fixture.folder.path().join("tree");
    small_tree(&source);
    fixture.publish_folder("one/one.simg", &source);
    fixture
}

/// The hash line and the signature of a letter.
fn parts(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\n--\n")
        .unwrap()
        + 4;
    let line = end + bytes[end..].iter().position(|&b| b == b'\n').unwrap();
    (bytes[end..line].to_vec(), bytes[line + 1..].to_vec())
}

fn inflate(path: &Path) -> Vec<u8> {
    let stream = fs_err::read(path).unwrap();
    let mut out = Vec::new();
    let mut decoder = flate2::bufread::ZlibDecoder::new(&stream[..]);
    std::io::Read::read_to_end(&mut decoder, &mut out).unwrap();
    out
}

#[test]
fn openssl_verifies_both_signatures() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let fixture = published();
    let env = TestEnv::new().unwrap();
    let put = |name: &str, bytes: &[u8]| fs_err::write(env.work().join(name), bytes).unwrap();
    KeyFolder::new(env.work(), name()).save(keys()).unwrap();
    let run = |words: &str| {
        let mut command = env.command(&openssl);
        command
            .args(words.split(' '))
            .assert()
            .success()
            .get_output()
            .stdout
            .clone()
    };

    let manifest = fs_err::read(fixture.root().join(MANIFEST)).unwrap();
    let (text, signature) = parts(&manifest);
    put("text", &text);
    put("signature", &signature);
    let repository = Repository::open(&fixture.storage).unwrap();
    let certificate = repository.manifest().certificate.unwrap();
    put(
        "crt",
        &inflate(
            &fixture
                .root()
                .join(certificate.path(ObjectKind::Certificate)),
        ),
    );
    put("key", &run("x509 -in crt -pubkey -noout"));
    let said = run("dgst -sha1 -verify key -signature signature text");
    assert_eq!(String::from_utf8_lossy(&said).trim(), "Verified OK");
    // The certificate is one that OpenSSL takes for self-signed and sound.
    run("verify -CAfile crt -check_ss_sig crt");

    let (text, signature) = parts(&fs_err::read(fixture.root().join(WHITELIST)).unwrap());
    put("signature", &signature);
    let plain = run("pkeyutl -verifyrecover -pubin -inkey test.example.org.pub -in signature");
    assert_eq!(plain, text);
    let print = run("x509 -in crt -noout -fingerprint -sha1");
    let list = String::from_utf8_lossy(&fs_err::read(fixture.root().join(WHITELIST)).unwrap())
        .into_owned();
    let print = String::from_utf8(print).unwrap();
    assert!(
        list.contains(print.trim().split_once('=').unwrap().1),
        "{print} {list}"
    );
}

#[test]
fn the_sqlite_of_python_finds_every_data_base_sound() {
    let Some(python) = peer("python3") else {
        return;
    };
    let fixture = published();
    let env = TestEnv::new().unwrap();
    let script = "
import os, sqlite3, sys, tempfile, zlib
root, count = sys.argv[1], 0
for folder, _, names in os.walk(os.path.join(root, 'data')):
    for name in names:
        if name[-1] not in 'CH':
            continue
        data = zlib.decompress(open(os.path.join(folder, name), 'rb').read())
        path = os.path.join(os.getcwd(), 'db')
        open(path, 'wb').write(data)
        db = sqlite3.connect(path)
        assert db.execute('pragma integrity_check').fetchall() == [('ok',)], name
        assert db.execute('pragma foreign_key_check').fetchall() == [], name
        assert db.execute('pragma page_size').fetchone() == (4096,), name
        assert data[18:20] == bytes([1, 1]), 'not WAL'
        if name[-1] == 'C':
            rows = db.execute('select count(*), max(rowid) from catalog').fetchone()
            assert rows[0] == rows[1], rows
        count += 1
path = os.path.join(root, '.cvmfsreflog')
assert sqlite3.connect(path).execute('pragma integrity_check').fetchall() == [('ok',)]
print(count)
";
    let assert = env
        .command(python)
        .args(["-c", script])
        .arg(fixture.root())
        .assert()
        .success();
    let count = String::from_utf8_lossy(&assert.get_output().stdout)
        .trim()
        .to_owned();
    assert!(count.parse::<u32>().unwrap() >= 5, "{count}");
}

#[test]
fn objects_that_another_compressor_made_are_learned_and_used_again() {
    let Some(python) = peer("python3") else {
        return;
    };
    let env = TestEnv::new().unwrap();
    let mut fixture = Fixture::new();
    let source = fixture.folder.path().join("tree");
    small_tree(&source);
    let (index, mut contents) = nd_oci::read_directory(&source).unwrap();
    // What CVMFS makes: the streams of the reference zlib at its usual level.
    let script = "
import hashlib, os, sys, zlib
source, storage = sys.argv[1:]
for folder, _, names in os.walk(source):
    for path in (os.path.join(folder, name) for name in names):
        if os.path.islink(path) or not os.path.getsize(path):
            continue
        plain = open(path, 'rb').read()
        stream = zlib.compress(plain, 6)
        name = hashlib.sha1(stream).hexdigest()
        with open(os.path.join(storage, 'data', name[:2], name[2:]), 'wb') as out:
            out.write(stream)
        print(hashlib.sha256(plain).hexdigest(), len(plain), name, len(stream))
";
    let assert = env
        .command(python)
        .args(["-c", script])
        .args([&source, &fixture.root()])
        .assert()
        .success();
    let said = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let theirs: HashMap<Sha256, Stored> = said
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let size = words[1].parse().unwrap();
            let piece = Piece {
                hash: words[2].parse().unwrap(),
                size,
                stored: words[3].parse().unwrap(),
                plain: false,
            };
            let pieces = vec![piece];
            (words[0].parse().unwrap(), Stored { size, pieces })
        })
        .collect();
    assert!(theirs.len() > 2, "{said}");
    fixture.known.insert(Algorithm::Sha1, &theirs).unwrap();
    let options = PutOptions::default();
    fixture.publish("theirs", &index, &mut contents, &options);
    assert_eq!(fixture.findings(), [""; 0]);

    // An index of nothing learns them from the repository alone.
    fixture.known = Known::in_memory().unwrap();
    let threads = NonZeroUsize::new(2).unwrap();
    let learned = |known: &mut Known| {
        let repository = Repository::open(&fixture.storage).unwrap();
        nd_cvmfs::learn(&repository, known, threads, &Cancel::default()).unwrap()
    };
    let mut known = Known::in_memory().unwrap();
    let first = learned(&mut known);
    assert!(first.contents as usize >= theirs.len() && first.unreadable == 0);
    let again = learned(&mut known);
    assert_eq!((again.contents, again.known), (0, first.contents));
    fixture.known = known;
    let published = fixture.publish("ours", &index, &mut contents, &options);
    assert_eq!(published.objects.read_bytes, 0);
    let repository = Repository::open(&fixture.storage).unwrap();
    let tool = repository.stat(b"/ours/bin/tool").unwrap().hash;
    assert!(theirs.values().any(|one| Some(one.pieces[0].hash) == tool));
    assert_eq!(fixture.findings(), [""; 0]);

    // A damaged object teaches nothing, and what is gone is made again.
    let object = tool.unwrap().path(ObjectKind::File);
    fs_err::write(fixture.root().join(&object), b"damaged").unwrap();
    let mut known = Known::in_memory().unwrap();
    let third = nd_cvmfs::learn(&repository, &mut known, threads, &Cancel::default()).unwrap();
    assert_eq!(third.unreadable, 1);
    fs_err::remove_file(fixture.root().join(&object)).unwrap();
    let published = fixture.publish("once-more", &index, &mut contents, &options);
    assert!(published.objects.read_bytes > 0);
    let repository = Repository::open(&fixture.storage).unwrap();
    let made = repository.stat(b"/once-more/bin/tool").unwrap().hash;
    assert_ne!(made, tool);
}
