//! Any bytes, read as the data base of a CVMFS catalogue: no panic, and no row outside its prefix.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_cvmfs::Catalog;

fuzz_target!(|data: &[u8]| {
    // As that of the root, where every path is one below it.
    let _ = Catalog::read(data, b"");
    if let Ok((catalog, _)) = Catalog::read(data, b"/a") {
        assert!(
            catalog
                .paths()
                .all(|path| path == b"/a" || path.starts_with(b"/a/"))
        );
    }
});
