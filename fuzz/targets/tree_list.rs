//! Any bytes, read as a list of a tree: what is accepted gives the same digests when written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_rootfs::{digests, parse_list, write_list};

fuzz_target!(|data: &[u8]| {
    if let Ok(index) = parse_list(data) {
        let before = digests(&index);
        let again = parse_list(&write_list(&index, &before)).expect("a list of ours is readable");
        assert_eq!(digests(&again), before);
    }
});
