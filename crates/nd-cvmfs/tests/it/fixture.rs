//! A repository in a temporary folder, with keys that are made once.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jiff::Timestamp;
use nd_cvmfs::{
    Algorithm, Begin, Depth, Directory, Keys, Known, NestedAt, NewRepository, ObjectOptions,
    Published, Publisher, PutOptions, Repository, RepositoryName, Revision, RowKind, Source,
    Verified, VerifyOptions, create, verify,
};
use nd_oci::read_directory;
use nd_report::Cancel;
use nd_rootfs::{Contents, Index, TreePath};
use tempfile::TempDir;

pub(crate) fn now() -> Timestamp {
    "2026-03-01T10:30:00Z".parse().unwrap()
}

pub(crate) fn name() -> RepositoryName {
    "test.example.org".parse().unwrap()
}

/// Making keys takes a second; every test may have the same.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys::generate(&name(), now()).unwrap())
}

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) storage: Directory,
    pub(crate) known: Known,
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Algorithm::Sha1)
    }

    pub(crate) fn with(algorithm: Algorithm) -> Self {
        let folder = TempDir::new().unwrap();
        let storage = Directory::new(folder.path().join("storage"));
        let new = NewRepository {
            name: name(),
            algorithm,
            ttl: 240,
            collectable: true,
            days: 30,
            meta_info: Some(r#"{"description":"a test"}"#.into()),
        };
        create(&storage, &new, keys(), now()).unwrap();
        Self {
            folder,
            storage,
            known: Known::in_memory().unwrap(),
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.storage.root().to_owned()
    }

    pub(crate) fn begin<'a>(&'a self, name: &'a RepositoryName) -> Begin<'a> {
        Begin {
            storage: &self.storage,
            keys: keys(),
            name,
            now: now(),
        }
    }

    pub(crate) fn publish(
        &mut self,
        at: &str,
        index: &Index,
        contents: &mut dyn Contents,
        options: &PutOptions,
    ) -> Published {
        let name = name();
        let begin = Begin {
            storage: &self.storage,
            keys: keys(),
            name: &name,
            now: now(),
        };
        let mut publisher = Publisher::begin(begin).unwrap();
        let objects = ObjectOptions::default();
        (publisher.store(
            index,
            contents,
            &mut self.known,
            &objects,
            &Cancel::default(),
        ))
        .unwrap();
        publisher.put(&path(at), index, options).unwrap();
        publisher.commit(&Revision::default()).unwrap()
    }

    pub(crate) fn publish_folder(&mut self, at: &str, folder: &Path) -> Published {
        let (index, mut contents) = read_directory(folder).unwrap();
        let options = PutOptions {
            nested: NestedAt::Always,
            ..PutOptions::default()
        };
        self.publish(at, &index, &mut contents, &options)
    }

    pub(crate) fn verify(&self, depth: Depth) -> Verified {
        look(&self.storage, depth)
    }

    /// Every finding, as text.
    pub(crate) fn findings(&self) -> Vec<String> {
        let verified = self.verify(Depth::Full);
        verified.findings.iter().map(ToString::to_string).collect()
    }
}

pub(crate) fn look(source: &dyn Source, depth: Depth) -> Verified {
    let public = [keys().public.clone().unwrap()];
    let name = name();
    let options = VerifyOptions {
        depth,
        keys: &public,
        name: Some(&name),
        now: now(),
        threads: None,
    };
    verify(source, &options, &Cancel::default()).unwrap()
}

/// Every file of a repository below `dir`, by path.
pub(crate) fn files(source: &dyn Source, dir: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let repository = Repository::open(source).unwrap();
    let mut out = BTreeMap::new();
    let mut waiting = vec![dir.to_vec()];
    while let Some(dir) = waiting.pop() {
        for row in repository.list(&dir).unwrap() {
            let path = [&dir[..], b"/", &row.name].concat();
            match row.kind() {
                RowKind::Dir => waiting.push(path),
                RowKind::File => {
                    let mut bytes = Vec::new();
                    repository
                        .read(&row)
                        .unwrap()
                        .read_to_end(&mut bytes)
                        .unwrap();
                    out.insert(path, bytes);
                }
                _ => {}
            }
        }
    }
    out
}

/// A folder with a little of everything that any user can make.
pub(crate) fn small_tree(folder: &Path) {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let put = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    };
    put("bin/tool", b"#!/bin/sh\necho tool\n");
    put("etc/empty", b"");
    put("share/doc/a b.txt", b"words\n");
    put("share/same", b"words\n");
    put(
        "share/big",
        &(0..600_000u32)
            .flat_map(|n| n.wrapping_mul(n).to_le_bytes())
            .collect::<Vec<_>>(),
    );
    fs_err::create_dir_all(folder.join("var/none")).unwrap();
    fs_err::set_permissions(
        folder.join("bin/tool"),
        std::fs::Permissions::from_mode(0o4755),
    )
    .unwrap();
    fs_err::hard_link(folder.join("bin/tool"), folder.join("bin/same-tool")).unwrap();
    fs_err::hard_link(
        folder.join("share/same"),
        folder.join("share/doc/elsewhere"),
    )
    .unwrap();
    symlink("tool", folder.join("bin/link")).unwrap();
}
