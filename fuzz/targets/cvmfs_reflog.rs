//! Any bytes, read as the reference log and as the history of a CVMFS repository.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nd_cvmfs::{History, Reflog};

fuzz_target!(|data: &[u8]| {
    if let Ok(log) = Reflog::read(data, None) {
        log.references().expect("what was accepted is readable");
    }
    if let Ok(history) = History::read(data, None) {
        history.tags().expect("what was accepted is readable");
    }
});
