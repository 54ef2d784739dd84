//! Any bytes, read as the lines of a CVMFS manifest: what is accepted is the same when written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_cvmfs::Manifest;

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse_lines(data) {
        let again =
            Manifest::parse_lines(&manifest.to_lines()).expect("lines of ours are readable");
        assert_eq!(again, manifest);
    }
});
