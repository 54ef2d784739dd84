//! What a step leaves behind that must not become part of its layer.
//!
//! Two runs of one step differ in caches and logs that package managers write: names of the
//! machine's own mirrors, times, random identities. Nothing here is needed at run time; each
//! program makes its file anew when it misses it. `docs/book/src/concepts/reproducible-builds.md` shows
//! the list to people.

/// Version of the list: part of every step key, to be raised with every change.
pub(crate) const VERSION: u32 = 2;

/// Directories whose content goes; they themselves stay.
const EMPTIED: &[&[u8]] = &[
    // Named after the mirrors of the build machine.
    b"var/lib/apt/lists",
    b"var/cache/apt/archives",
    b"var/cache/fontconfig",
    b"var/log/apt",
];

/// Files that go.
const FILES: &[&[u8]] = &[
    b"var/cache/apt/pkgcache.bin",
    b"var/cache/apt/srcpkgcache.bin",
    b"var/cache/ldconfig/aux-cache",
    b"var/log/alternatives.log",
    b"var/log/bootstrap.log",
    b"var/log/dpkg.log",
    b"var/log/fontconfig.log",
];

/// Whether the entry at `path` (from the image root, without a leading slash) is dropped from
/// layers, unless it is a directory.
pub(crate) fn drops(path: &[u8]) -> bool {
    let below =
        |dir: &[u8]| path.len() > dir.len() && path.starts_with(dir) && path[dir.len()] == b'/';
    FILES.contains(&path)
        || EMPTIED.iter().any(|dir| below(dir))
        || ((below(b"usr/share/fonts") || below(b"usr/local/share/fonts"))
            && path.ends_with(b"/.uuid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_book_shows_the_whole_list() {
        // Read when the test runs: the package of this crate has no book.
        let book = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/book/src/concepts/reproducible-builds.md"
        );
        let book = fs_err::read_to_string(book).unwrap();
        for place in EMPTIED.iter().chain(FILES) {
            let shown = format!("`/{}`", String::from_utf8_lossy(place));
            assert!(book.contains(&shown), "{shown}");
        }
    }

    #[test]
    fn only_listed_places_are_scrubbed() {
        for gone in [
            "var/lib/apt/lists/h_debian_InRelease",
            "var/lib/apt/lists/partial/x",
            "var/log/dpkg.log",
            "usr/share/fonts/truetype/.uuid",
            "usr/local/share/fonts/.uuid",
        ] {
            assert!(drops(gone.as_bytes()), "{gone}");
        }
        for kept in [
            "var/lib/apt/lists",
            "var/lib/apt/lists2/x",
            "var/log/app.log",
            "opt/.uuid",
            "usr/share/fonts/a.ttf",
        ] {
            assert!(!drops(kept.as_bytes()), "{kept}");
        }
    }
}
