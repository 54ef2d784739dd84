//! Any bytes, read as a layer: an index or an error, and what was indexed merges or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_oci::{Compression, Limits, index_layer};
use nd_rootfs::{Duplicates, merge};

fuzz_target!(|data: &[u8]| {
    let limits = Limits {
        entries: 10_000,
        extended: 1 << 16,
        xattr: 1 << 12,
        file: 1 << 24,
        total: 1 << 26,
    };
    if let Ok(layer) = index_layer(data, Compression::None, limits) {
        let _ = merge(&[&layer.index], Duplicates::Refuse);
    }
});
