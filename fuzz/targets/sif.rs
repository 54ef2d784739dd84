//! Any bytes, read as a SIF file: descriptors whose objects lie in the file, or an error.
#![no_main]

use std::{cell::OnceCell, fs::File, os::unix::fs::FileExt as _};

use libfuzzer_sys::fuzz_target;
use nd_sif::Sif;

thread_local! {
    static FILE: OnceCell<File> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    FILE.with(|cell| {
        let file = cell.get_or_init(|| tempfile::tempfile().expect("a temporary file"));
        file.set_len(0).expect("shortens");
        file.write_all_at(data, 0).expect("writes");
        if let Ok(sif) = Sif::open(file.try_clone().expect("duplicates")) {
            for object in sif.descriptors() {
                let _ = sif.read(object, 1 << 20);
            }
            let _ = sif.primary_partition();
            let _ = sif.is_signed();
        }
    });
});
