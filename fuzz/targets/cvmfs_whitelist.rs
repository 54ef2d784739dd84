//! Any bytes, read as the lines of a CVMFS whitelist: what is accepted is the same when written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_cvmfs::Whitelist;

fuzz_target!(|data: &[u8]| {
    if let Ok(list) = Whitelist::parse_lines(data) {
        let again = Whitelist::parse_lines(&list.to_lines()).expect("lines of ours are readable");
        assert_eq!(again, list);
    }
});
