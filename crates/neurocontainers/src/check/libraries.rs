//! Where the dynamic loader looks for a library, in its order (`ld.so(8)`).

use std::collections::HashMap;

use nd_rootfs::TreePath;

use super::elf::{Elf, parse_cache};

/// Folders every loader knows. Those of Debian's architectures are compiled into its loader.
const DEFAULT: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];
/// Folders of musl's loader besides.
const MUSL: [&str; 1] = ["/usr/local/lib"];

/// The search settings of one image.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    environment: Vec<Vec<u8>>,
    cache: HashMap<Vec<u8>, Vec<Vec<u8>>>,
}

impl Libraries {
    /// With the value of `LD_LIBRARY_PATH`.
    pub(super) fn new(environment: &str) -> Self {
        Self {
            environment: environment
                .split([':', ';'])
                .filter(|dir| !dir.is_empty())
                .map(|dir| dir.as_bytes().to_vec())
                .collect(),
            cache: HashMap::new(),
        }
    }

    /// Adds the image's `ld.so.cache`.
    pub(super) fn add_cache(&mut self, file: &[u8]) {
        for (name, path) in parse_cache(file) {
            self.cache.entry(name).or_default().push(path);
        }
    }

    /// The first place of `name` that `exists` knows, for `by` at `at`, loaded for `program`.
    pub(super) fn find(
        &self,
        name: &[u8],
        by: &Elf,
        program: Option<&Elf>,
        at: &TreePath,
        exists: impl Fn(&[u8]) -> Option<TreePath>,
    ) -> Option<TreePath> {
        if name.contains(&b'/') {
            return exists(name);
        }
        let origin = at
            .parent()
            .map_or_else(Vec::new, |dir| dir.as_bytes().to_vec());
        let inside = |dirs: &[Vec<u8>]| {
            dirs.iter().find_map(|dir| {
                let mut path = expand(dir, &origin);
                path.push(b'/');
                path.extend_from_slice(name);
                exists(&path)
            })
        };
        // The program's `DT_RPATH` counts unless the file at hand has a run path of its own.
        let rpath = || {
            let own = inside(&by.rpath);
            own.or_else(|| inside(&program.filter(|_| by.runpath.is_empty())?.rpath))
        };
        let known = || self.cache.get(name)?.iter().find_map(|path| exists(path));
        let default = || {
            let dirs = DEFAULT.iter().chain(&MUSL);
            dirs.map(|dir| [dir.as_bytes(), b"/", name].concat())
                .find_map(|path| exists(&path))
        };
        rpath()
            .or_else(|| inside(&self.environment))
            .or_else(|| inside(&by.runpath))
            .or_else(known)
            .or_else(default)
    }
}

/// Replaces `$ORIGIN` and `$LIB` in a folder.
fn expand(dir: &[u8], origin: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(dir);
    if !text.contains('$') {
        return dir.to_vec();
    }
    let origin = format!("/{}", String::from_utf8_lossy(origin));
    let mut text = text.into_owned();
    for (name, value) in [("ORIGIN", origin.as_str()), ("LIB", "lib")] {
        text = text.replace(&format!("${{{name}}}"), value);
        text = text.replace(&format!("${name}"), value);
    }
    text.into_bytes()
}
