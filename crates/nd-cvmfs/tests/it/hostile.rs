//! Catalogues that somebody made to do harm.

use nd_cvmfs::{Catalog, CatalogError, Nested, PathHash, Row, flag};
use rusqlite::{Connection, MAIN_DB};

use crate::fixture::{Fixture, small_tree};

/// A repository, and the bytes of its root catalogue changed by SQL.
fn forged(sql: &str) -> (Fixture, Vec<u8>) {
    let mut fixture = Fixture::new();
    let source = fixture.folder.path().join("tree");
    small_tree(&source);
    let (index, mut contents) = nd_oci::read_directory(&source).unwrap();
    let options = nd_cvmfs::PutOptions {
        nested: nd_cvmfs::NestedAt::Never,
        ..Default::default()
    };
    fixture.publish("a", &index, &mut contents, &options);
    fixture.publish_folder("b", &source);
    let repository = nd_cvmfs::Repository::open(&fixture.storage).unwrap();
    let hash = repository.manifest().root_catalog;
    let stream = fs_err::read(
        fixture
            .root()
            .join(hash.path(nd_cvmfs::ObjectKind::Catalog)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut decoder = flate2::bufread::ZlibDecoder::new(&stream[..]);
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    let mut connection = Connection::open_in_memory().unwrap();
    (connection.deserialize_read_exact(MAIN_DB, &bytes[..], bytes.len(), false)).unwrap();
    connection
        .execute_batch("PRAGMA foreign_keys = OFF")
        .unwrap();
    connection.execute_batch(sql).unwrap();
    let bytes = connection.serialize(MAIN_DB).unwrap().to_vec();
    (fixture, bytes)
}

/// The catalogue of that, and what is wrong with it.
fn changed(sql: &str) -> Result<(Catalog, Vec<String>), CatalogError> {
    let (_, bytes) = forged(sql);
    let (catalog, problems) = Catalog::read(&bytes, b"")?;
    Ok((catalog, problems.iter().map(ToString::to_string).collect()))
}

fn at(path: &str) -> String {
    let hash = PathHash::of(path.as_bytes());
    format!("md5path_1 = {} AND md5path_2 = {}", hash.0, hash.1)
}

#[test]
fn broken_invariants_are_named() {
    assert_eq!(changed("").unwrap().1, [""; 0]);
    let root = PathHash::of(b"");
    let tool = at("/a/bin/tool");
    let cases = [
        (format!("UPDATE catalog SET name = '..' WHERE {tool}"), "leads elsewhere"),
        (format!("UPDATE catalog SET name = 'x/y' WHERE {tool}"), "holds a slash"),
        (format!("UPDATE catalog SET name = '' WHERE {tool}"), "is empty"),
        (format!("UPDATE catalog SET name = 'other' WHERE {tool}"), "path hash is another"),
        (format!("UPDATE catalog SET size = -5 WHERE {tool}"), "size is negative"),
        (format!("UPDATE catalog SET hash = NULL WHERE {tool}"), "it has no content"),
        (format!("UPDATE catalog SET hash = x'00' WHERE {tool}"), "malformed"),
        (format!("UPDATE catalog SET flags = 1 WHERE {tool}"), "contradict its mode"),
        (format!("UPDATE catalog SET xattr = x'01ff' WHERE {tool}"), "attributes are malformed"),
        (format!("UPDATE catalog SET hardlinks = 1 WHERE {tool}"), "hard-link group"),
        (format!("UPDATE catalog SET hardlinks = 0 WHERE {tool}"), "link count is 0"),
        (format!("UPDATE catalog SET hardlinks = 9 WHERE {}", at("/a")), "link count is 9"),
        // A directory that is its own parent is reached by no walk.
        (
            format!("UPDATE catalog SET parent_1 = md5path_1, parent_2 = md5path_2 WHERE {}", at("/a/bin")),
            "belong to no directory",
        ),
        (
            format!("DELETE FROM catalog WHERE md5path_1 = {}", root.0),
            "no row of its own root",
        ),
        (
            "UPDATE statistics SET value = 70 WHERE counter = 'self_regular'".into(),
            "`self_regular` is 70",
        ),
        ("DELETE FROM nested_catalogs".into(), "no catalogue is registered"),
        (
            "INSERT INTO nested_catalogs VALUES ('/a', '0000000000000000000000000000000000000001', 1)".into(),
            "where none is mounted",
        ),
        (
            "UPDATE nested_catalogs SET sha1 = '../../x'".into(),
            "hash of its catalogue is malformed",
        ),
        (
            "INSERT INTO chunks VALUES (1, 2, 0, 1, x'0000000000000000000000000000000000000000')".into(),
            "belongs to no row",
        ),
        ("INSERT INTO properties VALUES ('root_prefix', '/x')".into(), "begins at `/x`"),
    ];
    for (sql, expected) in cases {
        let (_, problems) = changed(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(
            problems.join("\n").contains(expected),
            "{sql}: {problems:?}"
        );
    }
}

#[test]
fn absurd_sizes_of_somebody_who_has_the_key_cost_neither_memory_nor_time() {
    let tool = at("/a/bin/tool");
    let large = i64::MAX;
    let cases = [
        (
            format!("UPDATE catalog SET size = {large} WHERE {tool}"),
            "bytes are missing",
        ),
        (format!("UPDATE catalog SET size = 1 WHERE {tool}"), "data/"),
        (
            format!("UPDATE nested_catalogs SET size = {large}"),
            "bytes, not",
        ),
        (
            format!(
                "INSERT INTO chunks SELECT md5path_1, md5path_2, 0, {large}, hash FROM catalog WHERE {tool}; \
                 UPDATE catalog SET flags = 68, hash = NULL, size = {large} WHERE {tool}"
            ),
            "chunk",
        ),
        ("UPDATE catalog SET hardlinks = -1".into(), "link"),
    ];
    for (sql, expected) in cases {
        let (fixture, bytes) = forged(&sql);
        let mut stream = Vec::new();
        let mut encoder =
            flate2::bufread::ZlibEncoder::new(&bytes[..], flate2::Compression::fast());
        std::io::Read::read_to_end(&mut encoder, &mut stream).unwrap();
        let mut manifest = nd_cvmfs::Repository::open(&fixture.storage)
            .unwrap()
            .manifest()
            .clone();
        manifest.root_catalog = nd_cvmfs::Algorithm::Sha1.hash(&stream);
        manifest.root_size = bytes.len() as u64;
        let object = manifest.root_catalog.path(nd_cvmfs::ObjectKind::Catalog);
        fs_err::write(fixture.root().join(object), &stream).unwrap();
        let sealed = crate::fixture::keys().release().unwrap().seal(&manifest);
        fs_err::write(fixture.root().join(nd_cvmfs::MANIFEST), sealed.unwrap()).unwrap();
        let begun = nd_testkit::cpu_time();
        let findings = fixture.findings().join("\n");
        assert!(findings.contains(expected), "{sql}: {findings}");
        assert!(nd_testkit::cpu_since(begun) < 20.0, "{sql}");
    }
}

#[test]
fn a_data_base_that_runs_something_is_refused() {
    for sql in [
        "ALTER TABLE catalog RENAME TO other; CREATE VIEW catalog AS SELECT * FROM other",
        "CREATE TRIGGER t AFTER INSERT ON catalog BEGIN SELECT 1; END",
    ] {
        assert!(
            matches!(changed(sql), Err(CatalogError::Sqlite(_))),
            "{sql}"
        );
    }
    assert!(matches!(
        changed("UPDATE properties SET value = '3.0' WHERE key = 'schema'"),
        Err(CatalogError::Schema(_))
    ));
    for bytes in [&b""[..], b"SQLite format 3\0", &[0xff; 4096]] {
        Catalog::read(bytes, b"").unwrap_err();
    }
}

#[test]
fn a_lookup_finds_the_longest_prefix_alone() {
    let mut catalog = Catalog::default();
    let hash = nd_cvmfs::Algorithm::Sha1.hash(b"x");
    catalog
        .nested
        .insert(b"/a/b".to_vec(), Nested { hash, size: 1 });
    let found = |path: &[u8]| catalog.nested_for(path).map(|(mount, _)| mount.to_vec());
    assert_eq!(found(b"/a/b/c/d").as_deref(), Some(&b"/a/b"[..]));
    assert_eq!(found(b"/a/b").as_deref(), Some(&b"/a/b"[..]));
    assert_eq!(found(b"/a/bc"), None);
    assert_eq!(found(b""), None);
    let _ = (flag::DIR, |row: Row| row);
}

#[test]
fn the_seeds_of_the_fuzz_targets_are_what_the_readers_accept() {
    use nd_cvmfs::{History, Manifest, Reflog, Whitelist};
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let read = |name: &str| fs_err::read(seeds.join(name)).unwrap();
    Manifest::parse_lines(&read("cvmfs-manifest/published")).unwrap();
    Whitelist::parse_lines(&read("cvmfs-whitelist/mkfs")).unwrap();
    Reflog::read(&read("cvmfs-reflog/reflog.db"), None).unwrap();
    History::read(&read("cvmfs-reflog/history.db"), None).unwrap();
    for (name, prefix) in [("root", &b""[..]), ("nested", b"/a")] {
        let bytes = read(&format!("cvmfs-catalogue/{name}.db"));
        Catalog::read_sound(&bytes, prefix).unwrap();
    }
}
