//! What belongs in a build folder.

use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nd_host::{NodeKind, RootDir};
use nd_names::{Sha256, Sha256Hasher};
use neurocontainers_recipe::{
    Compiled, is_confined,
    resolved::{DeclaredFile, FileSource},
};

use super::{CACHE_FOLDER, OUTPUT_FOLDER, StageError};
use crate::downloads::Downloads;

/// Version of what a plan means: part of its digest.
const VERSION: u32 = 1;
/// Largest `build.yaml`.
const RECIPE_LIMIT: u64 = 16 << 20;

/// Where a plan takes things from.
#[derive(Debug, Clone, Copy)]
pub struct StageSources<'a> {
    /// The recipe's folder.
    pub recipe: &'a Path,
    /// Downloads by the name of the declared file.
    pub downloads: &'a Downloads,
    /// Text of the Dockerfile.
    pub dockerfile: &'a str,
}

/// Everything a build folder holds besides its outputs.
#[derive(Debug)]
pub struct StagePlan {
    pub(super) items: BTreeMap<String, Item>,
    pub(super) recipe: RootDir,
    pub(super) digest: Sha256,
}

/// One thing in the build folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A file of these bytes.
    Bytes { bytes: Vec<u8>, executable: bool },
    /// A copy of a file of the recipe.
    Recipe { path: String, executable: bool },
    /// A copy of a download, which is known by its digest.
    Download {
        path: PathBuf,
        sha256: Sha256,
        executable: bool,
    },
    /// The same as another item.
    Same(String),
    /// A symbolic link.
    Link(Vec<u8>),
    /// An empty directory.
    Directory,
}

impl StagePlan {
    /// Plans the build folder of a container. Files are looked at, not copied.
    pub fn new(compiled: &Compiled, sources: &StageSources<'_>) -> Result<Self, StageError> {
        let recipe = RootDir::open(sources.recipe).map_err(StageError::io(sources.recipe))?;
        let mut planner = Planner {
            items: BTreeMap::new(),
            recipe,
            sources,
            identity: Sha256Hasher::default(),
        };
        planner.identity.update(VERSION.to_le_bytes());
        planner.plan(compiled)?;
        let Planner {
            items,
            recipe,
            mut identity,
            ..
        } = planner;
        for (path, item) in &items {
            identity.update(format!("{path}\0"));
            match item {
                Item::Bytes { bytes, executable } => {
                    identity.update(format!("b{executable}{}\0", bytes.len()));
                    identity.update(bytes);
                }
                Item::Download {
                    sha256, executable, ..
                } => identity.update(format!("d{executable}{sha256}\0")),
                other => identity.update(format!("{other:?}\0")),
            }
        }
        Ok(Self {
            items,
            recipe,
            digest: identity.finish(),
        })
    }

    /// Paths in the build folder, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.items.keys().map(String::as_str)
    }
}

struct Planner<'a> {
    items: BTreeMap<String, Item>,
    recipe: RootDir,
    sources: &'a StageSources<'a>,
    identity: Sha256Hasher,
}

