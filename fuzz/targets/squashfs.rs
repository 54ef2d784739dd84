//! Any bytes, read as a squashfs image: a tree with its contents, or an error.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use nd_report::Cancel;
use nd_squashfs::{Digests, Limits, Reader};

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        entries: 2_000,
        names: 1 << 20,
        file: 1 << 22,
        total: 1 << 24,
        xattrs: 1 << 16,
    };
    if let Ok(reader) = Reader::open(data.to_vec(), limits) {
        let _ = reader.list(b"");
        let _ = Arc::new(reader).tree(Digests::Read { threads: 1 }, &Cancel::default());
    }
});