impl Planner<'_> {
    fn plan(&mut self, compiled: &Compiled) -> Result<(), StageError> {
        let bytes = |text: &str| Item::Bytes {
            bytes: text.as_bytes().to_vec(),
            executable: false,
        };
        let dockerfile = compiled.identity.dockerfile_name();
        self.add(dockerfile, bytes(self.sources.dockerfile))?;
        self.add("README.md".into(), bytes(&compiled.readme_file()))?;
        let recipe = self
            .recipe
            .read(b"build.yaml", RECIPE_LIMIT)
            .map_err(StageError::io(self.sources.recipe.join("build.yaml")))?;
        let recipe = Item::Bytes {
            bytes: recipe,
            executable: false,
        };
        self.add("build.yaml".into(), recipe)?;
        let staging = &compiled.staging;
        let mut places: BTreeMap<&str, String> = BTreeMap::new();
        for file in &staging.files {
            let item = self.declared(file)?;
            let place = self.free_place(&file.guest_name, &item);
            self.add(place.clone(), item)?;
            places.insert(&file.name, place);
        }
        for (id, files) in &staging.cache_mounts {
            for (name, guest) in files {
                if let Some(place) = places.get(name.as_str()) {
                    let path = format!("{CACHE_FOLDER}/{id}/{guest}");
                    self.add(path, Item::Same(place.clone()))?;
                }
            }
        }
        for file in &staging.generated {
            self.add(file.path.clone(), bytes(&file.contents))?;
        }
        for copy in &staging.copy_sources {
            let path = copy.source.trim_end_matches('/').to_owned();
            let declared = copy
                .declared_name
                .as_deref()
                .and_then(|name| places.get(name));
            if let Some(place) = declared {
                self.add(path, Item::Same(place.clone()))?;
            } else if !self.items.contains_key(&path) {
                let missing = || StageError::CopySource {
                    source_path: copy.source.clone(),
                    origin: Box::new(copy.origin.clone()),
                };
                self.tree(&path, missing)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, item: Item) -> Result<(), StageError> {
        let refuse = |problem| StageError::Path {
            path: path.clone(),
            problem,
        };
        if !is_confined(&path) {
            return Err(refuse("it would leave the build folder"));
        }
        if path == OUTPUT_FOLDER || path.starts_with("out/") || path.starts_with(".nd-") {
            return Err(refuse("outputs lie there"));
        }
        match self.items.get(&path) {
            Some(there) if *there != item => Err(refuse("something else has that name")),
            _ => {
                self.items.insert(path, item);
                Ok(())
            }
        }
    }

    /// A place in the cache folder that no other file has.
    fn free_place(&self, guest: &str, item: &Item) -> String {
        let plain = format!("{CACHE_FOLDER}/{guest}");
        if self.items.get(&plain).is_none_or(|there| there == item) {
            return plain;
        }
        // A name that depends on nothing of this machine: no path of the store.
        let what = match item {
            Item::Download { sha256, .. } => sha256.hex(),
            item => format!("{item:?}"),
        };
        let digest = Sha256::of(what).hex();
        let (stem, suffix) = match guest.rfind('.') {
            Some(at) if at > 0 => guest.split_at(at),
            _ => (guest, ""),
        };
        format!("{CACHE_FOLDER}/{stem}_{}{suffix}", &digest[..12])
    }

    fn declared(&mut self, file: &DeclaredFile) -> Result<Item, StageError> {
        let executable = file.executable;
        match file.source() {
            FileSource::Contents(contents) => Ok(Item::Bytes {
                bytes: contents.as_bytes().to_vec(),
                executable,
            }),
            FileSource::Filename(path) => {
                let shown = self.sources.recipe.join(path.trim_start_matches('/'));
                let opened = self.recipe.file(path.as_bytes());
                let opened = opened.map_err(|_| StageError::NotFound {
                    name: file.name.clone(),
                    path: path.into(),
                    origin: Box::new(file.origin.clone()),
                })?;
                let mode = self.remember(&shown, &opened)?;
                check_digest(file, &shown, opened)?;
                Ok(Item::Recipe {
                    path: path.into(),
                    executable: executable || mode & 0o111 != 0,
                })
            }
            FileSource::Url(url) => {
                let download = self.sources.downloads.get(&file.name).ok_or_else(|| {
                    StageError::NotFetched {
                        name: file.name.clone(),
                        url: url.into(),
                        origin: Box::new(file.origin.clone()),
                    }
                })?;
                Ok(Item::Download {
                    path: download.path.clone(),
                    sha256: download.sha256,
                    executable,
                })
            }
            FileSource::Missing => Err(StageError::NoSource {
                name: file.name.clone(),
                origin: Box::new(file.origin.clone()),
            }),
        }
    }

    /// Makes the state of a file part of the plan's digest. Gives its mode.
    fn remember(&mut self, path: &Path, file: &std::fs::File) -> Result<u32, StageError> {
        let meta = file.metadata().map_err(StageError::io(path))?;
        self.identity.update(format!(
            "{} {} {} {} {} {}\0",
            meta.dev(),
            meta.ino(),
            meta.len(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
        ));
        Ok(meta.mode())
    }

    /// A file or folder of the recipe under its own path.
    fn tree(&mut self, path: &str, missing: impl Fn() -> StageError) -> Result<(), StageError> {
        let mut pending = vec![path.to_owned()];
        let mut first = true;
        while let Some(path) = pending.pop() {
            if !is_confined(&path) {
                return Err(missing());
            }
            let shown = self.sources.recipe.join(&path);
            let node = self.recipe.node(path.as_bytes(), first);
            let node = node.map_err(StageError::io(&shown))?.ok_or_else(&missing)?;
            first = false;
            match node.kind {
                NodeKind::File => {
                    let file = self.recipe.file(path.as_bytes());
                    let file = file.map_err(StageError::io(&shown))?;
                    let mode = self.remember(&shown, &file)?;
                    let item = Item::Recipe {
                        path: path.clone(),
                        executable: mode & 0o111 != 0,
                    };
                    self.add(path, item)?;
                }
                NodeKind::Directory => {
                    let names = self.recipe.names(path.as_bytes());
                    for name in names.map_err(StageError::io(&shown))? {
                        let name = String::from_utf8(name).map_err(|_| StageError::Path {
                            path: path.clone(),
                            problem: "a name in it is no UTF-8",
                        })?;
                        pending.push(format!("{path}/{name}"));
                    }
                    self.add(path, Item::Directory)?;
                }
                NodeKind::Symlink => {
                    let target = self.recipe.read_link(path.as_bytes());
                    let target = target.map_err(StageError::io(&shown))?;
                    if escapes(&path, &target) {
                        return Err(StageError::Path {
                            path,
                            problem: "the link leads out of the recipe's folder",
                        });
                    }
                    self.add(path, Item::Link(target))?;
                }
                NodeKind::Other => {
                    return Err(StageError::Path {
                        path,
                        problem: "it is neither a file, a folder nor a link",
                    });
                }
            }
        }
        Ok(())
    }
}

fn check_digest(file: &DeclaredFile, path: &Path, opened: std::fs::File) -> Result<(), StageError> {
    let Some(expected) = file.sha256 else {
        return Ok(());
    };
    let found = Sha256::of_rest(opened).map_err(StageError::io(path))?;
    if found == expected {
        return Ok(());
    }
    Err(StageError::Digest {
        name: file.name.clone(),
        expected: Box::new(expected),
        found: Box::new(found),
        origin: Box::new(file.origin.clone()),
    })
}

/// Whether a link at `path` leads out of the folder that `path` is relative to.
fn escapes(path: &str, target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return true;
    }
    let mut depth = path.matches('/').count();
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::escapes;

    #[test]
    fn links_stay_inside() {
        for (path, target, out) in [
            ("a/link", "b", false),
            ("a/link", "../b", false),
            ("a/link", "../../b", true),
            ("link", "../b", true),
            ("a/link", "/etc/passwd", true),
            ("a/link", "x/../../../b", true),
        ] {
            assert_eq!(escapes(path, target.as_bytes()), out, "{path} -> {target}");
        }
    }
}
